//! The least FSM that keeps its half of the lease protocol (S3, S8) and is as eager as the rules allow: it appoints in the instant in which
//! the gate opens.

use crate::machine::Timestamp;
use crate::model::{Boot, ClusterState, Command, Epoch, LeaseGrant, LeaseRequest, LeaseTiming, NodeId, Proposal, Timeline, WallClock, Why};
use crate::raft::{Fact, Gate, Leadership, Order};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// One node's.
#[derive(Debug)]
pub(crate) struct Holder {
    node: NodeId,
    boot: Boot,
    timing: LeaseTiming,
    seq: u64,
    asked: BTreeMap<u64, Timestamp>,
    next_request: Timestamp,
    pub(crate) state: Option<Box<ClusterState>>,
    pub(crate) led: Leadership,
    pub(crate) stopping: bool,
    /// Appoints nobody by itself.
    pub(crate) passive: bool,
}

/// A lease that the holder may use: for this epoch, until then on its clock.
pub(crate) type Lease = (Epoch, Timestamp);

impl Holder {
    pub(crate) fn new(node: NodeId, boot: u64, timing: LeaseTiming) -> Self {
        Self {
            node,
            boot: Boot(boot),
            timing,
            seq: 0,
            asked: BTreeMap::new(),
            next_request: Timestamp::default(),
            state: None,
            led: Leadership::default(),
            stopping: false,
            passive: false,
        }
    }

    pub(crate) fn hear(&mut self, fact: Fact, released: Option<Epoch>) -> Option<Lease> {
        match fact {
            Fact::Committed { state, .. } => self.state = Some(state),
            Fact::Led(led) => self.led = led,
            Fact::Leased(grant) => return self.granted(grant, released),
            Fact::Asked { .. } | Fact::Refused { .. } => {}
        }
        None
    }

    fn holds(&self) -> Option<Epoch> {
        let (node, epoch) = self.state.as_ref()?.leaseholder()?;
        (node == self.node).then_some(epoch)
    }

    /// S3: the lease counts from the instant at which this very request was sent.
    fn granted(&self, grant: LeaseGrant, released: Option<Epoch>) -> Option<Lease> {
        let sent = *self.asked.get(&grant.seq)?;
        let epoch = self.holds()?;
        let ours = grant.node == self.node && grant.epoch == epoch && grant.boot == self.boot && released != Some(epoch);
        ours.then(|| (epoch, sent + self.timing.ttl))
    }

    /// What it orders now. `released` is what its node has durably recorded as released; `stamp` tells its proposals apart.
    pub(crate) fn act(&mut self, now: Timestamp, released: Option<Epoch>, stamp: u64, lot: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        if let Some(epoch) = self.holds() {
            if released == Some(epoch) {
                if now >= self.next_request {
                    self.next_request = now + self.timing.renewal();
                    let command = Command::Release { node: self.node, timeline: Timeline(1), final_lsn: None, why: Why::default() };
                    orders.push(Order::Propose(self.proposal(epoch, false, stamp, command)));
                }
            } else if now >= self.next_request {
                self.next_request = now + self.timing.renewal();
                self.seq += 1;
                self.asked.insert(self.seq, now);
                self.asked.retain(|_, sent| now.since(*sent) < self.timing.ttl);
                orders.push(Order::RequestLease(LeaseRequest { node: self.node, epoch, boot: self.boot, seq: self.seq }));
            }
        }
        let Some(state) = &self.state else { return orders };
        if self.led.ready && !self.led.appointing && self.led.gate != Gate::Closed && !self.passive {
            let nodes: Vec<NodeId> = state.members.keys().copied().collect();
            let node = nodes[usize::try_from(lot % nodes.len() as u64).unwrap_or(0)];
            let command = Command::Appoint { node, why: Why::default(), lost_at_least: None, at: None };
            orders.push(Order::Propose(self.proposal(state.epoch, true, stamp, command)));
        }
        orders
    }

    fn proposal(&self, basis: Epoch, decision: bool, stamp: u64, command: Command) -> Proposal {
        Proposal { by: self.node, term: decision.then_some(self.led.term), basis, at: WallClock(stamp), command }
    }
}
