//! The geometry of the write-ahead log: records in pages, pages in segments, segments in files.

use crate::model::{Lsn, Timeline};
use alloc::format;
use alloc::string::String;

/// Records begin at multiples of this.
const ALIGNMENT: u64 = 8;
/// Before its checksum, a record's header has so many bytes.
const BEFORE_CHECKSUM: u64 = 20;
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

    /// Where the checksum of the record lies that begins at `start`, or behind the header of the page that begins there.
    #[must_use]
    pub const fn checksum_of(self, start: Lsn) -> Lsn {
        let mut at = self.past_header(start.0);
        let mut before = BEFORE_CHECKSUM;
        while before >= ALIGNMENT {
            at = self.past_header(at + ALIGNMENT);
            before -= ALIGNMENT;
        }
        Lsn(at + before)
    }

    const fn past_header(self, at: u64) -> u64 {
        if at.is_multiple_of(self.page) { at + self.header(at) } else { at }
    }

    /// The header of the page that begins at `at`.
    const fn header(self, at: u64) -> u64 {
        if self.begins_segment(Lsn(at)) { LONG_HEADER } else { SHORT_HEADER }
    }

    /// Whether a segment begins there.
    #[must_use]
    pub const fn begins_segment(self, lsn: Lsn) -> bool {
        lsn.0.is_multiple_of(self.segment)
    }

    /// The name of the file that holds the log of a timeline at a position.
    #[must_use]
    pub fn file_name(self, timeline: Timeline, at: Lsn) -> String {
        let (number, per_name) = (at.0 / self.segment, (1 << 32) / self.segment);
        format!("{:08X}{:08X}{:08X}", timeline.0, number / per_name, number % per_name)
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

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Geometry = Geometry { page: 8192, segment: 16 << 20 };

    #[test]
    fn a_record_within_a_page_ends_where_the_next_aligned_one_begins() {
        assert_eq!(USUAL.end_of_record(Lsn(0x0154_5B38), 114), Lsn(0x0154_5BB0));
        assert_eq!(USUAL.end_of_record(Lsn(0x0154_5B38), 120), Lsn(0x0154_5BB0));
    }

    #[test]
    fn a_record_that_fills_its_page_ends_at_the_page_and_not_behind_the_next_header() {
        assert_eq!(USUAL.end_of_record(Lsn(0x2000 + 8192 - 120), 114), Lsn(0x4000));
    }

    #[test]
    fn a_record_that_crosses_pages_jumps_over_their_headers() {
        // 40 bytes on its page, 80 behind the short header of the next.
        assert_eq!(USUAL.end_of_record(Lsn(0x2000 + 8192 - 40), 114), Lsn(0x4000 + 24 + 80));
        // A segment begins with the long header.
        assert_eq!(USUAL.end_of_record(Lsn((16 << 20) - 40), 114), Lsn((16 << 20) + 40 + 80));
        // Three whole pages of payload and a bit.
        let payload = 3 * (8192 - 24);
        assert_eq!(USUAL.end_of_record(Lsn(0x4000 - 16), 16 + payload + 8), Lsn(0x4000 + 3 * 8192 + 24 + 8));
    }

    #[test]
    fn a_records_checksum_is_found_behind_the_headers_of_pages() {
        assert_eq!(USUAL.checksum_of(Lsn(0x0154_5B38)), Lsn(0x0154_5B38 + 20));
        assert_eq!(USUAL.checksum_of(Lsn(0x4000)), Lsn(0x4000 + 24 + 20), "it begins with its page");
        assert_eq!(USUAL.checksum_of(Lsn(0x4000 - 8)), Lsn(0x4000 + 24 + 12), "its header goes on behind that of the next page");
        assert_eq!(USUAL.checksum_of(Lsn(0x4000 - 16)), Lsn(0x4000 + 24 + 4));
        assert_eq!(USUAL.checksum_of(Lsn((16 << 20) - 16)), Lsn((16 << 20) + 40 + 4), "or of the next segment");
    }

    #[test]
    fn a_line_of_pg_waldump_is_read_and_a_switch_ends_its_segment() {
        let line = "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/01545B38, prev 0/01545B00, desc: CHECKPOINT_SHUTDOWN redo 0/1545B38";
        let record = Record::parse(line);
        assert_eq!(record, Some(Record { start: Lsn(0x0154_5B38), length: 114, switches: false }));
        let line = "rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/05000060, prev 0/05000028, desc: SWITCH ";
        assert_eq!(Record::parse(line).map(|record| record.end(USUAL)), Some(Lsn(0x0600_0000)));
        assert_eq!(Record::parse("first record is after 0/5000000, at 0/5000028, skipping over 40 bytes"), None);
    }

    #[test]
    fn a_file_name_tells_timeline_and_position() {
        assert_eq!(USUAL.parse_file_name("000000020000000100000003"), Some((Timeline(2), Lsn(0x1_0300_0000))));
        assert_eq!(USUAL.file_name(Timeline(2), Lsn(0x1_0300_0028)), "000000020000000100000003");
        for other in ["00000002.history", "000000020000000100000003.partial", "archive_status", "00000002000000010000000g"] {
            assert_eq!(USUAL.parse_file_name(other), None, "{other}");
        }
    }
}
