//! S4 and S5, where they meet: lease requests are noted and granted, and appointments are let through, in one machine and one step.

use super::replica::Replica;
use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{Epoch, LeaseGrant, LeaseRequest, NodeId, Proposal};
use crate::raft::{Effect, Fact, Gate, PeerMessage};
use alloc::format;
use alloc::string::{String, ToString};

impl Replica {
    /// What S4 asks of a leader when a request comes, and again when it is granted.
    fn may_grant(&self, holder: (NodeId, Epoch)) -> bool {
        let appointing = self.tenure.as_ref().is_some_and(|tenure| tenure.appointing.is_some());
        self.is_ready() && !appointing && self.state().is_some_and(|state| state.leaseholder() == Some(holder))
    }
}

impl Machine {
    /// Our own FSM asks for a lease, or a peer's does.
    pub(super) fn request_lease(&mut self, now: Timestamp, origin: NodeId, request: LeaseRequest) {
        let ttl = self.lease().ttl;
        let Stage::Running(replica) = &mut self.stage else { return };
        if !replica.leads() {
            if origin == self.config.node
                && let Some(leader) = self.leader()
            {
                self.send(leader, PeerMessage::LeaseRequest(request));
            }
            return;
        }
        if !replica.may_grant((request.node, request.epoch)) {
            replica.put_off(origin, request);
            return;
        }
        if let Some(tenure) = &mut replica.tenure {
            // A grant that is older than the lease which it would grant is of no use to anybody.
            let context = tenure.grants.note(now, origin, request, ttl);
            replica.raw.read_index(context);
        }
    }

    /// Hears what was put off as if it came now.
    pub(super) fn hear_put_off(&mut self, now: Timestamp) {
        let Stage::Running(replica) = &mut self.stage else { return };
        if replica.has_unapplied() {
            return;
        }
        if let Some((origin, request)) = replica.tenure.as_mut().and_then(|tenure| tenure.put_off.take()) {
            self.request_lease(now, origin, request);
            self.drain(now);
        }
    }

    /// Grants what has been confirmed.
    pub(super) fn grant_due(&mut self) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let applied = replica.applied();
        let Some(tenure) = &mut replica.tenure else { return };
        for (origin, request) in tenure.grants.take_due(applied) {
            let Stage::Running(replica) = &self.stage else { return };
            let LeaseRequest { node, epoch, boot, seq } = request;
            if !replica.may_grant((node, epoch)) {
                continue;
            }
            let grant = LeaseGrant { node, epoch, boot, seq };
            if origin == self.config.node {
                self.out.push(Effect::Tell(Fact::Leased(grant)));
            } else {
                self.send(origin, PeerMessage::LeaseGrant(grant));
            }
        }
    }

    /// S5, in the step that proposes.
    pub(super) fn may_appoint(&self, now: Timestamp, proposal: &Proposal) -> Result<(), String> {
        let Stage::Running(replica) = &self.stage else { return Err("this node is no member yet".to_string()) };
        let (Some(tenure), Some(state), true) = (&replica.tenure, replica.state(), replica.is_ready()) else {
            return Err("this node does not lead, or has not applied an entry of its own term yet".to_string());
        };
        if tenure.appointing.is_some() {
            return Err("another appointment is in flight".to_string());
        }
        if proposal.term != Some(replica.term()) || proposal.basis != state.epoch {
            return Err("it was decided in another term or upon another epoch".to_string());
        }
        // It may be a promotion or a release, which tells how much a successor must hold (D5).
        if replica.has_unapplied() {
            return Err("an entry of the log is not committed yet, and may tell how far the primary came".to_string());
        }
        match replica.gate(now, self.lease().wait()) {
            Gate::Released | Gate::Lapsed => Ok(()),
            Gate::Closed => {
                let left = self.gate_opens_at().map_or(0, |at| at.since(now).as_millis());
                Err(format!("the lease of the primary may last for another {left} ms"))
            }
        }
    }
}
