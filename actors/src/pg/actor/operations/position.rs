//! Where a stopped database's log ends, and how its history relates to the primary's.

use super::{Failure, Site};
use crate::model::{Lsn, Promotion, Timeline};
use crate::pg::ancestry::{Ancestry, Relation};
use crate::pg::control::{ControlData, ControlHead};
use std::time::Duration;

/// Where the log of a stopped server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndOfWal {
    /// The last timeline.
    pub timeline: Timeline,
    /// The end of the last whole record.
    pub lsn: Lsn,
    /// A primary that was shut down cleanly: the end of its shutdown checkpoint's record (D4).
    pub clean: bool,
}

/// The first fields of `pg_control`: cheap, and right even while the server runs.
#[must_use]
pub fn control_head(site: &Site) -> Option<ControlHead> {
    let _ = site;
    unimplemented!()
}

/// All of `pg_control`.
///
/// # Errors
/// `pg_controldata` fails or is not understood.
pub async fn controldata(site: &Site) -> Result<ControlData, Failure> {
    let _ = site;
    unimplemented!()
}

/// Where the log of the stopped server ends. After anything but a clean shutdown of a primary the log is read through, at most `within`.
///
/// # Errors
/// A program fails, or the log is too long to be read through in time.
pub async fn end_of_wal(site: &Site, within: Duration) -> Result<EndOfWal, Failure> {
    let _ = (site, within);
    unimplemented!()
}

/// The history of this directory's timeline.
///
/// # Errors
/// Its file is missing (it is needed from the second timeline on) or malformed.
pub fn own_ancestry(site: &Site, timeline: Timeline) -> Result<Ancestry, Failure> {
    let _ = (site, timeline);
    unimplemented!()
}

/// A timeline of this directory, and where it began.
///
/// # Errors
/// Its history is missing or malformed.
pub fn promotion(site: &Site, timeline: Timeline) -> Result<Promotion, Failure> {
    Ok(Promotion { timeline, lsn: own_ancestry(site, timeline)?.began_at() })
}

/// How the log of this stopped directory, which ends there, relates to the primary's.
///
/// # Errors
/// This directory's own history is missing or malformed.
pub fn relate(site: &Site, end: EndOfWal, primary: &Ancestry) -> Result<Relation, Failure> {
    Ok(own_ancestry(site, end.timeline)?.relate(end.lsn, primary))
}
