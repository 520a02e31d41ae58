//! Before a primary is stopped for another one: who would keep the stop waiting, and whether it is for anything.
//!
//! A server that was told to shut down writes its last checkpoint, and then waits for everybody whom it sends its log to, and for its archiver. With
//! a receiver that takes nothing it does not even write the checkpoint. Nobody can write meanwhile. So whoever does not keep up is sent away
//! while writes are still accepted, and what is left once `pg_control` says "shut down" is killed (`pg-stop-rest`).
//!
//! Nothing is lost by that. The target's sender is waited for (D4). Another receiver goes on from where it is with the next primary: its slot, or
//! `wal_keep_size`, has what it lacks. An archiver that gets on is given the time that it needs (`archiver.rs`).

use super::archiver::LEAST;
use super::operations::{Failure, Sender, Session};
use super::processes::title;
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
use std::sync::{MutexGuard, PoisonError};
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

/// What was found out when the last stop was prepared. Nothing: it was not prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    /// The processes that send to the standbys which kept up.
    senders: Option<BTreeSet<u32>>,
    /// How long the archiver may take once the server has shut down.
    pub(super) archiver: Option<Duration>,
}

/// Waits for the receivers to take what is written, and sends those away that do not. Answers why the target of the switchover cannot take over, if
/// that is so: then nobody was sent away.
pub(super) async fn make_way(shop: &Shop, session: &mut Session) -> Result<Option<String>, Failure> {
    let members: BTreeSet<String> = (shop.surroundings.data_nodes)().into_iter().map(Settings::slot_of).collect();
    let end = session.flushed(BRIEF).await?;
    let begun = Instant::now();
    let is_late = |sender: &Sender| sender.flushed.is_none_or(|flushed| flushed < end);
    // Others are not waited for: they may tell how far they are only every few seconds.
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
    // The sender of a receiver that takes nothing keeps even the last checkpoint waiting once the sockets between them are full.
    let (late, kept): (Vec<_>, Vec<_>) = senders.into_iter().partition(is_late);
    shop.prepared().senders = Some(kept.iter().filter(|sender| members.contains(&sender.name)).map(|sender| sender.pid).collect());
    let names: Vec<String> = late.iter().map(|sender| format!("{} at {}", sender.name, sender.client)).collect();
    if !late.is_empty() {
        tracing::warn!(
            receivers = names.join(", "),
            "who has not confirmed what was written is sent away, since the stop would wait for it; it can go on with the next primary"
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
    pub(super) fn prepared(&self) -> MutexGuard<'_, Prepared> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is left of a server that has shut down.
    pub(super) async fn leftover(&self, control: Option<ControlHead>) -> Option<Leftover> {
        control.filter(|head| head.state.is_clean())?;
        let (site, Prepared { senders: awaited, archiver }) = (self.site().clone(), self.prepared().clone());
        self.disk
            .run(move || {
                let residents = guard::residents(&site.data_dir()).ok()?;
                let postmaster = fs::read_to_string(launch::pid_file(&site)).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
                let left: Vec<(u32, String)> =
                    residents.into_iter().filter(|pid| Some(*pid) != postmaster).map(|pid| (pid, title(pid))).collect();
                let archives = is_recent(&site.data_dir().join("global/pg_control"), wall(), archiver.unwrap_or(LEAST));
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

/// Whether the file was changed or renamed within that time. Files know the time of day only; where that is set, a moment more or less is waited.
fn is_recent(file: &Path, now: WallClock, within: Duration) -> bool {
    let Ok(file) = fs::symlink_metadata(file) else { return false };
    let changed = Duration::from_secs(file.ctime().unsigned_abs()) + Duration::from_nanos(file.ctime_nsec().unsigned_abs());
    Duration::from_millis(now.0).saturating_sub(changed) < within
}
