//! Faults as data, and the one who carries them out.
//!
//! A `Schedule` is drawn from a seed before anything runs: timed steps, each with a `Fault` that names its victims by their role at that
//! moment (`Who`). It says nothing of what the hosts are made of, is written into the history, and can be replayed from a file. `Nemesis` carries
//! it out through the verbs of `live::Hosts` and writes down what it really did to whom.

mod fault;
mod roles;
mod run;
mod schedule;
mod shape;

pub use fault::{Fault, Who};
pub use roles::{Roles, is_settled, statuses};
pub use run::Nemesis;
pub use schedule::{Schedule, Step};
pub use shape::Shape;
