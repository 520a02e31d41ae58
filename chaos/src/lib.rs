//! Real clusters of Witch on one machine, real faults, and the invariants they must keep.
//!
//! `invariants` and `ledger` are pure: they judge a history and do not care where it came from. `live` makes histories: it runs daemons and
//! PostgreSQL servers as child processes, hurts them, and writes to them all the time. The black-box tests, the demo and the bench share it.
//! `sim` makes them, too: whole clusters in one thread and in virtual time, with the real machines and fake hands.
//!
//! A chaos run (`docs/chaos.md`) puts these together: `nemesis` carries out a schedule of faults that was drawn from a seed, the clients of
//! `workload` write down what they see as a `history`, `checkers` judge it, and `report` shows it. What a fault is done with is behind
//! `live::Hosts`, so that hosts may be of any kind.
#![forbid(unsafe_code)]

#[cfg(feature = "live")]
pub mod checkers;
#[cfg(feature = "live")]
pub mod history;
pub mod invariants;
pub mod ledger;
#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "live")]
pub mod nemesis;
#[cfg(feature = "live")]
pub mod report;
pub mod sim;
#[cfg(feature = "live")]
pub mod workload;
