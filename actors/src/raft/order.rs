//! What the FSM tells the RaftActor, and what it hears from it.

use crate::fsm::Request;
use crate::model::{ClusterState, LeaseGrant, LeaseRequest, NodeId, Proposal, RequestId, Term};
use alloc::boxed::Box;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// An order of this node's FSM. All of them may be lost on the way (no leader, a broken link): the FSM looks at the committed state and
/// orders again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bring this into the log; on a follower, by way of the leader. An `Appoint` is proposed only here, only by a leader, and only if S5
    /// holds in this very step; otherwise it is dropped.
    Propose(Proposal),
    /// Ask the leader for a lease (S3).
    RequestLease(LeaseRequest),
    /// Bring an operator's request before the leader's FSM.
    Ask {
        /// The request's id.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// Tell the node that brought a request before us why it is refused.
    Refuse {
        /// The node that brought it.
        to: NodeId,
        /// The request's id.
        id: RequestId,
        /// The reason.
        refusal: crate::fsm::Refusal,
    },
    /// Hand the leadership to somebody else, by S12. Nothing happens on a follower.
    HandOver,
}

/// A fact for this node's FSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The log was applied up to `index`.
    Committed {
        /// Of the last entry applied.
        index: u64,
        /// The state after it.
        state: Box<ClusterState>,
        /// Proposals that were ignored, and why. For the log.
        ignored: Option<String>,
    },
    /// The leadership, or what a leader may do, has changed.
    Led(Leadership),
    /// The leader granted a lease that we asked for.
    Leased(LeaseGrant),
    /// A node (ourselves, too) brings an operator's request before us, the leader.
    Asked {
        /// Who brings it, and is to be told of a refusal.
        origin: NodeId,
        /// The request's id.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// The leader refused a request of ours.
    Refused {
        /// The request's id.
        id: RequestId,
        /// The reason.
        refusal: crate::fsm::Refusal,
    },
}

/// Who leads, as far as this node knows, and whether it may act as a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leadership {
    /// Raft's term.
    pub term: Term,
    /// Its leader, if known.
    pub leader: Option<NodeId>,
    /// This node leads and has applied an entry of its own term: it may decide. Never after `Handover`.
    pub ready: bool,
    /// An appointment is proposed and not applied yet.
    pub appointing: bool,
    /// Whether the primary may be replaced now (S5).
    pub gate: Gate,
    /// This node belongs to the cluster: it is born, or has joined.
    pub member: bool,
}

/// S5's question, answered where the answer can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Gate {
    /// The primary may still hold a lease.
    #[default]
    Closed,
    /// Nobody is primary, or a committed release says that its database is stopped or read-only.
    Released,
    /// W has passed since the last instant from which a lease of the primary could count.
    Lapsed,
}
