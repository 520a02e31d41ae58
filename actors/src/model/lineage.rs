//! Where the timelines of the database come from, and whether another database is a part of that history.

use super::{ClusterState, Lsn, Position, Timeline};
use serde::{Deserialize, Serialize};

/// The appointed node's database accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// On this timeline.
    pub timeline: Timeline,
    /// Which began here.
    pub lsn: Lsn,
}

impl ClusterState {
    /// Whether a database that is at `position` has only written what the committed history has, too: for every promotion to a later
    /// timeline, it stopped before that timeline began.
    #[must_use]
    pub fn is_prefix(&self, position: Position) -> bool {
        self.lineage.iter().filter(|promotion| promotion.timeline > position.timeline).all(|promotion| position.lsn <= promotion.lsn)
    }
}
