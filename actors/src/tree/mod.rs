//! What carries the machines: the generic shell, typed addresses, supervisors with their restart policy, and the clock.
//!
//! The restart policy is pure; the rest is the only place besides the `actor.rs` files that knows the actor framework.

#[cfg(feature = "shell")]
pub mod clock;
