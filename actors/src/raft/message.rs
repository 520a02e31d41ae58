//! What travels on a peer link.
//!
//! Links authenticate *nodes*; a Raft id is a claim of the node's log that the machine checks.

use crate::fsm::{Refusal, Request};
use crate::model::{ClusterState, LeaseGrant, LeaseRequest, Member, NodeId, Proposal, RaftId, Report, RequestId, Settings, Term};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// One frame of a peer link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Consensus itself.
    Raft(Box<RaftMessage>),
    /// Who the sender is in Raft's terms: sent when a link comes up, and again while either side has no log.
    Introduction(Introduction),
    /// A node without a log asks the leader to take it in under a fresh Raft id (S13).
    Join {
        /// The Raft id it has durably prepared.
        raft_id: RaftId,
        /// Its record as its own file has it.
        member: Member,
    },
    /// To the leader: a proposal of another node's FSM.
    Propose(Proposal),
    /// To the leader: the primary asks for a lease.
    LeaseRequest(LeaseRequest),
    /// From the leader.
    LeaseGrant(LeaseGrant),
    /// A leader asks a voter how long ago it last answered a leader of a term before `term`.
    AskTestimony {
        /// The leader's term.
        term: Term,
    },
    /// The answer: so long ago, at the least, when it was sent.
    Testimony {
        /// The term that was asked about.
        term: Term,
        /// On the voter's clock.
        age: Duration,
    },
    /// From the leader, which is about to leave: this voter may ask for votes although a leader is there.
    Heir {
        /// The leader's term.
        term: Term,
        /// The Raft id of the voter.
        raft_id: RaftId,
    },
    /// A node's account of itself, for the probes.
    Report(Report),
    /// To the leader: an operator's request.
    Ask {
        /// The request's id.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// From the leader: the request is refused.
    Refused {
        /// The request's id.
        id: RequestId,
        /// Why.
        refusal: Refusal,
    },
}

/// How far a node is in Raft's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It has no log at all.
    Empty,
    /// It has durably prepared to be born or to join, under its Raft id.
    Prepared,
    /// It is born: it has a log.
    Born,
}

/// A node introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// How far it is.
    pub phase: Phase,
    /// Its Raft id, once it has one.
    pub raft_id: Option<RaftId>,
    /// Before birth: the members that its own file names (node id, name, endpoint, witness), with `raft_id` zero. Afterwards: those of the log.
    pub members: Vec<Member>,
    /// The cluster's name.
    pub cluster: String,
    /// The settings that its file would begin a cluster with; they must agree before a birth.
    pub settings: Settings,
    /// The term that it has durably.
    pub term: Term,
    /// The last index that it has durably.
    pub last_index: u64,
    /// How far it has applied its log: as of there its `members` are.
    pub applied: u64,
    /// Who leads, as far as it knows: a joiner asks there.
    pub leader: Option<NodeId>,
    /// The digest of the birth of its cluster, so that two clusters of one name are told apart. A prepared node names the birth that it
    /// would take part in, as far as it sees; one that joins, that of the cluster it joins.
    pub birth: Option<u64>,
}

/// A mirror of raft-rs's message in serde's terms: validated and bounded before it is stepped. Its fields are raft-rs's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaftMessage {
    /// `MessageType` as a number.
    pub kind: u8,
    /// The sender's Raft id.
    pub from: RaftId,
    /// The receiver's Raft id.
    pub to: RaftId,
    /// The sender's term.
    pub term: u64,
    /// See raft-rs.
    pub log_term: u64,
    /// See raft-rs.
    pub index: u64,
    /// See raft-rs.
    pub commit: u64,
    /// See raft-rs.
    pub commit_term: u64,
    /// See raft-rs.
    pub reject: bool,
    /// See raft-rs.
    pub reject_hint: u64,
    /// See raft-rs.
    pub request_snapshot: u64,
    /// See raft-rs.
    pub priority: i64,
    /// Of a read index round.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
    /// Log entries.
    pub entries: Vec<LogEntry>,
    /// A snapshot.
    pub snapshot: Option<SnapshotImage>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// `EntryType` as a number.
    pub kind: u8,
    /// Its term.
    pub term: u64,
    /// Its index.
    pub index: u64,
    /// A `Proposal` in MessagePack, or raft-rs's own encoding of a configuration change, or nothing.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// What a configuration change means to the membership.
    #[serde(with = "serde_bytes")]
    pub context: Vec<u8>,
}

/// The state up to an index, in place of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotImage {
    /// Of the last entry in it.
    pub index: u64,
    /// Of that entry.
    pub term: u64,
    /// Voters, learners, outgoing voters, and next learners.
    pub voters: Vec<u64>,
    /// See raft-rs.
    pub learners: Vec<u64>,
    /// See raft-rs.
    pub voters_outgoing: Vec<u64>,
    /// See raft-rs.
    pub learners_next: Vec<u64>,
    /// See raft-rs.
    pub auto_leave: bool,
    /// The replicated state.
    pub state: ClusterState,
}
