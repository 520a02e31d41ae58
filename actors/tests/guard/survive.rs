//! What must not end a server.

use crate::host::{EPOCH, Host, SOON, as_long_as, end_of, signal, until};
use actors::guard::control_file::DbState;
use actors::tree::clock::boottime;
use nix::sys::signal::Signal;
use std::time::Duration;

/// Leases of three seconds, renewed for six.
pub(crate) async fn renewals_keep_a_primary_alive(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let epoch = EPOCH.next().next();
    let ttl = Duration::from_secs(3);
    let writer = host.connect().await.unwrap();
    writer.batch_execute("CREATE TABLE written (n int)").await.unwrap();
    as_long_as("it takes writes", 2 * ttl, async || {
        guard.lease(epoch, boottime() + ttl, SOON).await.unwrap();
        writer.batch_execute("INSERT INTO written VALUES (1)").await.is_ok()
    })
    .await;
}

/// A lease comes and goes, and the standby stays.
pub(crate) async fn a_standby_outlives_its_lease(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.standby(&guard).await;
    let end = guard.lease(EPOCH, boottime() + Duration::from_secs(1), SOON).await.unwrap();
    let reader = host.connect().await.unwrap();
    as_long_as("the standby answers", Duration::from_secs(2), async || reader.batch_execute("SELECT 1").await.is_ok()).await;
    assert!(boottime() > end);
    assert!(!guard.status(SOON).await.unwrap().server.unwrap().writable);
}

/// Its control file says "in production", then "in crash recovery", and only then what a standby's says. The postmaster is stopped in
/// between, so that the guard sees each of them for long.
pub(crate) async fn a_crashed_primary_may_come_back_as_a_standby(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.primary(&guard, SOON).await;
    let writer = host.connect().await.unwrap();
    writer.batch_execute("CREATE TABLE written AS SELECT generate_series(1, 300000) AS n").await.unwrap();
    guard.kill(SOON).await.unwrap();
    assert_eq!(host.control_file().state, DbState::InProduction);
    host.make_standby();
    guard.drop_lease(EPOCH.next(), SOON).await.unwrap();
    let mut launch = host.launch(None);
    launch.args.extend(["-c".to_owned(), "log_startup_progress_interval=0".to_owned()]);
    guard.start(launch, SOON).await.unwrap();
    let mut recovered_from_a_crash = false;
    until("it is a standby", async || {
        let state = host.control_file().state;
        if state == DbState::InCrashRecovery && !recovered_from_a_crash {
            recovered_from_a_crash = true;
            hold(host, Duration::from_millis(400)).await;
        }
        state == DbState::InArchiveRecovery
    })
    .await;
    assert!(recovered_from_a_crash, "the test did not see what it is about");
    host.answers().await;
    let reader = host.connect().await.unwrap();
    as_long_as("the standby answers", Duration::from_millis(500), async || reader.batch_execute("SELECT 1").await.is_ok()).await;
}

/// Stops every process of the server for a while.
async fn hold(host: &Host, period: Duration) {
    let processes = host.inhabitants();
    let all = |which| processes.iter().for_each(|pid| signal(pid.cast_unsigned(), which));
    all(Signal::SIGSTOP);
    as_long_as("the processes are there", period, async || host.inhabitants() == processes).await;
    all(Signal::SIGCONT);
}

/// The daemon's connection breaks, and a new daemon finds the server as it was.
pub(crate) async fn a_new_daemon_takes_the_running_server_over(host: &Host) {
    let (old, _events) = host.guard().await;
    let pid = host.primary(&old, Duration::from_secs(10)).await;
    let before = old.status(SOON).await.unwrap();
    let session = host.connect().await.unwrap();
    let guard_pid = old.identity().pid;
    drop(old);
    let (new, _new_events) = host.guard().await;
    assert_eq!(new.identity().pid, guard_pid);
    let after = new.status(SOON).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(after.server.and_then(|server| server.pid), Some(pid));
    let later = new.lease(EPOCH.next(), boottime() + Duration::from_secs(11), SOON).await.unwrap();
    assert!(later > end_of(&before));
    as_long_as("the session goes on", Duration::from_millis(500), async || session.batch_execute("SELECT 1").await.is_ok()).await;
}

/// Service managers and terminals send signals to whole groups of processes.
pub(crate) async fn a_stray_signal_does_not_end_the_guard(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.standby(&guard).await;
    for stray in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGTSTP] {
        signal(guard.identity().pid, stray);
        guard.status(SOON).await.unwrap();
    }
    let reader = host.connect().await.unwrap();
    reader.batch_execute("SELECT 1").await.unwrap();
}
