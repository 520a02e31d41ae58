//! The one shape of every decider: facts in, orders out, time as an argument.
//!
//! A machine never waits, never reads a clock, never rolls dice and never logs. Its shell reads the clock, steps it, performs the effects
//! *in the order listed* (so "persist, then send" is list order), and re-arms one alarm from `wake_at`. Every outcome of an effect comes
//! back as one more input. A machine is level-triggered: it compares what is wanted with what is observed and plans anew, so a lost message
//! delays and never misleads, and a spurious wake is harmless.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A pure decider.
pub trait Machine: Send + 'static {
    /// Facts, named in the past tense. `Woken` is the alarm.
    type Input: From<Woken> + Send + 'static;
    /// Orders, named as imperatives.
    type Effect: Send + 'static;

    /// Takes in one fact at `now` and answers what is to be done. `now` never goes back.
    fn step(&mut self, now: Timestamp, input: Self::Input) -> Vec<Self::Effect>;

    /// When to be woken next, if nothing happens before. An instant in the past means at once.
    fn wake_at(&self) -> Option<Timestamp>;
}

/// The alarm went off, or somebody thought that it might have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken;

/// An instant on this node's own clock (`CLOCK_BOOTTIME`), in microseconds. Never compared with another node's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant so many microseconds after the clock's zero.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the clock's zero.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    /// Saturates at the clock's zero.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
