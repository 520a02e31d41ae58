//! What a user's own files and settings do to the cluster.

use super::Row;
use crate::model::Bar;

/// The guard of a running server has another margin than the file.
pub static OLD_KILL_MARGIN: Row = Row {
    id: "old-kill-margin",
    sign: "failover.kill_margin_ms was changed while the guard had a server",
    meaning: "the guard keeps the margin with which it was started, since it cannot be replaced under a running server",
    bars: Bar::Nothing,
    way_out: "the new margin is in force once the node was stopped with its database and started again; move the primary away before that",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&OLD_KILL_MARGIN];
