//! What the log holds: decisions, and facts that decisions rest upon. Never reports, never lease renewals.

use super::{Endpoint, Epoch, Lsn, NodeId, Promotion, RequestId, SystemIdentifier, Term, Timeline, WallClock};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The rule behind a decision, and the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Why {
    /// The id of the row in the rule table.
    pub rule: String,
    /// Its reason.
    pub because: String,
}

/// A command together with the ground it stands on. `apply` ignores it if the ground has moved (S1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The node that proposes.
    pub by: NodeId,
    /// The term in which a leader decided it: the entry must be of this term. None for a fact that a node tells of itself.
    pub term: Option<Term>,
    /// The epoch upon which it was decided.
    pub basis: Epoch,
    /// The proposer's time of day, for the history.
    pub at: WallClock,
    /// What is proposed.
    pub command: Command,
}

/// What can be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes `node` the primary of epoch `basis + 1`. Only a leader proposes it, and only by S5.
    Appoint {
        /// The new primary.
        node: NodeId,
        /// The decision behind it.
        why: Why,
        /// See [`super::EventKind::Appointed`].
        lost_at_least: Option<u64>,
        /// How far it told that it is (D5).
        #[serde(default)]
        at: Option<Lsn>,
    },
    /// The appointed founder has made or adopted the cluster's database; no server of it has run as a primary yet.
    Founded {
        /// The founder.
        node: NodeId,
        /// The identity that every member's database must have from now on (S11).
        system_identifier: SystemIdentifier,
    },
    /// The primary of `basis` accepts writes.
    Promoted {
        /// The primary.
        node: NodeId,
        /// Where the timeline that it writes on comes from, oldest first, with its own as the last.
        lineage: Vec<Promotion>,
    },
    /// Every server process of the primary of `basis` is gone, or its server proved read-only, and its node will never use the epoch again (S8).
    Release {
        /// The former primary.
        node: NodeId,
        /// The timeline it was on.
        timeline: Timeline,
        /// The end of its final checkpoint record after a clean stop.
        final_lsn: Option<Lsn>,
        /// The decision behind it.
        why: Why,
    },
    /// Holds everything but the fence, or lets it go on.
    Pause {
        /// The request.
        id: RequestId,
        /// Whether to pause.
        paused: bool,
    },
    /// The checks passed: the primary of `basis` shall step down for `to`.
    BeginSwitchover {
        /// The request.
        id: RequestId,
        /// Who takes over.
        to: NodeId,
    },
    /// The switchover cannot be done; whoever is primary stays or comes back.
    AbortSwitchover {
        /// The request.
        id: RequestId,
        /// Why it cannot.
        reason: String,
    },
    /// The leader of this term grants no lease again and will transfer its leadership (S12).
    Handover,
    /// A member's own file gives it another name or address than the log does.
    Describe {
        /// The member.
        node: NodeId,
        /// Its name.
        name: String,
        /// Where its daemon listens.
        witch: Endpoint,
        /// Where its database listens.
        database: Endpoint,
    },
}
