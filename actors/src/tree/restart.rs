//! How often an actor may die, as a value and a pure window.

use crate::machine::Timestamp;
use alloc::collections::VecDeque;
use core::time::Duration;

/// How a supervisor meets the death of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// So many deaths ...
    pub intensity: usize,
    /// ... within this time are met with a restart; one more is given up upwards.
    pub window: Duration,
    /// The first restart comes at once, the second after this, each further one after twice the time of the one before.
    pub back_off: Duration,
    /// But never later than this.
    pub back_off_max: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { intensity: 5, window: Duration::from_secs(30), back_off: Duration::from_millis(50), back_off_max: Duration::from_secs(2) }
    }
}

/// What to do about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after this time.
    Restart(Duration),
    /// It dies too often: the supervisor gives up, and the process ends.
    GiveUp,
}

/// The deaths of one child within the window.
#[derive(Clone, Debug)]
pub struct RestartWindow {
    policy: RestartPolicy,
    deaths: VecDeque<Timestamp>,
}

impl RestartWindow {
    /// No deaths yet.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, deaths: VecDeque::new() }
    }

    /// The child died at `now`.
    pub fn died(&mut self, now: Timestamp) -> Verdict {
        while self.deaths.front().is_some_and(|death| now.since(*death) > self.policy.window) {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        let count = self.deaths.len();
        if count > self.policy.intensity {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(count.saturating_sub(2)).unwrap_or(u32::MAX).min(16);
        let delay = if count == 1 { Duration::ZERO } else { self.policy.back_off * 2_u32.pow(doublings) };
        Verdict::Restart(delay.min(self.policy.back_off_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn restarts_come_slower_and_then_not_at_all() {
        let mut window = RestartWindow::new(RestartPolicy::default());
        let verdicts: Vec<_> = (0..6).map(|i| window.died(at(i))).collect();
        let restart = |millis| Verdict::Restart(Duration::from_millis(millis));
        assert_eq!(verdicts, [restart(0), restart(50), restart(100), restart(200), restart(400), Verdict::GiveUp]);
    }

    #[test]
    fn deaths_count_together_for_as_long_as_the_window() {
        let mut window = RestartWindow::new(RestartPolicy::default());
        let verdicts: Vec<_> = (0..6).map(|i| window.died(at(i * 6000))).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::GiveUp));
    }

    #[test]
    fn deaths_are_forgotten_after_the_window() {
        let mut window = RestartWindow::new(RestartPolicy::default());
        for i in 0..100 {
            assert_eq!(window.died(at(i * 31_000)), Verdict::Restart(Duration::ZERO));
        }
    }
}
