//! Where a stopped database's log ends, and how its history relates to the primary's.

use super::durable::{FileFailure, failing, read_if_exists};
use super::program::{Patience, ProgramFailure};
use super::{Failure, Site, blocking};
use crate::model::{Lsn, Position, Promotion, Timeline};
use crate::pg::ancestry::Ancestry;
use crate::pg::control::{ControlData, ControlState};
use crate::pg::wal::{Geometry, Record, history_file_name};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// `pg_controldata` reads one block; `pg_waldump` of one record, a page or two.
const ONE_READ: Patience = Patience::Total(Duration::from_secs(20));
/// Not more than one segment of the log is read.
const ONE_SEGMENT: Duration = Duration::from_secs(20);
/// Where a page's header holds the position at which the page begins.
pub(super) const PAGE_ADDRESS: usize = 8;

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

/// Where the log of the stopped server ends. After anything but a clean shutdown of a primary the log is read through, at most `within`.
///
/// # Errors
/// A program fails, or the log is too long to be read through in time.
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
    let walk = |deadline: Instant| Walk { site, geometry, patience: Patience::Total(deadline.saturating_duration_since(Instant::now())) };
    let mut lsn = walk(deadline).end(timeline, start, None).await?;
    let mut seen = lsn > start;
    for later in later_timelines(site, timeline).await? {
        let Some(left) = later.left_at(timeline).filter(|left| *left <= lsn) else { continue };
        // Its history may be here without any of its log.
        if let Ok(end) = walk(deadline).end(later.timeline(), left.max(later.began_at()), None).await
            && end > later.began_at()
        {
            (timeline, lsn, seen) = (later.timeline(), end, true);
        }
    }
    Ok(EndOfWal { timeline, lsn, clean: false, seen })
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
    Walk { site, geometry, patience: Patience::Total(within) }.end(timeline, from, None).await
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
    let walk = Walk { site, geometry: control.geometry(), patience: ONE_READ };
    match walk.end(control.timeline, at, Some(1)).await {
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

/// A reading of the log with `pg_waldump`.
struct Walk<'a> {
    site: &'a Site,
    geometry: Geometry,
    patience: Patience,
}

impl Walk<'_> {
    /// The end of the last valid record at or after `start`; `start` itself if there is none.
    async fn end(&self, timeline: Timeline, start: Lsn, limit: Option<u32>) -> Result<Lsn, Failure> {
        let (folder, geometry) = (self.site.data_dir().join("pg_wal"), self.geometry);
        let stretch = blocking(move || Stretch::from(&folder, geometry, timeline, start)).await?;
        let Some(Stretch { first, last }) = stretch else { return Ok(start) };
        let waldump = self.site.installation.run("pg_waldump", self.patience);
        let waldump = waldump.arg("--path").arg(self.site.data_dir().join("pg_wal")).arg(format!("--start={start}"));
        let waldump = waldump.args(limit.map(|limit| format!("--limit={limit}"))).args([first, last]);
        let mut last = None;
        let ended = waldump.run(|_, line| last = Record::parse(line).or(last)).await;
        match (ended, last) {
            // It mostly ends with an error: the first record that is not valid is where the log ends.
            (Ok(()) | Err(ProgramFailure::Failed { .. }), Some(record)) => Ok(record.end(self.geometry)),
            (Err(ProgramFailure::Failed { output, .. }), None) if output.contains("could not find a valid record") => Ok(start),
            (Err(failure), _) => Err(failure.into()),
            (Ok(()), None) => Ok(start),
        }
    }
}

/// The files that hold a timeline's log from a position on, by their names. Without them `pg_waldump` learns from any file in the folder how
/// large segments are, and fails if that is one which was made in advance.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    first: String,
    last: String,
}

impl Stretch {
    /// None: the log ends with a whole segment, and nothing of the next is there yet.
    fn from(folder: &Path, geometry: Geometry, timeline: Timeline, start: Lsn) -> Result<Option<Self>, FileFailure> {
        let name = |lsn| geometry.file_name(timeline, lsn);
        if geometry.begins_segment(start) && !begins_with(&folder.join(name(start)), start)? {
            return Ok(None);
        }
        let later = (1..).map(|number| Lsn(start.0 + number * geometry.segment));
        let last = later.take_while(|lsn| folder.join(name(*lsn)).exists()).last();
        Ok(Some(Self { first: name(start), last: name(last.unwrap_or(start)) }))
    }
}

/// Whether the first page of that file is the one at that position. One that was made in advance is empty or holds older log.
fn begins_with(path: &Path, at: Lsn) -> Result<bool, FileFailure> {
    let mut header = [0; PAGE_ADDRESS + 8];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => Ok(header.last_chunk().map(|address| u64::from_ne_bytes(*address)) == Some(at.0)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(false),
        Err(error) => Err(failing("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SEGMENT: u64 = 1 << 20;

    fn stretch(files: &[(u64, u64)], start: u64) -> Option<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let geometry = Geometry { page: 8192, segment: SEGMENT };
        for (number, address) in files {
            let header: Vec<u8> = [[0; 8], (address * SEGMENT).to_ne_bytes()].concat();
            fs::write(folder.path().join(geometry.file_name(Timeline(2), Lsn(number * SEGMENT))), header).unwrap();
        }
        let found = Stretch::from(folder.path(), geometry, Timeline(2), Lsn(start)).unwrap();
        found.map(|Stretch { first, last }| (first[16..].to_owned(), last[16..].to_owned()))
    }

    #[test]
    fn a_log_is_read_to_the_last_file_without_a_gap() {
        let of = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
        assert_eq!(stretch(&[(3, 3), (4, 4), (5, 0), (7, 7)], 3 * SEGMENT + 40), of("00000003", "00000005"));
        assert_eq!(stretch(&[(3, 3)], 3 * SEGMENT + 40), of("00000003", "00000003"));
        assert_eq!(stretch(&[(3, 3), (4, 4)], 4 * SEGMENT), of("00000004", "00000004"));
    }

    #[test]
    fn a_log_that_ends_with_its_segment_goes_on_in_no_file_that_was_made_in_advance() {
        assert_eq!(stretch(&[(3, 3)], 4 * SEGMENT), None);
        assert_eq!(stretch(&[(3, 3), (4, 0)], 4 * SEGMENT), None, "it is empty");
        assert_eq!(stretch(&[(3, 3), (4, 1)], 4 * SEGMENT), None, "it holds older log");
    }
}
