//! What a node publishes of itself and of the cluster as it sees it. The API, the CLI and the live view read nothing else.

use super::{ClusterState, Database, Epoch, NodeId, Report, Term, WallClock, Why};
use crate::machine::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Everything that is shown. Stamped: a reader must not believe it long after `at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When it was made, on this node's clock.
    pub at: Timestamp,
    /// Who made it.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// The node's role now.
    pub role: Role,
    /// This node's database.
    pub database: Option<Database>,
    /// This node's lease, if it is the primary.
    pub lease: LeaseStatus,
    /// Whether the database accepts writes under a lease that held at `at`.
    pub writable: bool,
    /// Whether readers may come: a streaming standby that is not `noloadbalance`.
    pub readable: bool,
    /// Raft's term.
    pub term: Term,
    /// Raft's leader, if one is known.
    pub leader: Option<NodeId>,
    /// How this node sees each member, itself included.
    pub members: Vec<MemberStatus>,
    /// The replicated state, once this node is a member.
    pub state: Option<ClusterState>,
    /// The last decisions of this node, oldest first.
    pub decisions: Vec<RecentDecision>,
    /// Why the node is not doing what a user would expect, in words.
    pub waiting_for: Option<String>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its database accepts writes under a lease.
    Primary,
    /// Its database is a standby, or is being made one.
    Standby,
    /// Votes only.
    Witness,
    /// Not a member yet, or its database is of no use.
    Unknown,
}

/// A lease, as its holder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// For this epoch.
    pub epoch: Option<Epoch>,
    /// Until then on the holder's clock.
    pub end: Option<Timestamp>,
}

/// A member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// How it looks from here.
    pub health: Health,
    /// Its role, as far as its report and the state tell.
    pub role: Role,
    /// What it reported last.
    pub report: Option<Report>,
    /// How old that is, in milliseconds.
    pub report_age_ms: Option<u64>,
    /// How many bytes it is behind the primary, where both are known.
    pub lag_bytes: Option<u64>,
}

/// A peer as a probe sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Reports as it should.
    Green,
    /// Missed a report.
    Yellow,
    /// Missed too many, or was never heard.
    Red,
}

/// A decision that this node took, for people who watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentDecision {
    /// When, on the node's wall clock.
    pub at: WallClock,
    /// What was decided.
    pub what: String,
    /// The rule and its reason.
    #[serde(flatten)]
    pub why: Why,
}
