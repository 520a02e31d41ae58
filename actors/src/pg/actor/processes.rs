//! The processes of a server, by what they say of themselves in the list of processes: also of a server that lets nobody in.

use super::operations::{Site, blocking, tell};
use crate::guard;
use crate::model::Lsn;
use nix::sys::signal::Signal;
use std::fs;

/// A process of a server says in its command line what it does.
pub(super) fn title(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let title = line.trim().strip_prefix("postgres: ").unwrap_or(line.trim());
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
