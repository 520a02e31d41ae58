//! Consensus and the lease's other half.
//!
//! Owns the log, the membership, the links to the peers, and, in one machine, everything that S4 and S5 need in one step: the instants at
//! which lease requests arrived, the grants, the Raft term and the proposals of appointments. It carries out decisions and never takes one:
//! who shall be primary is the FSM's business, whether the time for it has come is answered here.
//!
//! Talks to: the FSM (facts up, orders down), and its counterparts on the peers.

#[cfg(feature = "shell")]
pub mod actor;
mod effect;
mod message;
mod order;

pub use effect::{Batch, Effect, HardState, Identity, Input, Stored};
pub use message::{Introduction, LogEntry, PeerMessage, Phase, RaftMessage, SnapshotImage};
pub use order::{Fact, Gate, Leadership, Order};
