//! The guard: a tiny separate process of the same binary, and the parent of the database server (S6).
//!
//! It outlives a dead daemon, and it ends a *writable* server when the lease runs out; a standby keeps running. It needs nothing from the
//! daemon to do so. It never decides anything else, and never starts or promotes anything by itself.
//!
//! `control_file.rs` reads what PostgreSQL says of itself, `policy.rs` decides, `wire.rs` is what daemon and guard say to each other. The
//! process is in `actor/process.rs`; the daemon's side of the socket, and its own fence for the case that the guard is gone, are in
//! `actor.rs` and `actor/sweep.rs`.
//!
//! Talks to: the adapter and the lease keeper of this node's daemon, over `<cluster.data_dir>/guard.sock`.

pub mod control_file;
pub mod policy;
pub mod wire;

#[cfg(feature = "shell")]
mod actor;

#[cfg(feature = "shell")]
pub use actor::{Arguments, CannotGuard, Client, Error, Event, NotSwept, Options, guard_of, residents, run, sweep, sweep_orphans};
