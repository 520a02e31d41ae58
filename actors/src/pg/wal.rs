//! The geometry of the write-ahead log: records in pages, pages in segments, segments in files.

use crate::model::{Lsn, Timeline};
use alloc::format;
use alloc::string::String;

/// Records begin at multiples of this.
const ALIGNMENT: u64 = 8;
/// Bytes of the header of the first page of a segment.
const LONG_HEADER: u64 = 40;
/// Bytes of the header of every other page.
const SHORT_HEADER: u64 = 24;

/// How large pages and segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a page.
    pub page: u64,
    /// Bytes in a segment.
    pub segment: u64,
}

impl Geometry {
    /// Where the record after one that begins at `start` and has `length` bytes would begin: what PostgreSQL calls the end of the record.
    /// A record that does not fit into a page goes on after the next page's header.
    #[must_use]
    pub const fn end_of_record(self, start: Lsn, length: u64) -> Lsn {
        let mut at = start.0;
        let mut left = length.next_multiple_of(ALIGNMENT);
        loop {
            let room = self.page - at % self.page;
            if left <= room {
                at += left;
                break;
            }
            left -= room;
            at += room;
            at += self.header(at);
        }
        Lsn(at)
    }

    /// The header of the page that begins at `at`.
    const fn header(self, at: u64) -> u64 {
        if at.is_multiple_of(self.segment) { LONG_HEADER } else { SHORT_HEADER }
    }

    /// The name of the file that holds the byte at `lsn`.
    #[must_use]
    pub fn file_name(self, timeline: Timeline, lsn: Lsn) -> String {
        let number = lsn.0 / self.segment;
        let per_id = (1 << 32) / self.segment;
        format!("{:08X}{:08X}{:08X}", timeline.0, number / per_id, number % per_id)
    }

    /// Of which timeline a file of the log is, and with which position it begins. None: the name is no segment's.
    #[must_use]
    pub fn parse_file_name(self, name: &str) -> Option<(Timeline, Lsn)> {
        if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_lowercase()) {
            return None;
        }
        let word = |at: usize| u64::from_str_radix(&name[at..at + 8], 16).ok();
        let number = word(8)? * ((1 << 32) / self.segment) + word(16)?;
        Some((Timeline(u32::try_from(word(0)?).ok()?), Lsn(number * self.segment)))
    }
}

/// The name of the file that tells how a timeline came to be.
#[must_use]
pub fn history_file_name(timeline: Timeline) -> String {
    format!("{:08X}.history", timeline.0)
}

/// A record of the log, as `pg_waldump` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub start: Lsn,
    /// Its bytes, without what aligns the next one.
    pub length: u64,
    /// It ends its segment: nothing follows in there.
    pub switches: bool,
}

impl Record {
    /// Reads a line such as `rmgr: XLOG  len (rec/tot):  114/  114, tx: 0, lsn: 0/01545B38, prev 0/01545B00, desc: CHECKPOINT_SHUTDOWN ...`.
    /// None: the line is about something else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("rmgr: ")?;
        let (_, rest) = rest.split_once("len (rec/tot):")?;
        let (lengths, rest) = rest.split_once(',')?;
        let (_, total) = lengths.split_once('/')?;
        let (_, rest) = rest.split_once("lsn: ")?;
        let (start, rest) = rest.split_once(',')?;
        let (_, description) = rest.split_once("desc: ")?;
        let switches = description.split_whitespace().next() == Some("SWITCH");
        Some(Self { start: start.trim().parse().ok()?, length: total.trim().parse().ok()?, switches })
    }

    /// Where the next record would begin.
    #[must_use]
    pub const fn end(self, geometry: Geometry) -> Lsn {
        let end = geometry.end_of_record(self.start, self.length);
        if self.switches { Lsn(end.0.next_multiple_of(geometry.segment)) } else { end }
    }
}
