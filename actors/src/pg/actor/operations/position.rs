//! Where a stopped database's log ends, and how its history relates to the primary's.

use super::durable::read_if_exists;
use super::program::{Patience, ProgramFailure};
use super::walk::Walk;
use super::{Failure, Site, blocking};
use crate::model::{Lsn, Position, Promotion, Timeline};
use crate::pg::ancestry::Ancestry;
use crate::pg::control::{ControlData, ControlState};
use crate::pg::wal::{Geometry, history_file_name};
use std::time::Duration;
use tokio::time::Instant;

/// `pg_controldata` reads one block.
const ONE_READ: Patience = Patience::Total(ONE_RECORD);
/// `pg_waldump` of one record reads a page or two.
const ONE_RECORD: Duration = Duration::from_secs(20);
/// Not more than one segment of the log is read.
const ONE_SEGMENT: Duration = Duration::from_secs(20);

/// Where the log of a stopped server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndOfWal {
    /// The last timeline.
    pub timeline: Timeline,
    /// The end of the last whole record.
    pub lsn: Lsn,
    /// A primary that was shut down cleanly: the end of its shutdown checkpoint's record (D4).
    pub clean: bool,
    /// A record was read that ends there, or a running server has all up to there. Otherwise only `pg_control` says so; after a rewind it names an
    /// end that is yet to be streamed.
    pub seen: bool,
}

/// All of `pg_control`.
///
/// # Errors
/// `pg_controldata` fails or is not understood.
pub async fn controldata(site: &Site) -> Result<ControlData, Failure> {
    let text = site.installation.run("pg_controldata", ONE_READ).arg(site.data_dir()).output().await?;
    if text.contains("does not match value stored in") {
        return Err(Failure::Damaged { path: site.settings.data_dir.clone(), reason: "the checksum of the control file is wrong".into() });
    }
    Ok(ControlData::parse(&text)?)
}

/// Where the log ends of a server that is stopped, or of a standby that has not received anything yet. After anything but a clean shutdown of a primary
/// the end of the log is looked for, at most `within`.
///
/// # Errors
/// A program fails, or the end is not found in time.
pub async fn end_of_wal(site: &Site, within: Duration) -> Result<EndOfWal, Failure> {
    let control = controldata(site).await?;
    let geometry = control.geometry();
    if control.state == ControlState::ShutDown {
        let lsn = end_of_checkpoint(site, &control).await?;
        return Ok(EndOfWal { timeline: control.timeline, lsn, clean: true, seen: true });
    }
    has_its_checkpoint(site, &control).await?;
    let deadline = Instant::now() + within;
    // What a standby must replay to be consistent is there, or it would not have noted it.
    let (mut timeline, start) = if control.min_recovery > control.redo {
        (control.min_recovery_timeline, control.min_recovery)
    } else {
        (control.timeline, control.redo)
    };
    let walk = Walk { site, geometry, deadline };
    let mut lsn = walk.end(timeline, start).await?;
    let mut seen = lsn > start;
    for later in later_timelines(site, timeline).await? {
        let Some(left) = later.left_at(timeline).filter(|left| *left <= lsn) else { continue };
        // Its history may be here without any of its log.
        if let Ok(end) = walk.end(later.timeline(), left.max(later.began_at())).await
            && end > later.began_at()
        {
            (timeline, lsn, seen) = (later.timeline(), end, true);
        }
    }
    Ok(EndOfWal { timeline, lsn, clean: false, seen })
}

/// How far the log of a running standby can be read that lets nobody in, and whether that is enough for the database to be consistent.
///
/// # Errors
/// A program fails, or the end is not found in time.
pub async fn end_of_closed(site: &Site, within: Duration) -> Result<(Position, bool), Failure> {
    let control = controldata(site).await?;
    let end = end_of_wal(site, within).await?;
    if end.seen || end.lsn == control.redo {
        return Ok((Position { timeline: end.timeline, lsn: end.lsn }, !control.copying));
    }
    // What `pg_control` names may be yet to be streamed.
    let segment_begins = Lsn(end.lsn.0.saturating_sub(1) / control.wal_segment_size * control.wal_segment_size);
    let readable = readable_until(site, control.geometry(), end.timeline, segment_begins, within).await?;
    if readable >= end.lsn {
        return Ok((Position { timeline: end.timeline, lsn: readable }, !control.copying));
    }
    let lsn = readable_until(site, control.geometry(), control.timeline, control.redo, within).await?;
    Ok((Position { timeline: control.timeline, lsn }, false))
}

/// How far the log of a timeline can be read here, beginning at `from` or at the first record after it. `from` itself: not at all.
///
/// # Errors
/// A program fails, or does not come to an end within `within`.
pub(super) async fn readable_until(
    site: &Site,
    geometry: Geometry,
    timeline: Timeline,
    from: Lsn,
    within: Duration,
) -> Result<Lsn, Failure> {
    Walk { site, geometry, deadline: Instant::now() + within }.end(timeline, from).await
}

