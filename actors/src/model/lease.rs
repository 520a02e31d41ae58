//! The lease: the right of (node, epoch) to run a writable database until an instant on that node's own clock.

use super::{Boot, Epoch, NodeId};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The three numbers that the proof rests upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTiming {
    /// T: how long a lease lasts from the instant at which it was asked for.
    pub ttl: Duration,
    /// G: the guard ends a writable server so long before the lease does.
    pub kill_margin: Duration,
    /// rho: how wrong the rate of a clock may be, in parts per million.
    pub rho_ppm: u32,
}

impl Default for LeaseTiming {
    fn default() -> Self {
        Self { ttl: Duration::from_millis(3000), kill_margin: Duration::from_millis(500), rho_ppm: 10_000 }
    }
}

impl LeaseTiming {
    /// W: how long others wait for a lease to be over for certain, T x (1 + rho) / (1 - rho), rounded up.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let ttl = self.ttl.as_micros();
        let rho = u128::from(self.rho_ppm);
        micros((ttl * (1_000_000 + rho)).div_ceil(1_000_000 - rho))
    }

    /// The least time that has passed on *this* clock while `age` passed on another, a (1 - rho) / (1 + rho), rounded down.
    #[must_use]
    pub fn least_elapsed(&self, age: Duration) -> Duration {
        let rho = u128::from(self.rho_ppm);
        micros(age.as_micros() * (1_000_000 - rho) / (1_000_000 + rho))
    }

    /// How often the holder asks for a new lease.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        self.ttl / 6
    }
}

fn micros(value: u128) -> Duration {
    Duration::from_micros(u64::try_from(value).unwrap_or(u64::MAX))
}

/// The primary asks for a lease (S3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Who asks.
    pub node: NodeId,
    /// For which appointment.
    pub epoch: Epoch,
    /// In which life of its daemon: a grant to an earlier life is void.
    pub boot: Boot,
    /// Which of its requests.
    pub seq: u64,
}

/// The leader's grant: it repeats the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// Who asked.
    pub node: NodeId,
    /// For which appointment.
    pub epoch: Epoch,
    /// In which life of its daemon.
    pub boot: Boot,
    /// Which of its requests.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_outlasts_a_lease_on_the_slowest_legal_clock() {
        let timing = LeaseTiming::default();
        assert_eq!(timing.wait(), Duration::from_micros(3_060_607));
        // While the holder's slow clock (1 - rho) counts T, a waiter's fast clock (1 + rho) counts exactly W.
        let real = timing.ttl.as_secs_f64() / 0.99;
        assert!(timing.wait().as_secs_f64() >= real * 1.01);
        assert!(timing.least_elapsed(Duration::from_secs(101)) <= Duration::from_secs(99));
    }
}
