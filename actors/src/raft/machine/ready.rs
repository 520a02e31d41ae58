//! Draining raft-rs: what it wants sent, kept and applied.
//!
//! A leader's messages go out at once, beside the write to disk. Everybody else's are promises and wait for the disk, except for the answers
//! to heartbeats: they promise nothing of the log, and a stalled disk must not stall a lease. (Not even the term must be durable for them: the
//! quorum that elected a newer leader has its votes on disk, and a round of the old one needs one of that quorum.)

use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{NodeId, RaftId};
use crate::raft::{Batch, Effect, Identity, PeerMessage, wire};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{ReadState, Ready};

impl Machine {
    /// Does what raft-rs wants done, until it wants nothing more.
    pub(super) fn drain(&mut self, now: Timestamp) {
        self.sync_tenure(now);
        while let Stage::Running(replica) = &mut self.stage
            && !self.halted
            && replica.raw.has_ready()
        {
            let ready = replica.raw.ready();
            self.handle(now, ready);
            self.sync_tenure(now);
        }
    }

    fn handle(&mut self, now: Timestamp, mut ready: Ready) {
        let outgoing = ready.take_messages();
        let (prompt, promises): (Vec<_>, Vec<_>) =
            ready.take_persisted_messages().into_iter().partition(|message| message.get_msg_type() == MessageType::MsgHeartbeatResponse);
        let committed = ready.take_committed_entries();
        self.confirm(now, &ready.take_read_states());
        self.keep(now, ready);
        let free = self.disk.hold(promises);
        for message in outgoing.iter().chain(&prompt).chain(&free) {
            self.post(now, message);
        }
        self.apply(now, &committed);
    }

    /// Makes the log hold what raft-rs hands out, in memory now and on disk soon.
    fn keep(&mut self, now: Timestamp, mut ready: Ready) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let mut batch = Batch::default();
        let mut installed = None;
        if !ready.snapshot().is_empty() {
            match wire::snapshot_out(ready.snapshot()) {
                Ok(image) => {
                    installed = Some(image.index);
                    replica.install(image.clone());
                    // A leader's snapshot may stand against entries of ours which never were committed: the log begins anew with it.
                    batch.reset = true;
                    batch.identity = Some(Identity { born: true, joining: false, ..replica.identity.clone() });
                    batch.snapshot = Some(image);
                    batch.hard_state = Some(wire::hard_state_out(&replica.raw.raft.hard_state()));
                }
                Err(error) => return self.halt(format!("a snapshot from the leader cannot be understood ({error}): upgrade this node")),
            }
        }
        let entries = ready.take_entries();
        replica.raw.mut_store().append(&entries);
        batch.entries = entries.iter().map(wire::entry_out).collect();
        if let Some(hard_state) = ready.hs() {
            replica.raw.mut_store().set_hard_state(hard_state.clone());
            batch.hard_state = Some(wire::hard_state_out(hard_state));
        }
        let (number, binding) = (ready.number(), ready.must_sync());
        replica.raw.advance_append_async(ready);
        if batch != Batch::default() {
            batch.may_wait = !binding && batch.entries.is_empty() && batch.snapshot.is_none();
            batch.number = self.disk.order(now, Some(number), binding, installed, replica.handed_out());
            self.out.push(Effect::Persist(Box::new(batch)));
        } else if self.disk.cover(number) {
            replica.raw.on_persist_ready(number);
        }
    }

    /// Rounds of ours were answered by a quorum.
    fn confirm(&mut self, now: Timestamp, reads: &[ReadState]) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let Some(tenure) = &mut replica.tenure else { return };
        for read in reads {
            // A leader is one of those who answer its round.
            self.memory.answered(now, tenure.term);
            tenure.grants.confirm(&read.request_ctx, read.index);
        }
    }

    fn apply(&mut self, now: Timestamp, entries: &[Entry]) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let Some(last) = entries.last() else { return };
        for entry in entries {
            match replica.apply(entry) {
                Ok(ignored) => self.ignored.extend(ignored),
                Err(reason) => return self.halt(reason),
            }
        }
        replica.raw.advance_apply_to(last.index);
        if let Some(tenure) = &mut replica.tenure
            && tenure.appointing.is_some_and(|index| index <= last.index)
        {
            tenure.appointing = None;
        }
        if let Some(image) = replica.cut(self.config.snapshot_entries) {
            let makes = replica.handed_out();
            self.order(now, false, makes, Batch { snapshot: Some(image), ..Batch::default() });
        }
    }

    /// Sends a message of raft-rs to the node behind its Raft id.
    pub(super) fn post(&mut self, now: Timestamp, message: &Message) {
        let Stage::Running(replica) = &mut self.stage else { return };
        match message.get_msg_type() {
            MessageType::MsgHeartbeatResponse if !message.context.is_empty() => self.memory.answered(now, message.term),
            MessageType::MsgSnapshot => {
                replica.sending.insert(RaftId(message.to), now);
            }
            _ => {}
        }
        let Some(to) = self.node_of(RaftId(message.to)) else { return };
        match wire::message_out(message) {
            Ok(message) => self.send(to, PeerMessage::Raft(Box::new(message))),
            Err(error) => self.halt(format!("a snapshot of this node's own cannot be read back: {error}")),
        }
    }

    pub(super) fn send(&mut self, to: NodeId, message: PeerMessage) {
        self.out.push(Effect::Send { to, message: Box::new(message) });
    }

    /// The node behind a Raft id: as the log has it, or, for one that the log does not know yet, as it introduced itself.
    pub(super) fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        if let Stage::Running(replica) = &self.stage
            && replica.raft_id() == raft_id
        {
            return Some(self.config.node);
        }
        self.state().and_then(|state| state.node_of(raft_id)).or_else(|| self.peers.node_of(raft_id))
    }
}
