//! The hands of the RaftActor.

pub mod halt;
pub mod handshake;
pub mod log_thread;
pub mod store;
