//! A node's boot-time clock: true time at its own rate, from a zero of its own.

use actors::machine::Timestamp;

const MILLION: u128 = 1_000_000;

/// The clock of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    since: u64,
    showed: u64,
    parts_per_million: u128,
}

impl Clock {
    /// A clock that shows `showed` at the true zero and is wrong by so many parts per million.
    #[must_use]
    pub(super) fn new(showed: u64, wrong_by_ppm: i64) -> Self {
        let parts_per_million = u128::try_from(1_000_000 + wrong_by_ppm).expect("clocks run forward");
        Self { since: 0, showed, parts_per_million }
    }

    /// What it shows at that true instant.
    #[must_use]
    pub(super) fn at(&self, now: u64) -> Timestamp {
        let passed = u128::from(now.saturating_sub(self.since)) * self.parts_per_million / MILLION;
        Timestamp::from_micros(self.showed + u64::try_from(passed).expect("a short story"))
    }

    /// The first true instant at which it shows this.
    #[must_use]
    pub(super) fn when(&self, shown: Timestamp) -> u64 {
        let left = u128::from(shown.as_micros().saturating_sub(self.showed)) * MILLION;
        self.since + u64::try_from(left.div_ceil(self.parts_per_million)).unwrap_or(u64::MAX / 2)
    }

    /// A hypervisor froze the guest with its clock from then on, until then.
    pub(super) fn froze(&mut self, from: u64, until: u64) {
        (self.showed, self.since) = (self.at(from).as_micros(), until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_found_again_at_any_rate() {
        for wrong_by in [-10_000, 0, 9_999] {
            let clock = Clock::new(5_000, wrong_by);
            for now in [0, 1, 999, 1_000_000, 77_777_777] {
                let found = clock.when(clock.at(now));
                assert!(found <= now && clock.at(found) == clock.at(now));
            }
        }
    }

    #[test]
    fn a_frozen_clock_goes_on_from_where_it_stood() {
        let mut clock = Clock::new(100, 0);
        clock.froze(50, 1_000);
        assert_eq!(clock.at(1_000), Timestamp::from_micros(150));
        assert_eq!(clock.at(1_010), Timestamp::from_micros(160));
    }
}
