//! The guard: a tiny separate process of the same binary, and the parent of the database server (S6).
//!
//! It outlives a dead daemon, and it ends a *writable* server when the lease runs out; a standby keeps running. It needs nothing from the
//! daemon to do so. It never decides anything else, and never starts or promotes anything by itself.
//!
//! Talks to: the adapter and the lease keeper of this node's daemon, over `<cluster.data_dir>/guard.sock`.

pub mod control_file;
pub mod policy;
pub mod wire;
