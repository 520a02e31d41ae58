//! Before a primary is stopped for another one: who would keep the stop waiting, and whether it is for anything.
//!
//! A server that was told to shut down writes its last checkpoint, and then waits for everybody whom it sends its log to, and for its archiver. With
//! a receiver of rows that takes nothing it does not even write the checkpoint. Nobody can write meanwhile. So whoever does not keep up is sent away
//! while writes are still accepted, and what is left once `pg_control` says "shut down" is killed (`pg-stop-rest`).
//!
//! Nothing is lost by that. The target's sender is waited for (D4). Another receiver goes on from where it is with the next primary: its slot, or
//! `wal_keep_size`, has what it lacks. An archiver that gets on is given time to bring the last segments away: the successor takes them for
//! archived, and the archive would have a hole. One that hangs has that hole already; the condition `archive-gap` names it.

use super::operations::{Failure, Sender, Session};
use super::{Shop, launch};
use crate::guard;
use crate::model::{Lsn, NodeId, WallClock};
use crate::pg::control::ControlHead;
use crate::pg::{Leftover, Settings};
use crate::tree::clock::wall;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One question over the session.
const BRIEF: Duration = Duration::from_secs(2);
/// A receiver that is well has on its disk what was written before this time. It costs no outage: writes are accepted meanwhile.
const KEEP_UP_MAX: Duration = Duration::from_secs(1);
/// The target is given longer: without it the stop would be for nothing.
const TARGET_MAX: Duration = Duration::from_secs(4);
/// How long those who are sent away may take.
const GO_MAX: Duration = Duration::from_millis(500);
/// Between two looks.
const STEP: Duration = Duration::from_millis(20);
/// An archive command that takes longer than this hangs, for all that is known. It is a part of the outage.
const ARCHIVE_STEP: Duration = Duration::from_secs(2);
/// How long an archiver that gets on is waited for once the server has shut down.
const ARCHIVE_MAX: Duration = Duration::from_secs(5);
/// What a target may have left to replay: the part of it that was not replayed when it is appointed is a part of the outage.
const REPLAY_MAX: u64 = 16 << 20;

/// Why the target could not take over if the primary stopped now. None: it could.
fn hindrance(target: NodeId, senders: &[Sender], end: Lsn) -> Option<String> {
    let slot = Settings::slot_of(target);
    let Some(sender) = senders.iter().find(|sender| sender.name == slot) else { return Some("does not stream".to_owned()) };
    let lag = |at: Option<Lsn>| end.ahead_of(at.unwrap_or_default());
    if lag(sender.flushed) > 0 {
        return Some(format!("has not received {} bytes of what was written a moment ago", lag(sender.flushed)));
    }
    (lag(sender.replayed) > REPLAY_MAX).then(|| format!("has {} bytes of the log still to replay", lag(sender.replayed)))
}

/// Waits for the receivers to take what is written, and sends those away that do not. Answers why the target of the switchover cannot take over, if
/// that is so: then nobody was sent away.
pub(super) async fn make_way(shop: &Shop, session: &mut Session) -> Result<Option<String>, Failure> {
    *shop.awaited.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let members: BTreeSet<String> = (shop.surroundings.data_nodes)().into_iter().map(Settings::slot_of).collect();
    let end = session.flushed(BRIEF).await?;
    let begun = Instant::now();
    let is_late = |sender: &Sender| sender.flushed.is_none_or(|flushed| flushed < end);
    // What is sent blocks and is no member delays only what comes after the checkpoint.
    let matters = |sender: &Sender| members.contains(&sender.name) || sender.logical;
    let senders = loop {
        let senders = session.senders(BRIEF).await?;
        let hindrance = (shop.surroundings.successor)().and_then(|target| hindrance(target, &senders, end));
        let all_keep_up = !senders.iter().any(|sender| matters(sender) && is_late(sender));
        match hindrance {
            Some(reason) if begun.elapsed() >= TARGET_MAX => return Ok(Some(reason)),
            None if all_keep_up || begun.elapsed() >= KEEP_UP_MAX => break senders,
            _ => sleep(STEP).await,
        }
    };
    let (late, kept): (Vec<_>, Vec<_>) = senders.into_iter().filter(|sender| matters(sender)).partition(is_late);
    *shop.awaited.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(kept.iter().filter(|sender| members.contains(&sender.name)).map(|sender| sender.pid).collect());
    let names: Vec<String> = late.iter().map(|sender| format!("{} at {}", sender.name, sender.client)).collect();
    if !late.is_empty() {
        tracing::warn!(
            receivers = names.join(", "),
            "who has not taken for a second what was written is sent away, since the stop would wait for it"
        );
    }
    let mut left: Vec<u32> = late.iter().map(|sender| sender.pid).collect();
    let begun = Instant::now();
    while !left.is_empty() && begun.elapsed() < GO_MAX {
        session.end_backends(&left, BRIEF).await?;
        sleep(STEP * 2).await;
        let there = session.senders(BRIEF).await?;
        left.retain(|pid| there.iter().any(|sender| sender.pid == *pid));
    }
    Ok(None)
}

