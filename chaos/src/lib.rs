//! Real clusters of Witch on one machine, real faults, and the invariants they must keep.
//!
//! `invariants` and `ledger` are pure: they judge a history and do not care where it came from. `live` makes histories: it runs daemons and
//! PostgreSQL servers as child processes, hurts them, and writes to them all the time. The black-box tests, the demo and the bench share it.
#![forbid(unsafe_code)]

pub mod checkers;
pub mod history;
pub mod invariants;
pub mod ledger;
pub mod live;
pub mod nemesis;
pub mod report;
pub mod workload;
