//! What the FSM of this node orders, and what the FSMs of other nodes may bring before a leader.

use super::tenure::Leaving;
use super::{Machine, Stage};
use crate::machine::Timestamp;
use crate::model::{Command, NodeId, Proposal, RaftId, RequestId, WallClock};
use crate::raft::{Effect, Fact, Order, PeerMessage, wire};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

impl Machine {
    pub(super) fn ordered(&mut self, now: Timestamp, order: Order) {
        let node = self.config.node;
        match order {
            Order::Propose(proposal) => self.propose(now, proposal),
            Order::RequestLease(request) => self.request_lease(now, node, request),
            Order::Ask { id, request } => {
                if self.leads() {
                    self.out.push(Effect::Tell(Fact::Asked { origin: node, id, request }));
                } else if let Some(leader) = self.leader() {
                    self.send(leader, PeerMessage::Ask { id, request });
                }
            }
            Order::Refuse { to, id, refusal } => {
                if to == node {
                    self.out.push(Effect::Tell(Fact::Refused { id, refusal }));
                } else {
                    self.send(to, PeerMessage::Refused { id, refusal });
                }
            }
            Order::HandOver => self.hand_over(now),
        }
    }

    /// A peer brings an operator's request.
    pub(super) fn asked(&mut self, origin: NodeId, id: RequestId, request: crate::fsm::Request) {
        if self.leads() {
            self.out.push(Effect::Tell(Fact::Asked { origin, id, request }));
        }
    }

    fn propose(&mut self, now: Timestamp, proposal: Proposal) {
        let Stage::Running(replica) = &self.stage else { return };
        if !replica.leads() {
            // A decision is a leader's; a fact goes to the leader.
            if proposal.term.is_none()
                && let Some(leader) = self.leader()
            {
                self.send(leader, PeerMessage::Propose(proposal));
            }
            return;
        }
        let decided_here = proposal.term.is_none_or(|term| term == replica.term() && replica.is_ready());
        match &proposal.command {
            Command::Appoint { node, .. } => {
                let node = *node;
                match self.may_appoint(now, &proposal) {
                    Err(reason) => self.note(false, format!("node {node} is not appointed yet: {reason}")),
                    Ok(()) => {
                        let index = self.append(&proposal);
                        if let Stage::Running(replica) = &mut self.stage
                            && let Some(tenure) = &mut replica.tenure
                        {
                            tenure.appointing = index;
                        }
                    }
                }
            }
            // It has an order of its own, which does all that goes with it.
            Command::Handover => {}
            _ if decided_here => {
                self.append(&proposal);
            }
            _ => {}
        }
    }

    /// The FSM of another node proposes: what it knows of itself, and nothing else.
    pub(super) fn forwarded(&mut self, from: NodeId, proposal: &Proposal) {
        let of_itself = match &proposal.command {
            Command::Founded { node, .. }
            | Command::Promoted { node, .. }
            | Command::Release { node, .. }
            | Command::Describe { node, .. } => *node == from,
            Command::Appoint { .. }
            | Command::Pause { .. }
            | Command::BeginSwitchover { .. }
            | Command::AbortSwitchover { .. }
            | Command::Handover => false,
        };
        if of_itself && proposal.by == from && proposal.term.is_none() && self.leads() {
            self.append(proposal);
        }
    }

    /// Appends to the log. Answers the index, or None if raft-rs refuses it just now; whoever proposed will look at the state and do it again.
    fn append(&mut self, proposal: &Proposal) -> Option<u64> {
        let Stage::Running(replica) = &mut self.stage else { return None };
        replica.raw.propose(Vec::new(), wire::encode(proposal)).ok()?;
        Some(replica.raw.raft.raft_log.last_index())
    }

    /// S12: says so in the log, grants no lease again in this term, and transfers after the commit.
    fn hand_over(&mut self, now: Timestamp) {
        let Stage::Running(replica) = &self.stage else { return };
        let (true, false, Some(state)) = (replica.is_ready(), replica.votes_alone(), replica.state()) else { return };
        let proposal = Proposal {
            by: self.config.node,
            term: Some(replica.term()),
            basis: state.epoch,
            at: WallClock::default(),
            command: Command::Handover,
        };
        if let Some(index) = self.append(&proposal) {
            self.leave(now, Some(index));
        }
    }

    /// From now on this node grants and decides nothing in this term.
    pub(super) fn leave(&mut self, now: Timestamp, after: Option<u64>) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let Some(tenure) = &mut replica.tenure else { return };
        if tenure.leaving.is_none() {
            tenure.leaving = Some(Leaving { after, transferring: false, until: now + self.config.election_timeout * 2 });
            self.go(now);
        }
    }

    /// The next step of a leader on its way out.
    pub(super) fn go(&mut self, now: Timestamp) {
        let Stage::Running(replica) = &mut self.stage else { return };
        let applied = replica.applied();
        let Some(mut leaving) = replica.tenure.as_ref().and_then(|tenure| tenure.leaving) else { return };
        if !leaving.transferring && leaving.after.is_none_or(|index| index <= applied) {
            leaving.transferring = true;
            leaving.until = match replica.heir() {
                Some(heir) => {
                    let named = PeerMessage::Heir { term: replica.term(), raft_id: RaftId(heir) };
                    replica.raw.transfer_leader(heir);
                    // The others hear it before the heir asks for their votes: it is told by what raft-rs sends after this.
                    let others = self.linked.iter().flatten().map(|member| member.node);
                    self.out.extend(others.map(|to| Effect::Send { to, message: Box::new(named.clone()) }));
                    now + self.config.election_timeout
                }
                None => now,
            };
        }
        if leaving.until <= now {
            let term = replica.raw.raft.term;
            replica.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        if let Some(tenure) = &mut replica.tenure {
            tenure.leaving = Some(leaving);
        }
    }

    fn leads(&self) -> bool {
        matches!(&self.stage, Stage::Running(replica) if replica.leads())
    }
}
