//! The actors of Witch.
//!
//! One folder an actor. In each folder the pure files decide and `actor.rs` (with `actor/`) is the only door to the world. Without the
//! feature `shell` this crate is `no_std`: a pure file cannot read a clock, roll dice, wait or do I/O, because the compiler does not let it.
//!
//! The flow is a star around the FSM: facts come in, orders go out, and nobody talks past it. `docs/architecture.md` has the picture.
#![cfg_attr(not(feature = "shell"), no_std)]

extern crate alloc;
#[cfg(all(test, not(feature = "shell")))]
extern crate std;

pub mod api;
pub mod fsm;
#[cfg(test)]
mod golden;
pub mod guard;
pub mod machine;
pub mod model;
pub mod pg;
pub mod printable;
pub mod probe;
pub mod raft;
#[cfg(feature = "shell")]
pub mod star;
pub mod watchdog;

pub mod tree;
