//! What keeps a standby from replaying, or a server from stopping or being promoted.

use super::Row;

/// The rows of this topic.
pub static ROWS: &[&Row] = &[];
