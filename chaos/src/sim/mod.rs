//! Whole clusters in one thread and in virtual time: the real machines of every member, with fake hands.
//!
//! A run is told by a [`Story`]: a seed, which decides the world and its luck, and a schedule of faults. The same story gives the same run,
//! event by event. Faults come first and safety holds always; then a random core is healed, the rest stays broken, and progress is
//! demanded. `docs/simulator.md` says what is modelled and what is not.

mod client;
mod clock;
mod crash;
mod daemon;
mod decisions;
mod dice;
mod disk;
mod event;
mod fault;
mod guard;
mod host;
mod invariants;
mod liveness;
mod look;
mod network;
mod postgres;
mod promises;
mod run;
mod shrink;
mod story;
mod stranger;
mod streaming;
mod tally;
mod tether;
mod told;
mod trace;
mod wiring;
mod work;
mod world;

pub use invariants::{RULES, Violation};
pub use run::{Outcome, run};
pub use shrink::shrink;
pub use story::{Fault, KIND_NAMES, Story, Timed, Who};
pub use tally::Tally;
