//! A node without a log gets one: it is born with the others, or, where there is a cluster already, it joins (S13).

use super::{Becoming, Machine, Stage, UNSETTLED};
use crate::machine::Timestamp;
use crate::model::{Member, NodeId, RaftId};
use crate::raft::birth::{Prospect, digest_of, image, look_around, opinion};
use crate::raft::disk::Durable;
use crate::raft::{Batch, HardState, Identity, Introduction, PeerMessage, Phase, SnapshotImage, Stored};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use core::time::Duration;

/// A prepared node that sees a born one waits so long for the others to be seen, too, before it joins instead.
const PATIENCE: Duration = Duration::from_secs(1);

impl Machine {
    /// Looks around for a way to a log, if there is none.
    pub(super) fn find_a_log(&mut self, now: Timestamp) {
        if self.becoming.is_some() || matches!(self.stage, Stage::Running(_)) {
            return;
        }
        let others: BTreeSet<NodeId> =
            self.config.members.iter().map(|member| member.node).filter(|node| *node != self.config.node).collect();
        let mut fresh = self.peers.fresh(now);
        fresh.retain(|node, _| others.contains(node));
        match look_around(&self.introduction(), self.config.node, &fresh) {
            Prospect::Wait { because } => {
                if let Some((node, text)) = because {
                    self.note_rarely(now, ("opinion", node.0), format!("no cluster can be born yet: {text}"));
                }
                self.join_if_there_is_a_cluster(now);
            }
            Prospect::Prepare => {
                let raft_id = self.draw.raft_id();
                // Alone, a node has nobody to wait for.
                if others.is_empty() {
                    let mut members = opinion(&self.config.members);
                    members[0].raft_id = raft_id;
                    let image = image(&self.config.cluster, &members, &self.config.settings);
                    self.be_born(now, raft_id, image);
                } else {
                    self.prepare(now, raft_id, None);
                }
            }
            Prospect::Named(image) => {
                self.agree_to(now, digest_of(&image));
                self.join_if_there_is_a_cluster(now);
            }
            Prospect::Born(image) => {
                if let Stage::Prepared(identity) = &self.stage {
                    let raft_id = identity.raft_id;
                    self.be_born(now, raft_id, image);
                }
            }
        }
    }

    /// Agrees to a birth, durably before it says so, and never to another one: the first may have happened, and who was born may have lost its
    /// disk since.
    fn agree_to(&mut self, now: Timestamp, birth: u64) {
        let Stage::Prepared(identity) = &self.stage else { return };
        match identity.birth {
            None => {
                let identity = Identity { birth: Some(birth), ..identity.clone() };
                self.become_durably(now, Batch { identity: Some(identity), ..Batch::default() });
            }
            Some(agreed) if agreed == birth => {}
            Some(_) => {
                let text = "this node has agreed to the birth of a cluster that was to be made of other logs, or by other files, than those which \
                            the nodes have now. That cluster may have been born, so this node takes part in no other birth. If a node lost the \
                            raft.redb of its cluster.data_dir, bring it back. If no node has a database of that cluster, stop all nodes, move \
                            raft.redb and released out of every cluster.data_dir, and start again";
                self.note_rarely(now, ("agreed", 0), text.into());
            }
        }
    }

    /// Somebody is born: then this node lost its log, or missed the birth, and joins.
    fn join_if_there_is_a_cluster(&mut self, now: Timestamp) {
        if self.becoming.is_some() {
            return;
        }
        let births: BTreeMap<u64, NodeId> = self.peers.births().map(|(node, birth)| (birth, node)).collect();
        let mut births = births.into_iter();
        let (Some((birth, node)), other) = (births.next(), births.next()) else {
            self.join_at = now + PATIENCE;
            return;
        };
        if let Some((_, other)) = other {
            let text = format!(
                "nodes {node} and {other} belong to two clusters that are both called `{}`: this node joins neither. Stop the nodes of the \
                 wrong one, move raft.redb and released out of their cluster.data_dir, and start them again",
                self.config.cluster
            );
            return self.note_rarely(now, ("births", 0), text);
        }
        match &self.stage {
            Stage::Empty => {
                let raft_id = self.draw.raft_id();
                self.prepare(now, raft_id, Some(birth));
            }
            // Its Raft id has never voted, so it may take up a membership under it that it was born into without knowing.
            Stage::Prepared(identity) if self.join_at <= now => {
                let raft_id = identity.raft_id;
                self.prepare(now, raft_id, Some(birth));
            }
            _ => {}
        }
    }

