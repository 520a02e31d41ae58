//! One probe per peer: exchanges reports with it and judges it green, yellow or red.
//!
//! It judges and never decides: a red peer is a fact for the FSM, whatever that makes of it.
//!
//! Talks to: the FSM (our own reports in, what was observed out), the peer's probe over the peer link, and, for a second opinion when the
//! peer turns red, the peer's database.

mod detector;
mod machine;

#[cfg(feature = "shell")]
mod actor;

#[cfg(feature = "shell")]
pub use actor::{AskDatabase, SendTo, Wires, child};
pub use detector::Detector;
pub use machine::{Effect, Input, Observed, Opinion, Probe};

use alloc::vec::Vec;
use core::time::Duration;

/// How a probe watches its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A report is sent, and expected, at least so often.
    pub interval: Duration,
    /// The peer's database has so long to give the second opinion.
    pub timeout: Duration,
    /// So many missed reports in a row make a peer red.
    pub failures: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_millis(1000), timeout: Duration::from_millis(1000), failures: 3 }
    }
}

/// What is wrong with a probe's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Reports would never stop.
    #[error("the health check interval is {0:?}, and below 100 ms reports cost more than they tell: raise health_check_interval_ms")]
    IntervalTooShort(Duration),
    /// No second opinion could ever come.
    #[error("the health check timeout is zero, so that no database could ever answer in time: raise health_check_timeout_ms")]
    NoTimeout,
    /// A peer would be red however well it reports.
    #[error("health_check_failures is zero, so that every peer would be red for ever: set at least 1")]
    NoFailures,
}

impl Config {
    /// The shortest interval that makes sense.
    const INTERVAL_MIN: Duration = Duration::from_millis(100);

    /// Every fault of it at once.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.interval < Self::INTERVAL_MIN {
            faults.push(Fault::IntervalTooShort(self.interval));
        }
        if self.timeout.is_zero() {
            faults.push(Fault::NoTimeout);
        }
        if self.failures == 0 {
            faults.push(Fault::NoFailures);
        }
        faults
    }
}
