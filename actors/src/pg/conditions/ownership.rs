//! What a user's own files and settings do to the cluster.

use super::Row;

/// The rows of this topic.
pub static ROWS: &[&Row] = &[];
