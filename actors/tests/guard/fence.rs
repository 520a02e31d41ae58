//! S6: a writable server never outlives its lease, whoever is dead, stopped or stuck.

use crate::host::{DEFAULT_MARGIN, EPOCH, Host, MARGIN, SOON, end_of, exit, signal, until};
use actors::guard::wire::{Asked, Exit, ExitCause, ExitStatus, PROTOCOL, Request, encode};
use actors::guard::{Client, Event, NotSwept, guard_of, sweep, sweep_orphans};
use actors::tree::clock::boottime;
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A client writes all the time, two backends are busy in loops, and nobody renews: the last write is acknowledged before the lease is over,
/// and when the lease is over no process is left.
pub(crate) async fn a_primary_without_renewals_is_dead_with_all_its_backends_before_the_lease_ends(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let busy = host.busy_backends().await;
    let writer = host.connect().await.unwrap();
    writer.batch_execute("CREATE TABLE written (n int)").await.unwrap();
    guard.lease(EPOCH.next().next(), boottime() + Duration::from_secs(4), SOON).await.unwrap();
    let status = guard.status(SOON).await.unwrap();
    let end = end_of(&status);
    let mut last = boottime();
    while writer.batch_execute("INSERT INTO written VALUES (1)").await.is_ok() {
        last = boottime();
    }
    let exit = exit(&mut events).await;
    assert_eq!((exit.cause, exit.status), (ExitCause::LeaseOver, Some(ExitStatus::Signal(9))));
    assert!(host.inhabitants().is_empty(), "all are gone when it is announced");
    assert!(exit.at < end, "gone at {:?}, lease until {end:?}", exit.at);
    assert!(last < end, "a write at {last:?}, lease until {end:?}");
    let strike = end - MARGIN;
    println!("    the last write {:?} after the strike, the last process {:?} after it", last.since(strike), exit.at.since(strike));
    assert!(last > strike - Duration::from_millis(500), "it wrote as long as it was allowed to");
    assert!(last < strike + DEFAULT_MARGIN, "no write is acknowledged so late, however long the dead take to be buried");
    // The one that sleeps may notice the death of the postmaster and be quicker than the kill.
    assert!(exit.survivors_killed >= 1, "the busy backend outlived the postmaster: {exit:?}");
    for session in busy {
        session.await.unwrap();
    }
}

/// Somebody promotes a standby by hand, and no lease covers it.
pub(crate) async fn a_promotion_by_hand_without_a_lease_is_ended(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.standby(&guard).await;
    let hand = host.connect().await.unwrap();
    let promoted = boottime();
    let answer = tokio::spawn(async move { hand.batch_execute("SELECT pg_promote(wait => false)").await });
    let exit = exit(&mut events).await;
    assert_eq!(exit.cause, ExitCause::NoLease);
    assert!(host.inhabitants().is_empty());
    println!("    a promotion by hand lived for {:?} from its request", exit.at.since(promoted));
    // It may have been answered before the end.
    let _ = answer.await.unwrap();
}

/// The daemon announces a promotion and never triggers it; the server is not to be there when the lease is over.
pub(crate) async fn an_announced_promotion_ends_with_the_lease(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.standby(&guard).await;
    guard.expect_promotion(EPOCH, SOON).await.expect_err("there is no lease");
    let end = guard.lease(EPOCH, boottime() + Duration::from_secs(3), SOON).await.unwrap();
    guard.expect_promotion(EPOCH, SOON).await.unwrap();
    let exit = exit(&mut events).await;
    assert_eq!(exit.cause, ExitCause::LeaseOver);
    assert!(exit.at < end);
}

/// S8: what is dropped is over, now and for good.
pub(crate) async fn a_dropped_lease_ends_the_primary_at_once(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.primary(&guard, SOON).await;
    guard.drop_lease(EPOCH.next(), SOON).await.unwrap();
    assert_eq!(exit(&mut events).await.cause, ExitCause::NoLease);
    assert!(host.inhabitants().is_empty());
    guard.lease(EPOCH.next(), boottime() + SOON, SOON).await.expect_err("that epoch is history");
}

/// A daemon that renews all the time is stopped; the guard needs nothing from it.
pub(crate) async fn a_stopped_daemon_is_not_needed(host: &Host) {
    let mut daemon = Command::new("/proc/self/exe").arg("daemon").arg(&host.directory).spawn().unwrap();
    host.answers().await;
    let busy = host.busy_backends().await;
    signal(daemon.id(), Signal::SIGSTOP);
    let stopped = boottime();
    host.deserted().await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let (guard, _events) = host.guard().await;
    let exit = last_exit(&guard).await;
    assert_eq!(exit.cause, ExitCause::LeaseOver);
    let lived = exit.at.since(stopped);
    assert!(lived < Duration::from_secs(4), "it lived for {lived:?} after the last renewal, under leases of four seconds");
    for session in busy {
        session.await.unwrap();
    }
}

