//! Real clusters of Witch on one machine, real faults, and the invariants they must keep.
//!
//! `invariants` and `ledger` are pure: they judge a history and do not care where it came from. `live` makes histories: it runs daemons and
//! PostgreSQL servers as child processes, hurts them, and writes to them all the time. The black-box tests, the demo and the bench share it.
//! `sim` makes them, too: whole clusters in one thread and in virtual time, with the real machines and fake hands.
#![forbid(unsafe_code)]

pub mod invariants;
pub mod ledger;
#[cfg(feature = "live")]
pub mod live;
pub mod sim;
