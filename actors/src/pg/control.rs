//! What `pg_control` says of a data directory: first by its bytes, then by all that `pg_controldata` prints.

use super::wal::Geometry;
use crate::model::{Lsn, SystemIdentifier, Timeline};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

/// The first fields of `pg_control`; they lie at the same places in PostgreSQL 13 to 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlHead {
    /// Whose directory it is.
    pub system_identifier: SystemIdentifier,
    /// What the server was doing when it last wrote the file.
    pub state: ControlState,
    /// The timeline of the last checkpoint.
    pub timeline: Timeline,
}

/// What the server was doing when it last wrote `pg_control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlState {
    /// `initdb` has not finished.
    StartingUp,
    /// A primary was shut down cleanly.
    ShutDown,
    /// A standby was shut down cleanly.
    ShutDownInRecovery,
    /// A clean shutdown had begun.
    ShuttingDown,
    /// Recovery after a crash.
    InCrashRecovery,
    /// A standby, or recovery from an archive.
    InArchiveRecovery,
    /// A primary.
    InProduction,
}

impl ControlState {
    /// Whether the server was ended in an orderly way.
    #[must_use]
    pub const fn is_clean(self) -> bool {
        matches!(self, Self::ShutDown | Self::ShutDownInRecovery)
    }

    const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::StartingUp,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            _ => return None,
        })
    }

    fn from_words(words: &str) -> Option<Self> {
        Some(match words {
            "starting up" => Self::StartingUp,
            "shut down" => Self::ShutDown,
            "shut down in recovery" => Self::ShutDownInRecovery,
            "shutting down" => Self::ShuttingDown,
            "in crash recovery" => Self::InCrashRecovery,
            "in archive recovery" => Self::InArchiveRecovery,
            "in production" => Self::InProduction,
            _ => return None,
        })
    }
}

impl ControlHead {
    /// Reads the head of the file. None: it is too short, or is no control file.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map(u64::from_ne_bytes);
        let word = |at: usize| bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).map(u32::from_ne_bytes);
        let version = word(8)?;
        // pg_control_version is 1300 since PostgreSQL 13; an insane number is a foreign byte order or a foreign file.
        if !(1300..10_000).contains(&version) {
            return None;
        }
        Some(Self {
            system_identifier: SystemIdentifier(long(0)?),
            state: ControlState::from_number(word(16)?)?,
            timeline: Timeline(word(48)?),
        })
    }
}

/// What `pg_controldata` prints, as far as Witch asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// Whose directory it is.
    pub system_identifier: SystemIdentifier,
    /// What the server was doing when it last wrote the file.
    pub state: ControlState,
    /// Where the last checkpoint's record *begins*.
    pub checkpoint: Lsn,
    /// Where recovery would begin.
    pub redo: Lsn,
    /// The timeline of that checkpoint.
    pub timeline: Timeline,
    /// A standby must replay up to here before it is consistent; zero for a primary.
    pub min_recovery: Lsn,
    /// The timeline of that position; zero for a primary.
    pub min_recovery_timeline: Timeline,
    /// The directory is a copy that was taken from a running server, and it lacks the log from while that was taken.
    pub copying: bool,
    /// Blocks have checksums.
    pub data_checksums: bool,
    /// Hint bits are logged.
    pub wal_log_hints: bool,
    /// Bytes in a segment of the write-ahead log.
    pub wal_segment_size: u64,
    /// Bytes in a page of the write-ahead log.
    pub wal_page_size: u64,
    /// What a standby must have at least, in the order of [`CAPACITIES`].
    pub capacities: [u32; CAPACITIES.len()],
}

/// The settings of which a standby needs as much as its primary has, and what `pg_controldata` calls them.
pub const CAPACITIES: [(&str, &str); 5] = [
    ("max_connections", "max_connections setting"),
    ("max_worker_processes", "max_worker_processes setting"),
    ("max_wal_senders", "max_wal_senders setting"),
    ("max_prepared_transactions", "max_prepared_xacts setting"),
    ("max_locks_per_transaction", "max_locks_per_xact setting"),
];

/// `pg_controldata` printed something else than expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pg_controldata does not say `{0}` in a form that Witch knows")]
pub struct NotControlData(String);

