//! Judges a peer by its silence.
//!
//! Somebody who promised to call every evening and has not called for one evening is late; after three, one goes and looks. A peer sends
//! a report at least once per interval, so silence counts in missed reports, and not in seconds.
//!
//! The complication: a report that is due at an instant never arrives *at* that instant, it arrives a scheduler's delay and a round trip
//! later, and a detector that counts at the stroke calls a healthy peer yellow every second time. So a report is missed only once it is a
//! quarter of an interval overdue.

use super::Config;
use crate::model::Health;
use core::time::Duration;

/// The thresholds of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detector {
    yellow_after: Duration,
    red_after: Duration,
}

impl Detector {
    /// By this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let grace = config.interval / 4;
        Self { yellow_after: config.interval + grace, red_after: config.interval * config.failures.max(1) + grace }
    }

    /// How a peer looks that has been silent for so long.
    #[must_use]
    pub fn judge(&self, silence: Duration) -> Health {
        if silence >= self.red_after {
            Health::Red
        } else if silence >= self.yellow_after {
            Health::Yellow
        } else {
            Health::Green
        }
    }

    /// The next length of silence at which the judgement changes.
    #[must_use]
    pub fn next_change(&self, silence: Duration) -> Option<Duration> {
        match self.judge(silence) {
            Health::Green => Some(self.yellow_after.min(self.red_after)),
            Health::Yellow => Some(self.red_after),
            Health::Red => None,
        }
    }

    /// The silence that makes a peer red.
    #[must_use]
    pub fn red_after(&self) -> Duration {
        self.red_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(detector: &Detector, millis: u64) -> Health {
        detector.judge(Duration::from_millis(millis))
    }

    #[test]
    fn a_late_report_is_forgiven_and_a_missed_one_is_not() {
        let detector = Detector::new(&Config::default());
        assert_eq!(judge(&detector, 1000), Health::Green);
        assert_eq!(judge(&detector, 1249), Health::Green);
        assert_eq!(judge(&detector, 1250), Health::Yellow);
        assert_eq!(judge(&detector, 3249), Health::Yellow);
        assert_eq!(judge(&detector, 3250), Health::Red);
    }

    #[test]
    fn one_failure_allowed_means_that_green_turns_red() {
        let detector = Detector::new(&Config { failures: 1, ..Config::default() });
        assert_eq!(judge(&detector, 1249), Health::Green);
        assert_eq!(judge(&detector, 1250), Health::Red);
        assert_eq!(detector.next_change(Duration::ZERO), Some(Duration::from_millis(1250)));
    }

    #[test]
    fn at_the_next_change_the_judgement_really_changes() {
        let detector = Detector::new(&Config::default());
        let mut silence = Duration::ZERO;
        let mut seen = alloc::vec![detector.judge(silence)];
        while let Some(next) = detector.next_change(silence) {
            assert_eq!(detector.judge(next - Duration::from_micros(1)), detector.judge(silence));
            silence = next;
            seen.push(detector.judge(silence));
        }
        assert_eq!(seen, [Health::Green, Health::Yellow, Health::Red]);
    }
}
