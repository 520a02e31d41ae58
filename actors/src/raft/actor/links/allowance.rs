//! How fast one peer may talk. The actors' mailboxes have no bound, so their bound is here, at the edge: a peer that talks faster is read slower, and
//! TCP makes it wait. It is far above honest traffic (some dozens of messages a second, a few hundred KiB when a follower catches up).

use crate::machine::Timestamp;
use std::time::Duration;

/// 2000 messages a second ...
const PER_MESSAGE: Duration = Duration::from_micros(500);
/// ... or about 32 MiB.
const BYTES_PER_MICROSECOND: usize = 32;
/// A burst of this much at once costs no waiting: 1000 messages or 16 MiB.
const BURST: Duration = Duration::from_millis(500);

/// A leaky bucket: the instant at which all that was said will have been paid for.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    paid_at: Timestamp,
}

impl Allowance {
    /// A message came at `now`: how long to wait before the next is read.
    pub(super) fn charge(&mut self, now: Timestamp, bytes: usize) -> Duration {
        let price = PER_MESSAGE + Duration::from_micros((bytes / BYTES_PER_MICROSECOND) as u64);
        self.paid_at = self.paid_at.max(now) + price;
        self.paid_at.since(now + BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn honest_traffic_never_waits() {
        let mut allowance = Allowance::default();
        assert!((0..100_000).all(|i| allowance.charge(at(i * 2), 300).is_zero()));
        assert!((0..900).all(|_| allowance.charge(at(300_000), 300).is_zero()), "a burst");
    }

    #[test]
    fn a_flood_is_read_no_faster_than_the_rate() {
        let mut allowance = Allowance::default();
        let mut clock = 0;
        let mut heard = 0;
        while clock < 10_000_000 {
            heard += 1;
            clock += u64::try_from(allowance.charge(Timestamp::from_micros(clock), 100).as_micros()).unwrap();
        }
        assert!((19_000..21_500).contains(&heard), "{heard} in ten seconds");
    }

    #[test]
    fn few_large_messages_count_as_much() {
        let mut allowance = Allowance::default();
        let waits = (0..10).map(|_| allowance.charge(at(0), 8 << 20)).sum::<Duration>();
        assert!(waits > Duration::from_secs(1), "{waits:?}");
    }
}