impl Shop {
    /// Who is left of a server that has shut down.
    pub(super) async fn leftover(&self, control: Option<ControlHead>) -> Option<Leftover> {
        control.filter(|head| head.state.is_clean())?;
        let (site, awaited) = (self.site().clone(), self.awaited.lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.disk
            .run(move || {
                let residents = guard::residents(&site.data_dir()).ok()?;
                let postmaster = fs::read_to_string(launch::pid_file(&site)).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
                let left: Vec<(u32, String)> =
                    residents.into_iter().filter(|pid| Some(*pid) != postmaster).map(|pid| (pid, title(pid))).collect();
                let archives =
                    is_recent(&site.data_dir().join("global/pg_control"), wall(), ARCHIVE_MAX) && gets_on(&site.data_dir(), wall());
                let awaits = |(pid, title): &(u32, String)| match &awaited {
                    _ if title.contains("archiver") => archives,
                    Some(awaited) => awaited.contains(pid),
                    // Nobody looked who kept up: whoever is sent the log may be the one that needs it.
                    None => title.contains("walsender"),
                };
                Some(Leftover { awaited: left.iter().any(awaits), names: left.into_iter().map(|(_, title)| title).collect() })
            })
            .await
    }
}

/// Whether the archiver of that database is not stuck: it has archived something a moment ago, or what waits for it waits only since then.
fn gets_on(data_dir: &Path, now: WallClock) -> bool {
    let files = fs::read_dir(data_dir.join("pg_wal/archive_status")).into_iter().flatten().flatten().map(|file| file.path());
    let (ready, done): (Vec<_>, Vec<_>) = files.partition(|file| file.extension().is_some_and(|kind| kind == "ready"));
    ready.iter().all(|file| is_recent(file, now, ARCHIVE_STEP)) || done.iter().any(|file| is_recent(file, now, ARCHIVE_STEP))
}

/// Whether the file was changed or renamed within that time. Files know the time of day only; where that is set, a moment more or less is waited.
fn is_recent(file: &Path, now: WallClock, within: Duration) -> bool {
    let Ok(file) = fs::symlink_metadata(file) else { return false };
    let changed = Duration::from_secs(file.ctime().unsigned_abs()) + Duration::from_nanos(file.ctime_nsec().unsigned_abs());
    Duration::from_millis(now.0).saturating_sub(changed) < within
}

/// A process of a server says in its command line what it does.
pub(super) fn title(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let title = line.trim().strip_prefix("postgres: ").unwrap_or(line.trim());
    if title.is_empty() { format!("process {pid}") } else { title.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archiver_that_gets_on_is_told_from_one_that_hangs() {
        let data_dir = tempfile::tempdir().unwrap();
        let status = data_dir.path().join("pg_wal/archive_status");
        fs::create_dir_all(&status).unwrap();
        assert!(gets_on(data_dir.path(), wall()), "nothing waits");
        fs::write(status.join("000000010000000000000001.ready"), "").unwrap();
        assert!(gets_on(data_dir.path(), wall()), "it has just been handed that");
        let later = WallClock(wall().0 + u64::try_from(ARCHIVE_STEP.as_millis()).unwrap() + 1000);
        assert!(!gets_on(data_dir.path(), later));
        fs::write(status.join("000000010000000000000000.done"), "").unwrap();
        assert!(
            gets_on(data_dir.path(), wall()) && !gets_on(data_dir.path(), WallClock(later.0 + 60_000)),
            "it brought one away, and then none"
        );
    }
}
