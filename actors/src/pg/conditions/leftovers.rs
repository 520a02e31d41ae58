//! What a change of role, a restore or a former member left behind.

use super::Row;

/// The rows of this topic.
pub static ROWS: &[&Row] = &[];
