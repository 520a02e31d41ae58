//! The only place that reads a clock.

use crate::machine::Timestamp;
use crate::model::WallClock;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a shell takes the time from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// `CLOCK_BOOTTIME`: runs on while the host sleeps, and nobody can set it.
    Boot,
    /// Tokio's clock, which a test can pause; zero is the given instant.
    Runtime(tokio::time::Instant),
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::Boot => boottime(),
            Self::Runtime(zero) => Timestamp::from_micros(u64::try_from(zero.elapsed().as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// `CLOCK_BOOTTIME` of this host.
#[must_use]
pub fn boottime() -> Timestamp {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every kernel since Linux 2.6.39 has CLOCK_BOOTTIME");
    Timestamp::from_micros(u64::try_from(Duration::from(time).as_micros()).unwrap_or(u64::MAX))
}

/// The time of day, for people.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the time of day")]
pub fn wall() -> WallClock {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallClock(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
