//! What fails is tried again, later each time.

use crate::machine::Timestamp;
use core::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// What only waits for something else is asked again this soon: the wait should not outlast its reason by much.
const WAITING: Duration = Duration::from_secs(2);

/// The delay after so many failures in a row: nothing, then 1 s, doubling up to 30 s.
#[must_use]
pub(super) fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => (FIRST * 2_u32.pow((failures - 1).min(8))).min(LONGEST),
    }
}

/// The failures in a row of one kind of operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BackOff {
    /// How many.
    pub(super) failures: u32,
    /// Not again before this instant.
    pub(super) until: Timestamp,
}

impl BackOff {
    /// One more failure at `now`.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures += 1;
        self.until = now + delay(self.failures);
    }

    /// It failed as it did before: there is no hurry.
    pub(super) fn rests(&mut self, now: Timestamp) {
        self.until = now + LONGEST;
    }

    /// It could not even be tried.
    pub(super) fn waits(&mut self, now: Timestamp) {
        self.until = now + WAITING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_one_second_to_thirty() {
        let seconds: [u64; 8] = core::array::from_fn(|failures| delay(u32::try_from(failures).unwrap()).as_secs());
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