/// A daemon asks and asks and never reads an answer, until the guard would have to wait for it.
pub(crate) async fn a_daemon_that_does_not_read_is_not_waited_for(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.primary(&guard, Duration::from_secs(5)).await;
    let end = end_of(&guard.status(SOON).await.unwrap());
    let mut stuck = UnixStream::connect(&host.options().arguments.socket).await.unwrap();
    let frame = |id, request| {
        let body = encode(&Asked { id, request }).unwrap();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [length.to_vec(), body].concat()
    };
    stuck.write_all(&frame(0, Request::Hello { protocol: PROTOCOL })).await.unwrap();
    let flood = frame(1, Request::Status).repeat(1000);
    let dropped = async { while stuck.write_all(&flood).await.is_ok() {} };
    timeout(SOON, dropped).await.expect("the guard drops the connection");
    host.deserted().await;
    let (guard, _events) = host.guard().await;
    assert!(last_exit(&guard).await.at < end, "it is dead in time");
}

/// Of a server that has left its directory, which may be a moment before the guard is told of it.
async fn last_exit(guard: &Client) -> Exit {
    until("the guard knows of the death", async || guard.status(SOON).await.unwrap().server.is_none()).await;
    guard.status(SOON).await.unwrap().last_exit.unwrap()
}

/// kill -9 of the guard: the kernel ends the server, backends and all.
pub(crate) async fn the_death_of_the_guard_ends_the_server(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let busy = host.busy_backends().await;
    signal(guard.identity().pid, Signal::SIGKILL);
    assert_eq!(timeout(SOON, events.recv()).await, Ok(Some(Event::Lost)));
    host.deserted().await;
    for session in busy {
        session.await.unwrap();
    }
    let (again, _events) = host.guard().await;
    assert_eq!(again.status(SOON).await.unwrap().server, None, "a new guard knows nothing");
    host.primary(&again, SOON).await;
}

/// A stopped guard fences nobody; the daemon does it.
pub(crate) async fn a_sweep_ends_what_a_stopped_guard_does_not(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let busy = host.busy_backends().await;
    let pid = guard.identity().pid;
    signal(pid, Signal::SIGSTOP);
    guard.status(Duration::from_millis(100)).await.expect_err("it is stopped");
    sweep(&host.pgdata(), &host.options().arguments.lock, SOON).await.unwrap();
    assert!(host.inhabitants().is_empty());
    until("the guard is gone", async || !std::fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false)).await;
    for session in busy {
        session.await.unwrap();
    }
}

/// Witch's folder was emptied while a server ran: nobody can reach its guard any more, and a second one begins beside it.
pub(crate) async fn a_guard_under_which_its_folder_was_emptied_goes_with_its_server(host: &Host) {
    let (old, _events) = host.guard().await;
    let postmaster = host.standby(&old).await;
    let (old, options) = (old.identity().pid, host.options());
    std::fs::remove_file(&options.arguments.socket).unwrap();
    std::fs::remove_file(&options.arguments.lock).unwrap();
    let (second, _events) = host.guard().await;
    assert_ne!(second.identity().pid, old);
    assert_eq!(guard_of(postmaster, &host.pgdata()), Some(old), "it is no stranger's");
    sweep_orphans(&host.pgdata(), second.identity().pid, SOON).await.unwrap();
    assert!(host.inhabitants().is_empty());
    until("the first guard is gone", async || !std::fs::exists(format!("/proc/{old}/exe")).unwrap_or(false)).await;
    assert!(second.status(SOON).await.unwrap().server.is_none(), "the second one is unharmed");
}

/// A shell, an editor or a backup may stand in the data directory.
pub(crate) async fn a_sweep_spares_whoever_only_visits_the_directory(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let mut visitor = Command::new("sleep").arg("600").current_dir(host.pgdata()).spawn().unwrap();
    sweep(&host.pgdata(), &host.options().arguments.lock, SOON).await.unwrap();
    let left = host.inhabitants();
    let still_there = visitor.try_wait().unwrap().is_none();
    visitor.kill().unwrap();
    visitor.wait().unwrap();
    assert!(still_there, "the visitor was killed");
    assert_eq!(left, [visitor.id().cast_signed()]);
}

/// The lock is held, and the number in it belongs to somebody else by now.
pub(crate) async fn a_sweep_spares_whoever_has_the_number_of_a_dead_guard(host: &Host) {
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let lock = host.options().arguments.lock;
    std::fs::write(&lock, stranger.id().to_string()).unwrap();
    let held = std::fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let swept = sweep(&host.pgdata(), &lock, Duration::from_secs(3)).await;
    let still_there = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(still_there, "the stranger was killed");
    assert!(matches!(swept, Err(NotSwept::Guarded { .. })), "{swept:?}");
}

/// kill -9 of the postmaster: its busy backends would go on for as long as they are busy.
pub(crate) async fn a_dead_postmaster_is_announced_only_when_no_backend_is_left(host: &Host) {
    let (guard, mut events) = host.guard().await;
    let postmaster = host.primary(&guard, SOON).await;
    let busy = host.busy_backends().await;
    signal(postmaster, Signal::SIGKILL);
    let exit = exit(&mut events).await;
    assert!(host.inhabitants().is_empty(), "it is announced too early");
    assert!(exit.unexpected());
    assert_eq!((exit.pid, exit.status), (Some(postmaster), Some(ExitStatus::Signal(9))));
    assert!(exit.survivors_killed >= 1, "the busy backend outlived the postmaster: {exit:?}");
    for session in busy {
        session.await.unwrap();
    }
}
