//! What a leader keeps for one term, and what it may do in it.

use super::replica::Replica;
use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{LeaseRequest, LeaseTiming, NodeId};
use crate::raft::grant::Grants;
use crate::raft::testimony::Testimonies;
use crate::raft::{Effect, Gate, Leadership, PeerMessage};
use alloc::boxed::Box;
use alloc::format;

/// A leader's term.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) term: u64,
    /// The instant at which it became leader.
    pub(super) since: Timestamp,
    pub(super) grants: Grants,
    pub(super) testimonies: Testimonies,
    /// The index of an appointment that is proposed and not applied yet.
    pub(super) appointing: Option<u64>,
    /// The last request that came while the log held an entry which is not applied.
    pub(super) put_off: Option<(NodeId, LeaseRequest)>,
    pub(super) leaving: Option<Leaving>,
}

/// A leader on its way out (S12): it grants and decides nothing any more in this term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// The transfer waits until the entry of this index, which says so, is applied.
    pub(super) after: Option<u64>,
    pub(super) transferring: bool,
    /// Then it steps down, whatever became of the transfer.
    pub(super) until: Timestamp,
}

impl Replica {
    /// The instant at which W is over, if somebody may still hold a lease.
    fn gate_opens_at(&self, wait: core::time::Duration) -> Option<Timestamp> {
        let (tenure, image) = (self.tenure.as_ref()?, self.image()?);
        let holder = image.state.leaseholder()?;
        let base = tenure.testimonies.base(image);
        let noted = tenure.grants.last_noted(holder).unwrap_or(base);
        Some(base.max(noted) + wait)
    }

    /// S5, but for the appointment in flight, which has a field of its own.
    pub(super) fn gate(&self, now: Timestamp, wait: core::time::Duration) -> Gate {
        if !self.is_ready() {
            return Gate::Closed;
        }
        match self.gate_opens_at(wait) {
            None => Gate::Released,
            Some(at) if at <= now => Gate::Lapsed,
            Some(_) => Gate::Closed,
        }
    }

    /// Whether the log holds an entry that is not applied.
    pub(super) fn has_unapplied(&self) -> bool {
        self.applied() < self.raw.raft.raft_log.last_index()
    }

    /// A follower may apply an appointment before the leader's own disk has it, and the appointed node asks at once. To let it ask again
    /// would cost an outage a tenth of a second.
    pub(super) fn put_off(&mut self, origin: NodeId, request: LeaseRequest) {
        let early = self.has_unapplied();
        if let Some(tenure) = self.tenure.as_mut().filter(|_| early) {
            tenure.put_off = Some((origin, request));
        }
    }
}

impl Machine {
    /// Begins or ends a tenure when raft-rs has made this node a leader or unmade it.
    pub(super) fn sync_tenure(&mut self, now: Timestamp) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let term = replica.term().0;
        let leads = replica.leads();
        match &replica.tenure {
            Some(tenure) if leads && tenure.term == term => {}
            None if !leads => {}
            Some(tenure) if !leads => {
                let text = format!("this node leads no more since term {}", tenure.term);
                replica.tenure = None;
                self.note(false, text);
            }
            _ => {
                replica.tenure = Some(Tenure {
                    term,
                    since: now,
                    grants: Grants::new(term),
                    testimonies: Testimonies::new(now, replica.raft_id().0, self.memory.before(term)),
                    appointing: None,
                    put_off: None,
                    leaving: None,
                });
                self.note(false, format!("this node leads in term {term}"));
                self.ask_testimony(now);
            }
        }
    }

    /// Asks the voters that have not testified.
    pub(super) fn ask_testimony(&mut self, now: Timestamp) {
        let lease = self.lease();
        let Stage::Running(replica) = &mut self.stage else { return };
        let term = replica.term();
        let Some(image) = replica.raw.store().image() else { return };
        let Some(tenure) = &mut replica.tenure else { return };
        let voters = tenure.testimonies.whom_to_ask(now, image, &lease);
        let nodes = voters.into_iter().filter_map(|voter| image.state.node_of(crate::model::RaftId(voter)));
        self.out.extend(nodes.map(|to| Effect::Send { to, message: Box::new(PeerMessage::AskTestimony { term }) }));
    }

    /// T is the cluster's, since every node must count with the same; a file only seeds it.
    pub(super) fn lease(&self) -> LeaseTiming {
        let ttl = self.state().map_or(self.config.lease.ttl, |state| state.settings.lease_ttl());
        LeaseTiming { ttl, ..self.config.lease }
    }

    pub(super) fn gate_opens_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Running(replica) if replica.is_ready() => replica.gate_opens_at(self.lease().wait()),
            _ => None,
        }
    }

    pub(super) fn leadership(&self, now: Timestamp) -> Leadership {
        let Stage::Running(replica) = &self.stage else { return Leadership::default() };
        Leadership {
            term: replica.term(),
            leader: self.leader(),
            ready: replica.is_ready(),
            appointing: replica.tenure.as_ref().is_some_and(|tenure| tenure.appointing.is_some()),
            gate: replica.gate(now, self.lease().wait()),
            member: replica.identity.born,
        }
    }

    /// The node that leads, as far as Raft knows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let Stage::Running(replica) = &self.stage else { return None };
        match replica.raw.raft.leader_id {
            0 => None,
            id => self.node_of(crate::model::RaftId(id)),
        }
    }
}
