//! The database adapter: it makes the database of this node what the FSM orders it to be.
//!
//! Level-triggered: the order says what the database shall be, not what to do; the machine compares it with what it observes and plans one
//! operation at a time. It never decides who is primary, and never starts a writable server without a lease: the guard, who is the
//! server's parent, would refuse.
//!
//! Talks to: the FSM (orders down, reports up), the guard, and PostgreSQL.

#[cfg(feature = "shell")]
pub mod actor;
pub mod ancestry;
mod backoff;
mod budget;
pub mod classify;
pub mod conditions;
pub mod conf;
pub mod config;
pub mod control;
mod effect;
mod ladder;
mod machine;
mod note;
mod observation;
mod operation;
mod order;
pub mod owned;
pub mod pins;
pub mod plan;
pub mod quoting;
pub mod said;
mod server;
pub mod sql;
pub mod standing;
mod timing;
mod trouble;
pub mod wal;

pub use budget::Budget;
pub use config::{Secret, Settings};
pub use effect::{Effect, Importance, Input};
pub use ladder::Rung;
pub use machine::Machine;
pub use note::Note;
pub use observation::{Answer, Control, Hold, Leftover, Life, Observation, Phase, Process, Sight, Stream, Upkeep};
pub use operation::{Cause, Fork, Kind, Mend, Operation, Outcome, Outlook};
pub use order::{Order, Reported, Stopped, Upstream};
pub use timing::Timing;
