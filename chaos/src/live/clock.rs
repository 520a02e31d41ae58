//! The one clock of a history. All nodes of a live cluster are on this machine, so their acknowledgements compare.

use actors::machine::Timestamp;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// `CLOCK_BOOTTIME` of this machine.
#[must_use]
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every kernel since Linux 2.6.39 has CLOCK_BOOTTIME");
    Timestamp::from_micros(u64::try_from(Duration::from(time).as_micros()).unwrap_or(u64::MAX))
}
