//! How the guard deals with its daemon, and with what is not one.

use crate::host::{BIN, EPOCH, Host, SOON, exit};
use actors::guard::wire::{Answer, Asked, ExitCause, ExitStatus, PROTOCOL, Refusal, Request, Said, StopMode, decode, encode};
use actors::guard::{Client, Error, Event};
use actors::model::Timeline;
use actors::tree::clock::boottime;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Every field against PostgreSQL's own program.
pub(crate) async fn the_control_file_reads_as_pg_controldata_reads_it(host: &Host) {
    let output = Command::new(format!("{BIN}/pg_controldata")).env("LC_ALL", "C").env("TZ", "UTC").arg(host.pgdata()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let says = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no `{name}` in {text}")).trim().to_owned()
    };
    let control = host.control_file();
    assert_eq!(says("Database system identifier"), control.system_identifier.to_string());
    assert_eq!(says("pg_control version number"), control.pg_control_version.to_string());
    assert_eq!(says("Catalog version number"), control.catalog_version.to_string());
    assert_eq!(says("Database cluster state"), control.state.to_string());
    assert_eq!(says("Latest checkpoint location"), control.checkpoint.to_string());
    assert_eq!(says("Latest checkpoint's REDO location"), control.redo.to_string());
    assert_eq!(says("Latest checkpoint's TimeLineID"), control.timeline.0.to_string());
    assert_eq!(control.timeline, Timeline(1));
    let date = Command::new("date").args(["-u", "-d", &says("pg_control last modified"), "+%s"]).output().unwrap();
    assert_eq!(String::from_utf8(date.stdout).unwrap().trim(), control.time.to_string());
}

/// Fast, and without a word about it being unexpected.
pub(crate) async fn a_server_stops_when_told_to(host: &Host) {
    let (guard, mut events) = host.guard().await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        host.standby(&guard).await;
        guard.stop(mode, SOON).await.unwrap();
        let exit = exit(&mut events).await;
        assert_eq!((exit.cause, exit.status), (ExitCause::Stopped, Some(ExitStatus::Code(0))), "{mode:?}");
        assert!(host.inhabitants().is_empty());
    }
}

/// Neither by a start as a primary, nor by the start of a standby that would not be one.
pub(crate) async fn nothing_becomes_writable_without_a_lease(host: &Host) {
    let (guard, _events) = host.guard().await;
    let refusal = |result: Result<u32, Error>| match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused but {other:?}"),
    };
    let as_primary = guard.start(host.launch(Some(EPOCH)), SOON).await;
    assert_eq!(refusal(as_primary), Refusal::NoLease { epoch: EPOCH });
    guard.lease(EPOCH, boottime() + Duration::from_millis(500), SOON).await.unwrap();
    let late = guard.start(host.launch(Some(EPOCH)), SOON).await;
    assert_eq!(refusal(late), Refusal::NoLease { epoch: EPOCH });
    let no_signal_file = guard.start(host.launch(None), SOON).await;
    assert!(matches!(refusal(no_signal_file), Refusal::NotStarted { reason } if reason.contains("standby.signal")));
    let mut nowhere = host.launch(None);
    nowhere.program = "/nowhere/postgres".to_owned();
    host.make_standby();
    assert!(matches!(refusal(guard.start(nowhere, SOON).await), Refusal::NotStarted { reason } if reason.contains("/nowhere")));
    assert_eq!(guard.status(SOON).await.unwrap().server, None);
    assert!(host.inhabitants().is_empty());
}

/// A second one gives up and says why, and many daemons at once meet the same one.
pub(crate) async fn there_is_one_guard_for_a_data_directory(host: &Host) {
    let (guard, _events) = host.guard().await;
    let arguments = host.options().arguments;
    let second = Command::new("/proc/self/exe").args(arguments.command_line()).output().unwrap();
    assert!(!second.status.success());
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert!(complaint.contains(&guard.identity().pid.to_string()) && complaint.contains("guard.lock"), "{complaint}");
    guard.status(SOON).await.expect("the first one is unharmed");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(arguments.socket), mode(arguments.lock), mode(host.options().log)), (0o600, 0o600, 0o600));
}

/// Not while there is a server. Afterwards a new one starts.
pub(crate) async fn a_guard_quits_when_it_is_told_to(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.standby(&guard).await;
    assert!(matches!(guard.quit(SOON).await, Err(Error::Refused(Refusal::ServerPresent))));
    guard.kill(SOON).await.unwrap();
    assert_eq!(exit(&mut events).await.cause, ExitCause::Killed);
    guard.quit(SOON).await.unwrap();
    assert_eq!(timeout(SOON, events.recv()).await, Ok(Some(Event::Lost)));
    let (next, _events) = host.guard().await;
    assert_ne!(next.identity().pid, guard.identity().pid);
}

