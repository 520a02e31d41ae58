//! The processes of a server, by what they say of themselves in the list of processes: also of a server that lets nobody in.

use super::operations::{Site, blocking, tell};
use crate::guard;
use crate::model::Lsn;
use nix::sys::signal::Signal;
use std::fs;

/// What the kernel tells of a process.
pub(super) struct Told {
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) ticks: u64,
}

/// None: it is gone, or dead and not reaped yet.
pub(super) fn told(process: u32) -> Option<Told> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in parentheses and may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    let state = fields.first()?.chars().next()?;
    (state != 'Z').then_some(Told { state, parent, ticks: number(11)? + number(12)? })
}

/// What it read and wrote so far. A program that hides that is judged by its time alone.
pub(super) fn moved(process: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let count = |line: &str| line.split_once("char: ")?.1.trim().parse::<u64>().ok();
    io.lines().filter_map(count).sum()
}

pub(super) fn line(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

/// A process of a server says in its command line what it does.
pub(super) fn title(pid: u32) -> String {
    let line = line(pid);
    let title = line.strip_prefix("postgres: ").unwrap_or(&line);
    if title.is_empty() { format!("process {pid}") } else { title.to_owned() }
}

/// Those that receive the log from an upstream, or are about to. `pg_stat_wal_receiver` shows none that is only connecting.
pub(super) async fn receivers(site: &Site) -> Vec<u32> {
    let data_dir = site.data_dir();
    blocking(move || {
        let residents = guard::residents(&data_dir).unwrap_or_default();
        residents.into_iter().filter(|pid| is_receiver(&title(*pid))).collect()
    })
    .await
}

/// The receiver of a standby that is to follow nobody is told to end: one that only waits for its next instruction would stay for ever.
pub(super) async fn end_receiver(site: &Site, receiver: u32) {
    // One that is gone needs no telling.
    let _ = tell(site, receiver, Signal::SIGTERM).await;
}

/// The cluster's name may stand before it. A session's title has its role, its database, its client and what it does, so no role and no database can
/// be called so that it looks like this.
fn is_receiver(title: &str) -> bool {
    let own = title.rsplit(": ").next().unwrap_or(title);
    let is_lsn = |text: &str| text.parse::<Lsn>().is_ok();
    match own.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["walreceiver"] | ["walreceiver", "idle" | "waiting"] => true,
        ["walreceiver", "streaming", lsn] | ["walreceiver", "restarting", "at", lsn] => is_lsn(lsn),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_known_by_its_title_and_no_session_is_taken_for_one() {
        for title in [
            "walreceiver",
            "walreceiver streaming 0/3000148",
            "it's: a cluster: walreceiver idle",
            "c: walreceiver restarting at 0/3000000",
        ] {
            assert!(is_receiver(title), "{title}");
        }
        for title in [
            "walreceiver postgres [local] idle",
            "c: walreceiver streaming 127.0.0.1(4711) idle",
            "x: walreceiver: walreceiver [local] SELECT",
            "walsender replicator 127.0.0.1(4711) streaming 0/3000148",
            "startup recovering 000000010000000000000003",
            "process 4711",
        ] {
            assert!(!is_receiver(title), "{title}");
        }
    }
}
