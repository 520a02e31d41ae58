//! What `pg_control` says of a data directory: first by its bytes, then by all that `pg_controldata` prints.

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
    /// Blocks have checksums.
    pub data_checksums: bool,
    /// Hint bits are logged.
    pub wal_log_hints: bool,
    /// Bytes in a segment of the write-ahead log.
    pub wal_segment_size: u64,
    /// Bytes in a page of the write-ahead log.
    pub wal_page_size: u64,
}

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
        Ok(Self {
            system_identifier: SystemIdentifier(field("Database system identifier").read(|text| text.parse().ok())?),
            state: field("Database cluster state").read(ControlState::from_words)?,
            checkpoint: field("Latest checkpoint location").read(|text| text.parse().ok())?,
            redo: field("Latest checkpoint's REDO location").read(|text| text.parse().ok())?,
            timeline: Timeline(field("Latest checkpoint's TimeLineID").read(|text| text.parse().ok())?),
            min_recovery: field("Minimum recovery ending location").read(|text| text.parse().ok())?,
            min_recovery_timeline: Timeline(field("Min recovery ending loc's timeline").read(|text| text.parse().ok())?),
            data_checksums: field("Data page checksum version").read(|text| text.parse::<u32>().ok())? != 0,
            wal_log_hints: field("wal_log_hints setting").read(|text| Some(text == "on"))?,
            wal_segment_size: field("Bytes per WAL segment").read(|text| text.parse().ok())?,
            wal_page_size: field("WAL block size").read(|text| text.parse().ok())?,
        })
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