/// Garbage and frames of a gigabyte.
pub(crate) async fn nonsense_closes_its_own_connection_and_harms_nothing(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.standby(&guard).await;
    for nonsense in [b"\0\0\0\x05hello".as_slice(), b"\x40\0\0\0", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stranger = UnixStream::connect(&host.options().arguments.socket).await.unwrap();
        stranger.write_all(nonsense).await.unwrap();
        closed(&stranger).await;
    }
    assert!(guard.status(SOON).await.expect("the daemon is still connected").server.is_some());
}

/// Monitoring, or a person with `nc`. However many there are, a daemon comes in.
pub(crate) async fn whoever_says_nothing_takes_no_place_and_is_sent_away(host: &Host) {
    let (guard, mut events) = host.guard().await;
    host.standby(&guard).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(UnixStream::connect(&host.options().arguments.socket).await.unwrap());
        guard.status(SOON).await.expect("the daemon is still connected");
    }
    for stranger in &silent {
        closed(stranger).await;
    }
    guard.status(SOON).await.expect("the daemon is still connected");
    let (next, _events) = host.guard().await;
    assert!(next.status(SOON).await.unwrap().server.is_some());
    assert_eq!(timeout(SOON, events.recv()).await, Ok(Some(Event::Lost)), "a newer daemon takes the place of the one before");
    assert!(matches!(guard.status(SOON).await, Err(Error::Lost)));
}

/// Somebody who speaks another protocol, or does not introduce himself, hears why he is not served.
pub(crate) async fn only_a_daemon_takes_the_place_of_the_daemon(host: &Host) {
    let (guard, _events) = host.guard().await;
    let protocol = PROTOCOL + 1;
    for (request, refusal) in
        [(Request::Hello { protocol }, Refusal::Protocol { guard: PROTOCOL, daemon: protocol }), (Request::Kill, Refusal::NoHello)]
    {
        let mut stranger = UnixStream::connect(&host.options().arguments.socket).await.unwrap();
        let body = encode(&Asked { id: 5, request }).unwrap();
        stranger.write_u32(u32::try_from(body.len()).unwrap()).await.unwrap();
        stranger.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stranger.read_to_end(&mut answer)).await.expect("the guard closes the connection").unwrap();
        assert_eq!(decode::<Said>(&answer[4..]).unwrap(), Said::Answer { id: 5, answer: Answer::Refused(refusal) });
        guard.status(SOON).await.expect("the daemon is still connected");
    }
}

async fn closed(stranger: &UnixStream) {
    timeout(SOON, stranger.readable()).await.expect("the guard closes the connection").unwrap();
    // The end of the stream, or a reset.
    assert!(!matches!(stranger.try_read(&mut [0]), Ok(1)));
}

/// What it has for itself: its heap and stack, and the pages of the program that it changed.
pub(crate) async fn the_guard_is_small(host: &Host) {
    let (guard, _events) = host.guard().await;
    host.standby(&guard).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.identity().pid)).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    };
    println!("    resident: {} kB, of it anonymous {} kB, locked {} kB", number("VmRSS"), number("RssAnon"), number("VmLck"));
    assert!(number("RssAnon") < 2048, "{status}");
    assert_eq!(number("Threads"), 1);
    let (_, limit) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
    assert_eq!(number("VmLck") > 0, limit == RLIM_INFINITY, "memory is locked where that is allowed");
}

/// The file was changed while no daemon ran.
pub(crate) async fn a_guard_with_an_old_margin_or_directory_is_replaced_unless_it_has_a_server(host: &Host) {
    let old = host.guard().await.0.identity().clone();
    let mut options = host.options();
    options.arguments.kill_margin += Duration::from_millis(100);
    let (guard, _events) = Client::spawn_or_connect(options.clone(), SOON).await.unwrap();
    assert_ne!(guard.identity().pid, old.pid);
    assert_eq!(guard.identity().kill_margin, options.arguments.kill_margin);

    host.standby(&guard).await;
    let (same, _events) = Client::spawn_or_connect(host.options(), SOON).await.unwrap();
    assert_eq!(same.identity(), guard.identity(), "a server is worth more than a margin");
    let mut elsewhere = host.options();
    elsewhere.arguments.pgdata = host.directory.join("elsewhere");
    std::fs::create_dir(&elsewhere.arguments.pgdata).unwrap();
    let refused = Client::spawn_or_connect(elsewhere.clone(), SOON).await.expect_err("its server is there");
    assert!(refused.to_string().contains("has a server there"), "{refused}");

    let (same, _events) = Client::spawn_or_connect(options, SOON).await.unwrap();
    same.kill(SOON).await.unwrap();
    let (other, _events) = Client::spawn_or_connect(elsewhere.clone(), SOON).await.unwrap();
    assert_eq!(other.identity().pgdata, elsewhere.arguments.pgdata.to_string_lossy());
    other.quit(SOON).await.unwrap();
}
