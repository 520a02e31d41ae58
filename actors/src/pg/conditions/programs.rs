//! Programs and libraries on the host that are not those of the running server.

use super::Row;

/// The rows of this topic.
pub static ROWS: &[&Row] = &[];
