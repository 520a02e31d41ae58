//! What happened, for the person who asks later.

use super::{Epoch, Lsn, NodeId, RequestId, SystemIdentifier, Timeline, WallClock, Why};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// One line of the cluster's history, as the log committed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The index of the log entry that made it.
    pub index: u64,
    /// When it was proposed, on the proposer's wall clock.
    pub at: WallClock,
    /// The epoch in force after it.
    pub epoch: Epoch,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A node was appointed primary.
    Appointed {
        /// The new primary.
        node: NodeId,
        /// Whom it replaces, if there was one.
        replaces: Option<NodeId>,
        /// The decision behind it.
        #[serde(flatten)]
        why: Why,
        /// How many bytes that the old primary is known to have written the new one did not have (D3). None: nothing was known of it.
        lost_at_least: Option<u64>,
    },
    /// The first database of the cluster was made or adopted.
    Founded {
        /// On this node.
        node: NodeId,
        /// And has this identity.
        system_identifier: SystemIdentifier,
    },
    /// The appointed node's database accepts writes.
    Promoted {
        /// The primary.
        node: NodeId,
        /// Its timeline.
        timeline: Timeline,
        /// Where that timeline began.
        lsn: Lsn,
    },
    /// The primary of an epoch stopped for good.
    Released {
        /// The former primary.
        node: NodeId,
        /// The timeline it was on.
        timeline: Timeline,
        /// The end of its log, where it is known.
        final_lsn: Option<Lsn>,
        /// The decision behind it.
        #[serde(flatten)]
        why: Why,
    },
    /// An operator asked for a switchover, and the checks before it passed.
    SwitchoverBegun {
        /// The request.
        id: RequestId,
        /// The primary that is to step down.
        from: NodeId,
        /// The one that is to take over.
        to: NodeId,
    },
    /// A switchover ended.
    SwitchoverEnded {
        /// The request.
        id: RequestId,
        /// None: it succeeded. Otherwise why it did not.
        failure: Option<String>,
    },
    /// Failover was paused or resumed by an operator.
    Paused {
        /// Whether it is paused now.
        paused: bool,
    },
    /// A node that had lost its log came back under a new Raft id.
    MemberReplaced {
        /// The node.
        node: NodeId,
    },
}
