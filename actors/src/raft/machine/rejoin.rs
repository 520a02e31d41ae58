//! The leader's part when a node that lost its log comes back under a new Raft id (S13).

use super::replica::Replacement;
use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{Member, NodeId, RaftId, WallClock};
use crate::raft::wire;
use alloc::format;
use alloc::vec::Vec;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

impl Machine {
    /// A node without a log asks to be taken in: the old Raft id goes and the new one comes as a learner, in one change.
    pub(super) fn join_asked(&mut self, now: Timestamp, from: NodeId, raft_id: RaftId, member: &Member) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let (Some(tenure), Some(image), true) = (&replica.tenure, replica.image(), replica.is_ready()) else { return };
        let Some(recorded) = image.state.members.get(&from) else {
            let text = format!("node {from} asks to join, but it is no member of this cluster: add it first");
            return self.note_rarely(now, ("join", from.0), text);
        };
        let old = recorded.raft_id;
        let taken = image.state.node_of(raft_id).is_some() || raft_id == RaftId(0);
        if old == raft_id || taken || member.node != from || replica.raw.raft.has_pending_conf() || !image.voters_outgoing.is_empty() {
            return;
        }
        // Somebody who still speaks under the old id would lose a membership that he needs.
        let last_heard = replica.heard.get(&old).copied().unwrap_or(tenure.since).max(tenure.since);
        if now.since(last_heard) < self.config.election_timeout {
            return;
        }
        let changes = [(ConfChangeType::RemoveNode, old), (ConfChangeType::AddLearnerNode, raft_id)];
        let context = wire::encode(&Replacement { node: from, raft_id, at: WallClock::default() });
        if replica.raw.propose_conf_change(context, change(&changes)).is_ok() {
            self.note(false, format!("node {from} has lost its log and joins anew"));
        }
    }

    /// Goes on with changes that take several steps: a learner that has caught up gets its vote, and a joint membership is left. raft-rs leaves
    /// it by itself, unless the leader changes at the wrong moment.
    pub(super) fn complete_membership(&mut self) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let Some(image) = replica.image() else { return };
        if !replica.is_ready() || replica.raw.raft.has_pending_conf() {
            return;
        }
        let raft = &replica.raw.raft;
        let change = if image.voters_outgoing.is_empty() {
            let caught_up = |learner: &&u64| raft.prs().get(**learner).is_some_and(|progress| progress.matched >= raft.raft_log.committed);
            let Some(learner) = image.learners.iter().find(caught_up) else { return };
            change(&[(ConfChangeType::AddNode, RaftId(*learner))])
        } else {
            ConfChangeV2::default()
        };
        // If raft-rs drops it now, the next tick tries again.
        let _ = replica.raw.propose_conf_change(Vec::new(), change);
    }
}

fn change(changes: &[(ConfChangeType, RaftId)]) -> ConfChangeV2 {
    let singles: Vec<ConfChangeSingle> = changes
        .iter()
        .map(|(kind, raft_id)| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(*kind);
            single.node_id = raft_id.0;
            single
        })
        .collect();
    let mut change = ConfChangeV2::default();
    change.set_changes(singles.into());
    change
}
