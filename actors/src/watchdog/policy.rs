//! The petting is earned by a step of the FSM that completed and is safe, never by a timer.
//!
//! ```text
//!   pulse                now                                       lease end
//!     |--- pulse_age_max --|--- timeout ---|--- granularity ---|...|
//!                                          the host is reset at the latest here, so before the end
//! ```

use crate::machine::Timestamp;
use crate::model::LeaseTiming;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Whether a hardware watchdog is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is not.
    #[default]
    Off,
    /// If there is one.
    Automatic,
    /// And without one this node is never promoted.
    Required,
}

/// The watchdog's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether one is used.
    pub mode: Mode,
    /// The device resets the host so long after it was petted last.
    pub timeout: Duration,
    /// But it may be late by so much: many devices count in whole seconds.
    pub granularity: Duration,
    /// A pulse older than this no longer says that the FSM answers.
    pub pulse_age_max: Duration,
}

impl Default for Config {
    /// The FSM gives a pulse each 250 ms ([`fsm::STAMP`]); one that is 150 ms late on a busy host is no wedge. With the default lease of 3 s,
    /// renewed each half second, 0.5 + 0.4 + 1 + 1 <= 3 leaves 100 ms for the way of a request to the leader and back.
    ///
    /// [`fsm::STAMP`]: crate::fsm::STAMP
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            timeout: Duration::from_secs(1),
            granularity: Duration::from_secs(1),
            pulse_age_max: Duration::from_millis(400),
        }
    }
}

/// Why a watchdog cannot be used with these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Between two renewals the petting would stop, and a healthy primary's host be reset.
    #[error(
        "the watchdog would reset a healthy primary: renewal {renewal:?} + pulse age {pulse_age:?} + timeout {timeout:?} + granularity \
         {granularity:?} must not exceed lease_ttl_ms ({ttl:?}); lower the watchdog's timeout or raise lease_ttl_ms"
    )]
    LeaseTooShort {
        /// How often a lease is renewed.
        renewal: Duration,
        /// See [`Config::pulse_age_max`].
        pulse_age: Duration,
        /// See [`Config::timeout`].
        timeout: Duration,
        /// See [`Config::granularity`].
        granularity: Duration,
        /// The lease's length.
        ttl: Duration,
    },
}

impl Config {
    /// Every fault of it at once.
    #[must_use]
    pub fn validate(&self, lease: &LeaseTiming) -> Vec<Fault> {
        let needed = lease.renewal() + self.pulse_age_max + self.timeout + self.granularity;
        if self.mode == Mode::Off || needed <= lease.ttl {
            return Vec::new();
        }
        let Self { timeout, granularity, pulse_age_max: pulse_age, .. } = *self;
        Vec::from([Fault::LeaseTooShort { renewal: lease.renewal(), pulse_age, timeout, granularity, ttl: lease.ttl }])
    }
}

/// The FSM has completed a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When.
    pub at: Timestamp,
    /// The server is proven dead or in recovery, and no order is in force that lets it accept writes. A step that gives such an order emits
    /// its pulse, without this, *before* the order: so no old pulse vouches for a server that has become writable since.
    pub harmless: bool,
    /// The end of this node's lease.
    pub lease_end: Option<Timestamp>,
}

/// Whether the watchdog may be petted now (S7).
#[must_use]
pub fn may_pet(config: &Config, now: Timestamp, pulse: Option<&Pulse>) -> bool {
    let Some(pulse) = pulse.filter(|pulse| now.since(pulse.at) <= config.pulse_age_max) else { return false };
    let reset_at = now + config.timeout + config.granularity;
    pulse.harmless || pulse.lease_end.is_some_and(|end| reset_at <= end)
}

/// The device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// There is none, or it could not be opened, or it does not take the wanted timeout.
    Absent,
    /// It counts.
    Armed,
}

/// Whether the node may be promoted with this device.
#[must_use]
pub fn may_promote(mode: Mode, device: Device) -> bool {
    match (mode, device) {
        (Mode::Off | Mode::Automatic, _) | (Mode::Required, Device::Armed) => true,
        (Mode::Required, Device::Absent) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn primary(pulse_at: u64, lease_end: u64) -> Pulse {
        Pulse { at: at(pulse_at), harmless: false, lease_end: Some(at(lease_end)) }
    }

    fn pets(now: u64, pulse: Pulse) -> bool {
        may_pet(&Config::default(), at(now), Some(&pulse))
    }

    #[test]
    fn a_wedged_fsm_stops_the_petting() {
        assert!(pets(10_400, primary(10_000, 99_000)));
        assert!(!pets(10_401, primary(10_000, 99_000)), "its last pulse is too old, however long the lease");
        let standby = Pulse { at: at(10_000), harmless: true, lease_end: None };
        assert!(!pets(10_401, standby), "also on a standby: what it said of its server is too old");
        assert!(!may_pet(&Config::default(), at(10_000), None), "nothing is earned before the first pulse");
    }

    #[test]
    fn a_primary_is_petted_only_if_the_reset_would_come_before_its_lease_ends() {
        assert!(pets(10_000, primary(10_000, 12_000)));
        assert!(!pets(10_001, primary(10_000, 12_000)));
    }

    #[test]
    fn a_server_that_may_accept_writes_without_a_lease_is_left_to_the_reset() {
        assert!(!pets(10_000, Pulse { at: at(10_000), harmless: false, lease_end: None }));
    }

    #[test]
    fn a_harmless_server_needs_no_lease() {
        assert!(pets(10_000, Pulse { at: at(10_000), harmless: true, lease_end: None }));
        assert!(pets(10_000, Pulse { at: at(10_000), harmless: true, lease_end: Some(at(9_000)) }));
    }

    /// The whole cycle under the default timing on a busy host: a lease asked for every `ttl / 6` and answered 90 ms later, a pulse due every
    /// 250 ms and given up to 140 ms late, never let the petting stop.
    #[test]
    fn a_healthy_primary_is_always_petted() {
        let (config, lease) = (Config { mode: Mode::Required, ..Config::default() }, LeaseTiming::default());
        assert_eq!(config.validate(&lease), []);
        let stamp = u64::try_from(crate::fsm::STAMP.as_millis()).expect("a short time");
        let given = |number: u64| number * stamp + number % 3 * 70;
        for now in (10_000..20_000).step_by(10) {
            let pulse_at = (0..=now / stamp).map(given).filter(|at| *at <= now).max().expect("there were pulses before");
            let answered_at = pulse_at - 90;
            let asked_at = answered_at - answered_at % 500;
            assert!(pets(now, primary(pulse_at, asked_at + 3000)), "at {now}");
        }
    }

    #[test]
    fn numbers_that_would_reset_a_healthy_host_are_refused() {
        let slow = Config { mode: Mode::Automatic, timeout: Duration::from_secs(10), ..Config::default() };
        assert_eq!(slow.validate(&LeaseTiming::default()).len(), 1);
        assert_eq!(Config { mode: Mode::Off, ..slow }.validate(&LeaseTiming::default()), []);
    }

    #[test]
    fn required_means_required() {
        assert!(!may_promote(Mode::Required, Device::Absent));
        assert!(may_promote(Mode::Required, Device::Armed));
        assert!(may_promote(Mode::Automatic, Device::Absent));
        assert!(may_promote(Mode::Off, Device::Absent));
    }
}
