//! What goes into the machine and what comes out of it.

use super::{Refusal, Request};
use crate::machine::{Timestamp, Woken};
use crate::model::{Epoch, Health, NodeId, Report, RequestId, Status, Why};
use crate::{pg, raft};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A fact for the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The alarm went off.
    Woken,
    /// From consensus.
    Raft(raft::Fact),
    /// From the adapter of this node.
    Reported(Box<pg::Reported>),
    /// From the probe of a peer.
    Observed {
        /// The peer.
        peer: NodeId,
        /// How it looks.
        health: Health,
        /// What it reported last.
        report: Option<Box<Report>>,
    },
    /// The guard said what it holds: told once when a life of the daemon or of the guard begins.
    GuardFound {
        /// A lease from an earlier life of this daemon, and when it ends.
        lease: Option<(Epoch, Timestamp)>,
    },
    /// The guard that was found remembers that this node has released that epoch. So that was on disk once, and the disk may have lost it.
    GuardRemembers {
        /// The epoch, and every epoch before it.
        released: Epoch,
    },
    /// The guard acknowledged the new end of the lease.
    LeaseGuarded {
        /// For this epoch.
        epoch: Epoch,
        /// The new end.
        end: Timestamp,
    },
    /// It is on disk that this node has released that epoch, and the guard has dropped the lease. Told at the start, too, of the last such
    /// epoch (S8).
    ReleaseRecorded {
        /// The epoch, and every epoch before it.
        epoch: Epoch,
    },
    /// An operator asked this node for something.
    Requested {
        /// The request's id.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// What an earlier life of the machine was told, newest of each kind. Nothing is decided before all of it is known.
    Recalled(Vec<Self>),
    /// The process was told to end, and to take its database along.
    Stopped,
}

impl From<Woken> for Input {
    fn from(_: Woken) -> Self {
        Self::Woken
    }
}

/// An order of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To consensus.
    Raft(raft::Order),
    /// To the adapter: from now on, the database shall be this.
    Database {
        /// Repeated by every report that was made under this order.
        number: u64,
        /// The order.
        order: pg::Order,
        /// A change of primary is under way: observe as often as is sensible.
        hurry: bool,
    },
    /// To the guard: the lease lasts until then; say `LeaseGuarded`.
    GuardLease {
        /// For this epoch.
        epoch: Epoch,
        /// The new end.
        end: Timestamp,
    },
    /// To disk and then to the guard: this node never uses that epoch again; say `ReleaseRecorded`.
    RecordRelease {
        /// The epoch.
        epoch: Epoch,
    },
    /// To the probes: this is what peers shall know of us.
    Report(Box<Report>),
    /// To the API: the request is refused.
    Refuse {
        /// The request's id.
        id: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// To everybody who looks.
    Publish(Box<Status>),
    /// To the log of the daemon: a decision was taken.
    Decided {
        /// What was decided.
        what: String,
        /// The rule and its reason.
        why: Why,
    },
    /// To the watchdog: a step was completed, and the node is safe (S7).
    Pulse,
    /// End the process: everything that had to be done before is done.
    Exit,
}