impl ControlData {
    /// Reads what `pg_controldata` prints under `LC_ALL=C`.
    ///
    /// # Errors
    /// A line that is needed is missing or unreadable.
    pub fn parse(text: &str) -> Result<Self, NotControlData> {
        let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect();
        let field = |key: &'static str| Field { key, text: lines.get(key).copied() };
        let mut control = Self {
            capacities: [0; CAPACITIES.len()],
            system_identifier: SystemIdentifier(field("Database system identifier").read(|text| text.parse().ok())?),
            state: field("Database cluster state").read(ControlState::from_words)?,
            checkpoint: field("Latest checkpoint location").read(|text| text.parse().ok())?,
            redo: field("Latest checkpoint's REDO location").read(|text| text.parse().ok())?,
            timeline: Timeline(field("Latest checkpoint's TimeLineID").read(|text| text.parse().ok())?),
            min_recovery: field("Minimum recovery ending location").read(|text| text.parse().ok())?,
            min_recovery_timeline: Timeline(field("Min recovery ending loc's timeline").read(|text| text.parse().ok())?),
            copying: field("Backup start location").read(|text| text.parse().ok().map(|lsn: Lsn| lsn > Lsn(0)))?
                || field("End-of-backup record required").read(|text| Some(text == "yes"))?,
            data_checksums: field("Data page checksum version").read(|text| text.parse::<u32>().ok())? != 0,
            wal_log_hints: field("wal_log_hints setting").read(|text| Some(text == "on"))?,
            wal_segment_size: field("Bytes per WAL segment").read(|text| text.parse().ok())?,
            wal_page_size: field("WAL block size").read(|text| text.parse().ok())?,
        };
        for (capacity, (_, key)) in control.capacities.iter_mut().zip(CAPACITIES) {
            *capacity = field(key).read(|text| text.parse().ok())?;
        }
        Ok(control)
    }

    /// How large pages and segments of the log are.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        Geometry { page: self.wal_page_size, segment: self.wal_segment_size }
    }
}

struct Field<'a> {
    key: &'static str,
    text: Option<&'a str>,
}

impl<'a> Field<'a> {
    fn read<T>(self, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, NotControlData> {
        self.text.and_then(read).ok_or_else(|| NotControlData(self.key.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const PRINTED: &str = "pg_control version number:            1300
Database system identifier:           7431234567890123456
Database cluster state:               in archive recovery
Latest checkpoint location:           0/3000060
Latest checkpoint's REDO location:    0/3000028
Latest checkpoint's TimeLineID:       2
Time of latest checkpoint:            Sun Nov 22 01:00:00 2026
Minimum recovery ending location:     0/3000100
Min recovery ending loc's timeline:   2
Backup start location:                0/0
Backup end location:                  0/0
End-of-backup record required:        no
wal_log_hints setting:                on
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           1
";

    #[test]
    fn what_pg_controldata_prints_is_read() {
        let control = ControlData::parse(PRINTED).expect("complete");
        assert_eq!(control.system_identifier, SystemIdentifier(7_431_234_567_890_123_456));
        assert_eq!(control.state, ControlState::InArchiveRecovery);
        assert_eq!((control.checkpoint, control.redo, control.min_recovery), (Lsn(0x300_0060), Lsn(0x300_0028), Lsn(0x300_0100)));
        assert!(control.data_checksums && control.wal_log_hints);
        assert_eq!(control.capacities, [100, 8, 10, 0, 64]);
    }

    #[test]
    fn a_missing_or_strange_line_is_named() {
        let strange = PRINTED.replace("in archive recovery", "in a bad mood");
        assert_eq!(ControlData::parse(&strange), Err(NotControlData("Database cluster state".into())));
        assert_eq!(ControlData::parse(""), Err(NotControlData("Database system identifier".into())));
    }

    #[test]
    fn a_file_that_is_no_control_file_is_not_taken_for_one() {
        let mut bytes = vec![0_u8; 8192];
        bytes[0..8].copy_from_slice(&77_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&1300_u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&6_u32.to_ne_bytes());
        bytes[48..52].copy_from_slice(&3_u32.to_ne_bytes());
        let head = ControlHead { system_identifier: SystemIdentifier(77), state: ControlState::InProduction, timeline: Timeline(3) };
        assert_eq!(ControlHead::parse(&bytes), Some(head));
        assert_eq!(ControlHead::parse(&bytes[..40]), None);
        bytes[8..12].copy_from_slice(&1300_u32.swap_bytes().to_ne_bytes());
        assert_eq!(ControlHead::parse(&bytes), None);
    }
}
