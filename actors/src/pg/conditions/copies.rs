//! Databases that look like a copy of the primary's and are none.

use super::Row;
use crate::model::{Bar, Condition};

/// A standby streams, and its log is not the primary's.
pub static ANOTHER_HISTORY: Row = Row {
    id: "another-history",
    sign: "a standby streams from its primary, and its log goes on where the primary has written nothing, or differs from the primary's",
    meaning: "two histories were written on one timeline, as after a disk was put back to an older state or a standby ran once without \
              standby.signal; PostgreSQL shows it streaming and counts its word for synchronous commits that it does not have",
    bars: Bar::Promotion,
    way_out: "nothing to do: Witch keeps its log aside in diverged/ and clones it; look into diverged/ for what was written there",
};

/// The database of an appointed node ends before it must.
pub static OLDER_COPY: Row = Row {
    id: "older-copy",
    sign: "the node is appointed, and its database ends before what the cluster's log says that it holds",
    meaning: "an older copy lies in the data directory, and to go on from it would lose what was acknowledged since",
    bars: Bar::Promotion,
    way_out: "put the newer database back, or let another node be appointed, and this one is brought up to date from it; if this copy is all that \
              is left, found the cluster anew with it",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&ANOTHER_HISTORY, &OLDER_COPY];

/// Whether a node has said of itself that its position is not one of the cluster's history, or that it lost some of that: then it tells nothing
/// of how far anybody was.
#[must_use]
pub fn is_disowned(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.id == ANOTHER_HISTORY.id)
}

/// Whether an older copy lies in the place of an appointed node's database.
#[must_use]
pub fn is_older(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.id == OLDER_COPY.id)
}
