//! The head of `global/pg_control`: what PostgreSQL itself says about the state of a data directory.
//!
//! The first 52 bytes have had one layout from PostgreSQL 13 to 18, so nothing here depends on the version. They are in the byte order of
//! the host, and lie in one disk sector, which PostgreSQL relies upon being written whole.

use crate::model::{Lsn, SystemIdentifier, Timeline};
use core::fmt;

/// Where the file lies in a data directory.
pub const CONTROL_FILE: &str = "global/pg_control";

/// `pg_control_version` of PostgreSQL 13. Nothing older is known here.
const VERSION_MIN: u32 = 1300;
/// Far beyond any version to come: a larger number is a file of the other byte order, or no control file.
const VERSION_MAX: u32 = 9999;

/// What the server last wrote about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Which database cluster this is (S11).
    pub system_identifier: SystemIdentifier,
    /// The layout's version, such as 1300.
    pub pg_control_version: u32,
    /// The catalog's version.
    pub catalog_version: u32,
    /// What the server was doing.
    pub state: DbState,
    /// When it wrote this, in seconds since 1970.
    pub time: i64,
    /// Where the latest checkpoint's record begins.
    pub checkpoint: Lsn,
    /// Where recovery would begin.
    pub redo: Lsn,
    /// The timeline of the latest checkpoint.
    pub timeline: Timeline,
}

/// PostgreSQL's `DBState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbState {
    /// Starting up.
    Startup,
    /// Shut down as a primary.
    ShutDown,
    /// Shut down as a standby.
    ShutDownInRecovery,
    /// A primary that is shutting down.
    ShuttingDown,
    /// Replaying its own WAL; a primary accepts writes after that without a word.
    InCrashRecovery,
    /// A standby, or a restore from an archive.
    InArchiveRecovery,
    /// Accepting writes, or killed while it did.
    InProduction,
}

/// Why this is no control file that we understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAControlFile {
    /// Too short.
    #[error("the control file has only {0} bytes; the data directory is damaged or not PostgreSQL's")]
    Short(usize),
    /// Not a version of PostgreSQL 13 or later.
    #[error("the control file has version {0}, which no PostgreSQL since 13 writes; it is damaged, or from a host of another byte order")]
    Version(u32),
    /// Not a state that we know.
    #[error("the control file says state {0}, which is unknown; it is damaged, or from a PostgreSQL newer than this program")]
    State(u32),
}

impl ControlFile {
    /// So many bytes from the beginning are enough.
    pub const HEAD: usize = 64;

    /// Understands the first [`HEAD`](Self::HEAD) bytes of the file.
    ///
    /// # Errors
    /// If they are none of a control file.
    pub fn parse(head: &[u8]) -> Result<Self, NotAControlFile> {
        let head: &[u8; Self::HEAD] = head.first_chunk().ok_or(NotAControlFile::Short(head.len()))?;
        let version = u32_at(head, 8);
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(NotAControlFile::Version(version));
        }
        Ok(Self {
            system_identifier: SystemIdentifier(u64_at(head, 0)),
            pg_control_version: version,
            catalog_version: u32_at(head, 12),
            state: DbState::from_number(u32_at(head, 16))?,
            time: u64_at(head, 24).cast_signed(),
            checkpoint: Lsn(u64_at(head, 32)),
            redo: Lsn(u64_at(head, 40)),
            timeline: Timeline(u32_at(head, 48)),
        })
    }
}

impl DbState {
    const fn from_number(number: u32) -> Result<Self, NotAControlFile> {
        Ok(match number {
            0 => Self::Startup,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            _ => return Err(NotAControlFile::State(number)),
        })
    }
}

impl fmt::Display for DbState {
    /// In the words of `pg_controldata`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "starting up",
            Self::ShutDown => "shut down",
            Self::ShutDownInRecovery => "shut down in recovery",
            Self::ShuttingDown => "shutting down",
            Self::InCrashRecovery => "in crash recovery",
            Self::InArchiveRecovery => "in archive recovery",
            Self::InProduction => "in production",
        })
    }
}

fn u32_at(head: &[u8; ControlFile::HEAD], offset: usize) -> u32 {
    u32::from_ne_bytes(*head[offset..].first_chunk().expect("every offset above lies well before the end of the head"))
}

fn u64_at(head: &[u8; ControlFile::HEAD], offset: usize) -> u64 {
    u64::from_ne_bytes(*head[offset..].first_chunk().expect("every offset above lies well before the end of the head"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u32, state: u32) -> [u8; 64] {
        let mut head = [0; 64];
        head[0..8].copy_from_slice(&7_u64.to_ne_bytes());
        head[8..12].copy_from_slice(&version.to_ne_bytes());
        head[12..16].copy_from_slice(&202_209_061_u32.to_ne_bytes());
        head[16..20].copy_from_slice(&state.to_ne_bytes());
        head[24..32].copy_from_slice(&(-1_i64).to_ne_bytes());
        head[32..40].copy_from_slice(&0x16_0000_0028_u64.to_ne_bytes());
        head[40..48].copy_from_slice(&0x15_0000_0060_u64.to_ne_bytes());
        head[48..52].copy_from_slice(&3_u32.to_ne_bytes());
        head
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let control = ControlFile::parse(&head(1300, 6)).unwrap();
        let expected = ControlFile {
            system_identifier: SystemIdentifier(7),
            pg_control_version: 1300,
            catalog_version: 202_209_061,
            state: DbState::InProduction,
            time: -1,
            checkpoint: Lsn(0x16_0000_0028),
            redo: Lsn(0x15_0000_0060),
            timeline: Timeline(3),
        };
        assert_eq!(control, expected);
    }

    #[test]
    fn what_is_no_control_file_is_told_apart() {
        assert_eq!(ControlFile::parse(&head(1300, 6)[..63]), Err(NotAControlFile::Short(63)));
        assert_eq!(ControlFile::parse(&head(0, 6)), Err(NotAControlFile::Version(0)));
        assert_eq!(ControlFile::parse(&head(1300_u32.swap_bytes(), 6)), Err(NotAControlFile::Version(1300_u32.swap_bytes())));
        assert_eq!(ControlFile::parse(&head(1800, 7)), Err(NotAControlFile::State(7)));
    }
}
