//! Settings of the whole cluster: they live in the log, not in a file.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The replicated settings. The files only seed them when the cluster is founded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A standby further behind than so many bytes is no candidate (D1).
    pub max_replication_lag: u64,
    /// A standby that is not on the primary's timeline is no candidate (D1).
    pub check_timeline: bool,
    /// T: one number for all, or one node's W would not outlast another's lease (S5).
    pub lease_ttl_ms: u64,
}

impl Settings {
    /// T.
    #[must_use]
    pub const fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_replication_lag: 1 << 20, check_timeline: true, lease_ttl_ms: 3000 }
    }
}
