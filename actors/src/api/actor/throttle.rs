//! At most one log line in a while about what anybody on the network can cause.

use crate::machine::Timestamp;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(10);

/// Remembers when it let something through.
#[derive(Debug, Default)]
pub(super) struct Throttle(Option<Timestamp>);

impl Throttle {
    pub(super) fn lets_through(&mut self, now: Timestamp) -> bool {
        let lets = self.0.is_none_or(|last| now.since(last) >= PAUSE);
        if lets {
            self.0 = Some(now);
        }
        lets
    }
}
