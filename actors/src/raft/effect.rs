//! What goes into the machine and what comes out of it.

use super::{Fact, LogEntry, Order, PeerMessage, SnapshotImage};
use crate::machine::Woken;
use crate::model::{Member, NodeId, RaftId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A fact for the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The alarm went off.
    Woken,
    /// The FSM of this node ordered something.
    Ordered(Order),
    /// A message arrived on the link of that node. Reports never come here: the links hand them to the probes.
    Heard {
        /// The node that the link authenticated.
        from: NodeId,
        /// What it said.
        message: Box<PeerMessage>,
    },
    /// A link to that node came up, in the direction from us to it.
    Linked {
        /// The peer.
        node: NodeId,
    },
    /// That link broke.
    Unlinked {
        /// The peer.
        node: NodeId,
    },
    /// Everything in the batch of this number, and in all before it, is on disk.
    Persisted {
        /// See [`Batch::number`].
        number: u64,
    },
}

impl From<Woken> for Input {
    fn from(_: Woken) -> Self {
        Self::Woken
    }
}

/// An order of the machine.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Bring this to disk, after everything ordered before it, in one durable transaction; then say `Persisted`. Never waits for the disk.
    Persist(Box<Batch>),
    /// Send this, or drop it if the link's queue is full or the link is down.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        message: Box<PeerMessage>,
    },
    /// Tell the FSM of this node.
    Tell(Fact),
    /// Have links to exactly these nodes (ourselves left out).
    Link(Vec<Member>),
    /// Write one line into the log of the daemon.
    Note {
        /// It surprised us, though we go on.
        warning: bool,
        /// In words, with what to do if somebody must.
        text: String,
    },
    /// This node cannot go on: end the process with this message.
    Halt {
        /// What happened, why, and what to do.
        reason: String,
    },
}

/// One durable transaction of the log.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Batch {
    /// Grows by one with each batch of a process.
    pub number: u64,
    /// Forget everything that is there, first: a node that had lost its membership begins anew, or a leader's snapshot stands against entries
    /// which never were committed. Then the identity, the snapshot, the entries and the hard state are written, in this order.
    pub reset: bool,
    /// Who this log is, if that is new.
    pub identity: Option<Identity>,
    /// Replaces the log and the state up to its index; entries after its index stay.
    pub snapshot: Option<SnapshotImage>,
    /// Entries: the first truncates the log from its index on.
    pub entries: Vec<LogEntry>,
    /// Term, vote and commit index.
    pub hard_state: Option<HardState>,
    /// Only the commit index has moved, which Raft finds again by itself: nothing waits for this batch, and it may wait for the next one.
    pub may_wait: bool,
}

/// Who a log is. Written before the first vote (S13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// This life of the log.
    pub raft_id: RaftId,
    /// The node it was made for.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// It is born or has joined; false while it is only prepared.
    pub born: bool,
    /// Was prepared to join an existing cluster, not to found one.
    pub joining: bool,
    /// The members as this node's file named them when it was prepared.
    pub members: Vec<Member>,
    /// The digest of the birth that it comes from, that it joins, or, while it is only prepared, that it has agreed to. See
    /// [`super::Introduction::birth`].
    pub birth: Option<u64>,
}

/// What Raft must not forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HardState {
    /// The current term.
    pub term: u64,
    /// For whom this log voted in it; zero for nobody.
    pub vote: u64,
    /// How far the log is known to be committed.
    pub commit: u64,
}

/// Everything that a store holds when a process starts.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Stored {
    /// None: there is no log.
    pub identity: Option<Identity>,
    /// The last snapshot.
    pub snapshot: Option<SnapshotImage>,
    /// The entries after it, without a gap.
    pub entries: Vec<LogEntry>,
    /// What Raft must not forget.
    pub hard_state: HardState,
}
