//! How long the adapter waits for what.

use core::time::Duration;

/// The adapter's part of `[failover]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A server that is still starting after this time is reported as overdue. Recovery of much log may rightly take long: nothing is killed.
    pub start_timeout: Duration,
    /// A server that is still stopping after this time is killed. A checkpoint before the stop is given up after this time.
    pub stop_timeout: Duration,
    /// How often a fresh connection asks the server whether it is well.
    pub health_check_interval: Duration,
    /// How long such a connection may take.
    pub health_check_timeout: Duration,
    /// After so many of them in a row without any answer the server hangs.
    pub health_check_failures: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(30),
            health_check_interval: Duration::from_secs(1),
            health_check_timeout: Duration::from_secs(1),
            health_check_failures: 3,
        }
    }
}
