//! How far the log in a directory can be read.
//!
//! PostgreSQL writes a segment of the log only once all of the one before is on disk, as a primary and as a standby. So whatever was torn lies in the last
//! segment that was begun: all before it need not be read through, however much that is. What counts is still read record by record: the chain of
//! whole records that begins before the last segment and ends where the first record is not valid.

use super::durable::{FileFailure, failing};
use super::program::{Patience, ProgramFailure};
use super::{Failure, Site, blocking};
use crate::model::{Lsn, Timeline};
use crate::pg::wal::{Geometry, Record};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use tokio::time::Instant;

/// Where a page's header holds the position at which the page begins.
pub(super) const PAGE_ADDRESS: usize = 8;

/// A reading of the log with `pg_waldump`.
pub(super) struct Walk<'a> {
    pub(super) site: &'a Site,
    pub(super) geometry: Geometry,
    pub(super) deadline: Instant,
}

/// A chain of whole records: where the first one begins, and where the last one ends.
#[derive(Clone, Copy, Debug)]
struct Chain {
    begins: Lsn,
    ends: Lsn,
}

impl Walk<'_> {
    /// The end of the last valid record at or after `start`; `start` itself if there is none. What lies before the last segment that was begun is
    /// known to be whole, if `start` is.
    pub(super) async fn end(&self, timeline: Timeline, start: Lsn) -> Result<Lsn, Failure> {
        let Some(stretch) = self.stretch(timeline, start).await? else { return Ok(start) };
        // A record may be longer than a segment, so it goes back ever further until one begins before the last segment.
        let mut back = 1;
        loop {
            let from = start.max(Lsn(stretch.begun.0.saturating_sub(back * self.geometry.segment)));
            let chain = self.read(timeline, from, &stretch, None).await?;
            match chain {
                Some(chain) if from == start || chain.begins < stretch.begun => return Ok(chain.ends),
                None if from == start => return Ok(start),
                _ => back *= 2,
            }
        }
    }

    /// The end of the record that begins at `start`, or after it; `start` itself if there is none.
    pub(super) async fn end_of_record(&self, timeline: Timeline, start: Lsn) -> Result<Lsn, Failure> {
        let Some(stretch) = self.stretch(timeline, start).await? else { return Ok(start) };
        Ok(self.read(timeline, start, &stretch, Some(1)).await?.map_or(start, |chain| chain.ends))
    }

    async fn stretch(&self, timeline: Timeline, start: Lsn) -> Result<Option<Stretch>, Failure> {
        let (folder, geometry) = (self.site.data_dir().join("pg_wal"), self.geometry);
        Ok(blocking(move || Stretch::from(&folder, geometry, timeline, start)).await?)
    }

    async fn read(&self, timeline: Timeline, from: Lsn, stretch: &Stretch, limit: Option<u32>) -> Result<Option<Chain>, Failure> {
        let name = |lsn| self.geometry.file_name(timeline, lsn);
        let patience = Patience::Total(self.deadline.saturating_duration_since(Instant::now()));
        let waldump = self.site.installation.run("pg_waldump", patience);
        let waldump = waldump.arg("--path").arg(self.site.data_dir().join("pg_wal")).arg(format!("--start={from}"));
        let waldump = waldump.args(limit.map(|limit| format!("--limit={limit}"))).args([name(from), name(stretch.last)]);
        let mut chain: Option<Chain> = None;
        let ended = waldump.run(|_, line| {
            if let Some(record) = Record::parse(line) {
                let begins = chain.map_or(record.start, |chain| chain.begins);
                chain = Some(Chain { begins, ends: record.end(self.geometry) });
            }
        });
        match (ended.await, chain) {
            // It mostly ends with an error: the first record that is not valid is where the log ends.
            (Ok(()) | Err(ProgramFailure::Failed { .. }), Some(_)) | (Ok(()), None) => Ok(chain),
            (Err(ProgramFailure::Failed { output, .. }), None) if output.contains("could not find a valid record") => Ok(None),
            (Err(failure), _) => Err(failure.into()),
        }
    }
}

/// The files that hold a timeline's log from a position on. Without their names `pg_waldump` learns from any file in the folder how large segments are,
/// and fails if that is one which was made in advance.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    /// Where the last segment begins into which anything was written; the first one, if nothing is known of the others.
    begun: Lsn,
    /// Somewhere in the last file without a gap, be it one that was made in advance.
    last: Lsn,
}

impl Stretch {
    /// None: the log ends with a whole segment, and nothing of the next is there yet.
    fn from(folder: &Path, geometry: Geometry, timeline: Timeline, start: Lsn) -> Result<Option<Self>, FileFailure> {
        let path = |lsn| folder.join(geometry.file_name(timeline, lsn));
        let first = Lsn(start.0 / geometry.segment * geometry.segment);
        if geometry.begins_segment(start) && !begins_with(&path(start), start)? {
            return Ok(None);
        }
        let (mut begun, mut last) = (first, start);
        // Without the first file nothing of the rest counts, and `pg_waldump` says which it is.
        let mut goes_on = path(start).exists();
        for next in (1..).map(|number| Lsn(first.0 + number * geometry.segment)) {
            if !path(next).exists() {
                break;
            }
            goes_on = goes_on && begins_with(&path(next), next)?;
            if goes_on {
                begun = next;
            }
            last = next;
        }
        Ok(Some(Self { begun, last }))
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

    fn stretch(files: &[(u64, u64)], start: u64) -> Option<(u64, u64)> {
        let folder = tempfile::tempdir().unwrap();
        let geometry = Geometry { page: 8192, segment: SEGMENT };
        for (number, address) in files {
            let header: Vec<u8> = [[0; 8], (address * SEGMENT).to_ne_bytes()].concat();
            fs::write(folder.path().join(geometry.file_name(Timeline(2), Lsn(number * SEGMENT))), header).unwrap();
        }
        let found = Stretch::from(folder.path(), geometry, Timeline(2), Lsn(start)).unwrap();
        found.map(|Stretch { begun, last }| (begun.0 / SEGMENT, last.0 / SEGMENT))
    }

    #[test]
    fn a_log_is_read_to_the_last_file_without_a_gap() {
        assert_eq!(stretch(&[(3, 3), (4, 4), (5, 0), (7, 7)], 3 * SEGMENT + 40), Some((4, 5)));
        assert_eq!(stretch(&[(3, 3)], 3 * SEGMENT + 40), Some((3, 3)));
        assert_eq!(stretch(&[(3, 3), (4, 4)], 4 * SEGMENT), Some((4, 4)));
        assert_eq!(stretch(&[(3, 3), (4, 0), (5, 5)], 3 * SEGMENT + 40), Some((3, 5)), "what lies behind a hole does not count");
    }

    #[test]
    fn a_log_that_ends_with_its_segment_goes_on_in_no_file_that_was_made_in_advance() {
        assert_eq!(stretch(&[(3, 3)], 4 * SEGMENT), None);
        assert_eq!(stretch(&[(3, 3), (4, 0)], 4 * SEGMENT), None, "it is empty");
        assert_eq!(stretch(&[(3, 3), (4, 1)], 4 * SEGMENT), None, "it holds older log");
    }
}
