//! What comes in on the links, and who is listened to.

use super::replica::Replica;
use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{NodeId, RaftId, Term};
use crate::raft::peers::Promised;
use crate::raft::screen::{describe, is_forced, screen};
use crate::raft::{Effect, Fact, Introduction, PeerMessage, Phase, RaftMessage, wire};
use alloc::format;
use alloc::vec::Vec;
use raft::eraftpb::MessageType;

impl Replica {
    /// Whether this Raft id speaks for that node: the log says so, or cannot say so yet because it is behind the speaker's.
    fn recognises(&self, node: NodeId, raft_id: RaftId, introduction: &Introduction) -> bool {
        let Some(state) = self.state() else { return true };
        let recorded = state.members.get(&node).is_some_and(|member| member.raft_id == raft_id);
        recorded || introduction.last_index > self.raw.raft.raft_log.committed
    }

    /// What the sender's log holds for good if it sent this.
    fn promised_by(&self, message: &RaftMessage, kind: MessageType) -> Option<Promised> {
        let term = message.term;
        match kind {
            MessageType::MsgRequestVote => Some(Promised { term, index: 0 }),
            MessageType::MsgRequestVoteResponse if !message.reject => Some(Promised { term, index: 0 }),
            MessageType::MsgAppendResponse if !message.reject && self.leads() && term == self.raw.raft.term => {
                // Only what is committed: anything beyond may yet be replaced by a shorter log of a later leader.
                Some(Promised { term, index: message.index.min(self.raw.raft.raft_log.committed) })
            }
            _ => None,
        }
    }
}

impl Machine {
    pub(super) fn heard(&mut self, now: Timestamp, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Raft(message) => self.hear_raft(now, from, &message),
            PeerMessage::Heir { term, raft_id } => self.heir_named(from, term, raft_id),
            PeerMessage::Introduction(introduction) => self.introduced(now, from, introduction),
            PeerMessage::Join { raft_id, member } => self.join_asked(now, from, raft_id, &member),
            PeerMessage::Propose(proposal) => self.forwarded(from, &proposal),
            PeerMessage::LeaseRequest(request) if request.node == from => self.request_lease(now, from, request),
            PeerMessage::LeaseGrant(grant) if grant.node == self.config.node => self.out.push(Effect::Tell(Fact::Leased(grant))),
            PeerMessage::AskTestimony { term } => self.testify(now, from, term),
            PeerMessage::Testimony { term, age } => self.testified(now, from, term, age),
            PeerMessage::Ask { id, request } => self.asked(from, id, request),
            PeerMessage::Refused { id, refusal } => self.out.push(Effect::Tell(Fact::Refused { id, refusal })),
            // Somebody else's lease; and reports are for the probes.
            PeerMessage::LeaseRequest(_) | PeerMessage::LeaseGrant(_) | PeerMessage::Report(_) => {}
        }
    }

    fn hear_raft(&mut self, now: Timestamp, from: NodeId, message: &RaftMessage) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let Some(introduction) = self.peers.get(from) else { return };
        let trusted = self.peers.is_trusted(from, replica.identity.birth) && introduction.raft_id == Some(message.from);
        if !trusted || !replica.recognises(from, message.from, introduction) {
            return;
        }
        if !replica.may_stand(&self.disk) && wire::kind(message) == Some(MessageType::MsgTimeoutNow) {
            return;
        }
        let converted = screen(&replica.raw.raft, message)
            .map_err(|improper| describe(message, improper))
            .and_then(|kind| wire::message_in(message, kind).map(|message| (kind, message)));
        match converted {
            Ok((kind, mut converted)) => {
                // Without the mark it is a request like any other, and nobody who hears a leader heeds it.
                if is_forced(message) && !replica.is_heir(message.from, message.term) {
                    converted.context = Vec::new().into();
                }
                // An error means that raft-rs had no use for it, which it may.
                let _ = replica.raw.step(converted);
                replica.heard.insert(message.from, now);
                if let Some(promised) = replica.promised_by(message, kind) {
                    self.peers.promised(message.from, promised);
                }
            }
            Err(text) => self.note_rarely(now, ("screen", from.0), format!("from node {from}: {text}")),
        }
    }

    /// The leader names its heir. Anybody else's word is nothing.
    fn heir_named(&mut self, from: NodeId, term: Term, raft_id: RaftId) {
        let leads = self.leader() == Some(from);
        let Stage::Running(replica) = &mut self.stage else { return };
        if leads && replica.term() == term {
            replica.named = Some((term.0, raft_id));
        }
    }

    /// A node introduces itself.
    fn introduced(&mut self, now: Timestamp, from: NodeId, introduction: Introduction) {
        let expected = self.linked.as_ref().is_some_and(|members| members.iter().any(|member| member.node == from));
        if !expected {
            let text = format!("node {from} introduced itself, but it is no member of this cluster: add it, or correct its peers");
            return self.note_rarely(now, ("stranger", from.0), text);
        }
        if introduction.cluster != self.config.cluster {
            let text = format!(
                "node {from} is of the cluster `{}`, this node of `{}`: make cluster.name agree, or correct the peers",
                introduction.cluster, self.config.cluster
            );
            return self.note_rarely(now, ("cluster", from.0), text);
        }
        if let Stage::Running(replica) = &self.stage
            && introduction.phase == Phase::Born
            && introduction.birth != replica.identity.birth
        {
            let text = format!(
                "node {from} belongs to another cluster that is also called `{}`: the two were born apart and exchange nothing. To keep this \
                 one, stop node {from}, move raft.redb and released out of its cluster.data_dir, and start it again",
                self.config.cluster
            );
            self.note_rarely(now, ("birth", from.0), text);
        }
        let (term, last_index) = (introduction.term, introduction.last_index);
        if let Some(promised) = self.peers.introduced(now, from, introduction) {
            let text = format!(
                "node {from} came back with a log that is older than what it promised (term {term} and index {last_index}; it was at term {} \
                 and index {}): it is not listened to. Stop it, move raft.redb out of its cluster.data_dir, and start it again: it joins anew",
                promised.term, promised.index
            );
            self.note_rarely(now, ("forgetful", from.0), text);
        }
        self.renounce(now, from);
    }

    /// A leader asks when we last answered an earlier one.
    fn testify(&mut self, now: Timestamp, from: NodeId, term: Term) {
        let Stage::Running(replica) = &self.stage else { return };
        // Only of the term that our log holds durably: see `testimony`.
        if replica.term() == term && self.disk.durable.term == term.0 {
            let age = now.since(self.memory.before(term.0));
            self.send(from, PeerMessage::Testimony { term, age });
        }
    }

    fn testified(&mut self, now: Timestamp, from: NodeId, term: Term, age: core::time::Duration) {
        let lease = self.lease();
        let Stage::Running(replica) = &mut self.stage else { return };
        let voter = replica.state().and_then(|state| state.members.get(&from)).map(|member| member.raft_id.0);
        if let (Some(voter), Some(tenure)) = (voter, &mut replica.tenure)
            && tenure.term == term.0
        {
            tenure.testimonies.heard(now, voter, age, &lease);
        }
    }

    /// The link to that node broke.
    pub(super) fn unlinked(&mut self, node: NodeId) {
        let recorded = self.state().and_then(|state| state.members.get(&node)).map(|member| member.raft_id);
        if let (Stage::Running(replica), Some(raft_id)) = (&mut self.stage, recorded) {
            replica.lost_touch(raft_id);
        }
    }
}