/// What a database lacks that must hold everything up to `least` (D5), in words. None: nothing. `at`: how far a running server says that it is. It may
/// still replay what it has, so the log is looked at, too; it is read only where the last checkpoint does not prove enough.
///
/// # Errors
/// A program fails, or a history is malformed.
pub async fn lacks(site: &Site, least: Position, at: Option<Position>) -> Result<Option<String>, Failure> {
    let control = controldata(site).await?;
    let timeline = at.map_or(control.timeline, |at| at.timeline.max(control.timeline));
    let mut lines = later_timelines(site, timeline).await?;
    lines.insert(0, own_ancestry(site, timeline).await?);
    // A primary that died young has its history, and no checkpoint on it yet.
    let goes_on = |line: &&Ancestry| {
        let any = least.timeline == Timeline(0);
        any || line.timeline() == least.timeline || line.left_at(least.timeline).is_some_and(|left| left >= least.lsn)
    };
    let must = format!("it must go on from {}", least.lsn);
    let Some(line) = lines.iter().rev().find(goes_on) else {
        let wanted = least.timeline;
        return Ok(Some(format!("the database here is on timeline {timeline}, and {must} on timeline {wanted}")));
    };
    // Who began a timeline has all before it.
    let began = line.timeline() == least.timeline && line.began_at() >= least.lsn;
    let proved = control.checkpoint.max(control.min_recovery).max(at.unwrap_or_default().lsn);
    if began || proved >= least.lsn {
        return Ok(None);
    }
    let (geometry, timeline) = (control.geometry(), line.before(least.lsn));
    let segment_begins = Lsn(least.lsn.0.saturating_sub(1) / geometry.segment * geometry.segment);
    let from = segment_begins.max(line.began(timeline).unwrap_or_default());
    let ends = readable_until(site, geometry, timeline, from, ONE_SEGMENT).await?.max(proved);
    Ok((ends < least.lsn).then(|| format!("the log here ends at {ends} or before, and {must}")))
}

/// Without the record of its last checkpoint no server starts. A copy that has not been started begins with another.
async fn has_its_checkpoint(site: &Site, control: &ControlData) -> Result<(), Failure> {
    let label = site.data_dir().join("backup_label");
    if blocking(move || label.exists()).await {
        return Ok(());
    }
    end_of_checkpoint(site, control).await.map(drop)
}

/// What `pg_waldump` says when a disk or a right is to blame, and not what lies there.
const NOT_DAMAGE: [&str; 3] = ["Permission denied", "Input/output error", "Too many open files"];

async fn end_of_checkpoint(site: &Site, control: &ControlData) -> Result<Lsn, Failure> {
    let at = control.checkpoint;
    let damaged = |why: &str| {
        let reason = format!("the record of its last checkpoint, at {at}, is not in its log{why}");
        Err(Failure::Damaged { path: site.settings.data_dir.clone(), reason })
    };
    let walk = Walk { site, geometry: control.geometry(), deadline: Instant::now() + ONE_RECORD };
    match walk.end_of_record(control.timeline, at).await {
        Ok(end) if end == at => damaged(""),
        Err(Failure::Program(ProgramFailure::Failed { output, .. })) if !NOT_DAMAGE.iter().any(|words| output.contains(words)) => {
            damaged(&format!(" ({})", output.trim()))
        }
        other => other,
    }
}

/// The history of this directory's timeline.
///
/// # Errors
/// Its file is missing (it is needed from the second timeline on) or malformed.
pub async fn own_ancestry(site: &Site, timeline: Timeline) -> Result<Ancestry, Failure> {
    if timeline <= Timeline(1) {
        return Ok(Ancestry::first(timeline));
    }
    let path = site.data_dir().join("pg_wal").join(history_file_name(timeline));
    let shown = path.display().to_string();
    let text = blocking(move || read_if_exists(&path)).await?;
    let damaged = |reason| Failure::Damaged { path: shown.clone(), reason };
    let missing = || damaged(format!("the history of timeline {timeline} is missing, so nobody can tell where it began"));
    Ancestry::parse(timeline, &text.ok_or_else(missing)?).map_err(|error| damaged(error.to_string()))
}

/// A timeline of this directory, and where it began.
///
/// # Errors
/// Its history is missing or malformed.
pub async fn promotion(site: &Site, timeline: Timeline) -> Result<Promotion, Failure> {
    Ok(Promotion { timeline, lsn: own_ancestry(site, timeline).await?.began_at(), mark: None })
}

/// The newest timeline of this directory, from that one on, and where it began.
///
/// # Errors
/// A history is missing or malformed.
pub async fn newest_promotion(site: &Site, from: Timeline) -> Result<Promotion, Failure> {
    let newest = later_timelines(site, from).await?.pop();
    promotion(site, newest.map_or(from, |line| line.timeline())).await
}

/// The histories in this directory of timelines after that one, in their order.
async fn later_timelines(site: &Site, timeline: Timeline) -> Result<Vec<Ancestry>, Failure> {
    let folder = site.data_dir().join("pg_wal");
    let mut numbers = blocking(move || {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let number = |name: String| u32::from_str_radix(name.strip_suffix(".history")?, 16).ok();
        names.filter_map(number).filter(|number| *number > timeline.0).collect::<Vec<_>>()
    })
    .await;
    numbers.sort_unstable();
    let mut found = Vec::new();
    for number in numbers {
        found.push(own_ancestry(site, Timeline(number)).await?);
    }
    Ok(found)
}
