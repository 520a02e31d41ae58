//! What the other nodes have said of themselves, and what we remember of them ourselves.

use super::{Introduction, Phase};
use crate::machine::Timestamp;
use crate::model::{NodeId, RaftId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// How long an introduction counts as what its sender would still say. They are repeated at least twice within it.
const FRESH: Duration = Duration::from_millis(1500);

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    /// What each Raft id has promised us. It outlives the process that promised it, which is the point.
    promised: BTreeMap<RaftId, Promised>,
}

#[derive(Debug)]
struct Peer {
    introduction: Introduction,
    at: Timestamp,
    /// It came with a log older than what it promised.
    forgetful: bool,
}

/// What the holder of a Raft id can never again be without: what it said was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Promised {
    /// A term in which it voted or led.
    pub(super) term: u64,
    /// A committed entry that it acknowledged.
    pub(super) index: u64,
}

impl Peers {
    /// A node introduces itself. Answers what it has forgotten, if its log is older than what it promised (S13).
    pub(super) fn introduced(&mut self, now: Timestamp, node: NodeId, introduction: Introduction) -> Option<Promised> {
        let promised = introduction.raft_id.and_then(|raft_id| self.promised.get(&raft_id)).copied();
        let forgotten = promised.filter(|promised| {
            let (term, index) = (introduction.term.0, introduction.last_index);
            term < promised.term || index < promised.index
        });
        self.known.insert(node, Peer { introduction, at: now, forgetful: forgotten.is_some() });
        forgotten
    }

    /// That Raft id has promised this.
    pub(super) fn promised(&mut self, raft_id: RaftId, promised: Promised) {
        let entry = self.promised.entry(raft_id).or_default();
        entry.term = entry.term.max(promised.term);
        entry.index = entry.index.max(promised.index);
    }

    /// Only these nodes, and what their present Raft ids promised, are of interest from now on.
    pub(super) fn keep(&mut self, nodes: &[NodeId]) {
        self.known.retain(|node, _| nodes.contains(node));
        let ids: Vec<_> = self.known.values().filter_map(|peer| peer.introduction.raft_id).collect();
        self.promised.retain(|raft_id, _| ids.contains(raft_id));
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Introduction> {
        self.known.get(&node).map(|peer| &peer.introduction)
    }

    /// Whether Raft's messages of that node are listened to: it is of the same birth and has not lost what it promised.
    pub(super) fn is_trusted(&self, node: NodeId, birth: Option<u64>) -> bool {
        self.known.get(&node).is_some_and(|peer| !peer.forgetful && birth.is_some() && peer.introduction.birth == birth)
    }

    /// What the others said of themselves within the last moments.
    pub(super) fn fresh(&self, now: Timestamp) -> BTreeMap<NodeId, &Introduction> {
        let recent = self.known.iter().filter(|(_, peer)| now.since(peer.at) < FRESH);
        recent.map(|(node, peer)| (*node, &peer.introduction)).collect()
    }

    /// The node that introduced itself under this Raft id.
    pub(super) fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        self.known.iter().find(|(_, peer)| peer.introduction.raft_id == Some(raft_id)).map(|(node, _)| *node)
    }

    /// The births that nodes with a log speak of.
    pub(super) fn births(&self) -> impl Iterator<Item = (NodeId, u64)> {
        let born = self.known.iter().filter(|(_, peer)| peer.introduction.phase == Phase::Born && !peer.forgetful);
        born.filter_map(|(node, peer)| peer.introduction.birth.map(|birth| (*node, birth)))
    }

    /// Who leads the cluster of this birth, as the node with the highest term says.
    pub(super) fn leader(&self, birth: Option<u64>) -> Option<NodeId> {
        let of_birth = self.known.values().map(|peer| &peer.introduction).filter(|introduction| introduction.birth == birth);
        let telling = of_birth.filter(|introduction| introduction.leader.is_some());
        telling.max_by_key(|introduction| introduction.term).and_then(|introduction| introduction.leader)
    }

    /// Whether some node has no log yet, as far as we have heard.
    pub(super) fn are_unsettled(&self) -> bool {
        self.known.values().any(|peer| peer.introduction.phase != Phase::Born)
    }
}