    /// Keeps a Raft id durably, to be born with the others or to join the cluster of that birth.
    fn prepare(&mut self, now: Timestamp, raft_id: RaftId, joins: Option<u64>) {
        let identity = self.identity(raft_id, joins);
        self.become_durably(now, Batch { identity: Some(identity), ..Batch::default() });
    }

    fn be_born(&mut self, now: Timestamp, raft_id: RaftId, image: SnapshotImage) {
        let identity = Identity { born: true, birth: Some(digest_of(&image)), ..self.identity(raft_id, None) };
        // raft-rs with pre-votes panics at term 0.
        let hard_state = HardState { term: image.term, vote: 0, commit: image.index };
        self.note(false, format!("the cluster `{}` is born", self.config.cluster));
        let batch = Batch { identity: Some(identity), snapshot: Some(image), hard_state: Some(hard_state), ..Batch::default() };
        self.become_durably(now, batch);
    }

    fn identity(&self, raft_id: RaftId, joins: Option<u64>) -> Identity {
        Identity {
            raft_id,
            node: self.config.node,
            cluster: self.config.cluster.clone(),
            born: false,
            joining: joins.is_some(),
            members: self.config.members.clone(),
            birth: joins,
        }
    }

    /// Orders the batch, and takes up what it makes of this node when it is on disk.
    fn become_durably(&mut self, now: Timestamp, batch: Batch) {
        let stored = Stored {
            identity: batch.identity.clone(),
            snapshot: batch.snapshot.clone(),
            entries: batch.entries.clone(),
            hard_state: batch.hard_state.unwrap_or_default(),
        };
        let last_index = stored.snapshot.as_ref().map_or(0, |image| image.index);
        let number = self.order(now, true, Durable { term: stored.hard_state.term, last_index }, batch);
        self.becoming = Some(Becoming { number, stored });
    }

    /// Asks the leader to be taken in, until it has been.
    pub(super) fn ask_to_join(&mut self, now: Timestamp) {
        if self.join_at > now {
            return;
        }
        self.join_at = now + UNSETTLED;
        let Stage::Running(replica) = &self.stage else { return };
        let (raft_id, birth) = (replica.raft_id(), replica.identity.birth);
        let leader = self.leader().or_else(|| self.peers.leader(birth)).filter(|leader| *leader != self.config.node);
        if let (Some(leader), Some(own)) = (leader, self.config.own()) {
            let member = Member { raft_id, ..own.clone() };
            self.send(leader, PeerMessage::Join { raft_id, member });
        }
    }

    /// If a peer's log, which is at least as long as ours, names another Raft id for this node, then somebody else has joined in our place, and
    /// our log is none any more: this happens when an old disk comes back. The node begins anew.
    pub(super) fn renounce(&mut self, now: Timestamp, from: NodeId) {
        let Stage::Running(replica) = &self.stage else { return };
        let (Some(theirs), true, true) = (self.peers.get(from), replica.identity.born, self.becoming.is_none()) else { return };
        if !self.peers.is_trusted(from, replica.identity.birth) || !replaces(theirs, self.config.node, replica.raft_id(), replica.applied())
        {
            return;
        }
        let birth = replica.identity.birth;
        let raft_id = self.draw.raft_id();
        self.note(
            true,
            format!("the cluster has replaced the log of this node, as node {from} says: this node gives it up and joins anew"),
        );
        self.disk.forget();
        self.stage = Stage::Empty;
        let identity = self.identity(raft_id, birth);
        self.become_durably(now, Batch { reset: true, identity: Some(identity), ..Batch::default() });
    }
}

/// Whether that log has put another Raft id in the place of ours.
fn replaces(theirs: &Introduction, node: NodeId, raft_id: RaftId, applied: u64) -> bool {
    let recorded = theirs.members.iter().find(|member| member.node == node);
    theirs.phase == Phase::Born && theirs.applied >= applied && recorded.is_some_and(|member| member.raft_id != raft_id)
}
