//! What is done when time passes.

use super::{Machine, Stage, UNSETTLED};
use crate::machine::Timestamp;
use crate::model::NodeId;
use crate::raft::{Introduction, PeerMessage, Phase, birth};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use raft::{ProgressState, SnapshotStatus};

/// A node with a log says who it is so often, in case that it was not heard.
const SETTLED: Duration = Duration::from_secs(2);
/// A leader whose disk has not answered for so long had better not lead.
const STALL_MAX: Duration = Duration::from_secs(10);
/// A snapshot that has not arrived after so long is sent again.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn duties(&mut self, now: Timestamp) {
        self.find_a_log(now);
        if self.introduce_at <= now {
            self.introduce(now);
        }
        let Stage::Running(replica) = &self.stage else { return };
        if !replica.identity.born {
            self.ask_to_join(now);
        }
        if replica_leads(&self.stage) {
            self.go(now);
            self.ask_testimony(now);
            self.resend_snapshots(now);
            self.complete_membership();
            self.mind_the_disk(now);
        }
    }

    fn resend_snapshots(&mut self, now: Timestamp) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let overdue: Vec<_> =
            replica.sending.iter().filter(|(_, at)| now.since(**at) >= SNAPSHOT_PATIENCE).map(|(raft_id, _)| *raft_id).collect();
        for raft_id in overdue {
            replica.sending.remove(&raft_id);
            let progress = replica.raw.raft.prs().get(raft_id.0);
            if progress.is_some_and(|progress| progress.state == ProgressState::Snapshot) {
                replica.raw.report_snapshot(raft_id.0, SnapshotStatus::Failure);
            }
        }
    }

    /// A leader with a stuck disk would go on commanding, since the others' disks suffice; but it can apply nothing and serves nobody.
    fn mind_the_disk(&mut self, now: Timestamp) {
        let stalled = self.disk.stalled_for(now);
        let Stage::Running(replica) = &self.stage else { return };
        // What is committed and cannot be applied holds up every lease and every appointment; while nothing waits there is no hurry.
        let something_waits = !replica.is_ready() || replica.raw.raft.raft_log.committed > replica.applied();
        let patience = if something_waits { self.config.election_timeout } else { STALL_MAX };
        if stalled < patience || replica.votes_alone() {
            return;
        }
        let text = format!(
            "the disk of cluster.data_dir has not answered for {} s: this node gives up the leadership. Look after the disk",
            stalled.as_secs()
        );
        self.note(true, text);
        self.leave(now, None);
    }

    /// Says to everybody who this node is.
    pub(super) fn introduce(&mut self, now: Timestamp) {
        let settled = matches!(&self.stage, Stage::Running(replica) if replica.identity.born) && !self.peers.are_unsettled();
        self.introduce_at = now + if settled { SETTLED } else { UNSETTLED };
        let nodes: Vec<NodeId> = self.linked.iter().flatten().map(|member| member.node).collect();
        for node in nodes {
            self.introduce_to(node);
        }
    }

    pub(super) fn introduce_to(&mut self, node: NodeId) {
        let introduction = self.introduction();
        self.send(node, PeerMessage::Introduction(introduction));
    }

    /// Who this node is. What is said of its log is durable.
    pub(super) fn introduction(&self) -> Introduction {
        let mut introduction = Introduction {
            phase: Phase::Empty,
            raft_id: None,
            members: birth::opinion(&self.config.members),
            cluster: self.config.cluster.clone(),
            settings: self.config.settings.clone(),
            term: crate::model::Term(self.disk.durable.term),
            last_index: self.disk.durable.last_index,
            applied: 0,
            leader: self.leader(),
            birth: None,
        };
        match &self.stage {
            Stage::Empty => {}
            Stage::Prepared(identity) => {
                introduction.phase = Phase::Prepared;
                introduction.raft_id = Some(identity.raft_id);
                introduction.birth = identity.birth;
            }
            Stage::Running(replica) => {
                introduction.phase = if replica.identity.born { Phase::Born } else { Phase::Prepared };
                introduction.raft_id = Some(replica.raft_id());
                introduction.birth = replica.identity.birth;
                introduction.applied = replica.applied();
                if let Some(state) = replica.state() {
                    introduction.members = state.members.values().cloned().collect();
                }
            }
        }
        introduction
    }
}

fn replica_leads(stage: &Stage) -> bool {
    matches!(stage, Stage::Running(replica) if replica.leads())
}
