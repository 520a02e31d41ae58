//! What carries the machines: the generic shell, typed addresses, supervisors with their restart policy, and the clock.
//!
//! The restart policy is pure; the rest is the only place besides the `actor.rs` files that knows the actor framework.

pub mod neighbourhood;
pub mod restart;

#[cfg(feature = "shell")]
mod address;
#[cfg(feature = "shell")]
pub mod clock;
#[cfg(feature = "shell")]
mod shell;
#[cfg(feature = "shell")]
mod supervisor;
#[cfg(feature = "shell")]
mod task;

#[cfg(feature = "shell")]
pub use address::Address;
#[cfg(feature = "shell")]
pub use shell::{Hands, Parcel};
#[cfg(feature = "shell")]
pub use supervisor::{Child, Facts, GaveUp, Life, Name, Tree};
