//! What an actor may decide upon what it was told. Most of these rules are kept twice, so a slip here would do no harm by itself; the judge
//! looks at each of the two.

use super::invariants::Belief;
use super::network::index;
use super::told::identifier;
use super::wiring::timing;
use super::world::{World, id};
use actors::fsm::Input;
use actors::machine::Timestamp;
use actors::model::{Boot, ClusterState, Command, Epoch, Health, LeaseGrant, LeaseRequest, NodeId};
use actors::pg::conditions::copies::is_disowned;
use actors::raft::{Gate, Leadership, Order, PeerMessage};
use std::collections::BTreeMap;

/// A report is so old at most when it comes: its host and the leader's may both have stood still.
const REPORT_MAX: u64 = 30_000_000;

/// Requests and grants of the whole story, in true time.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// When a lease that counts from this request ends.
    asked: BTreeMap<(NodeId, Boot, u64), u64>,
    /// The last end of any lease that was granted in that term, whether or not the grant arrived.
    granted: BTreeMap<(NodeId, Epoch, u64), u64>,
    /// How far anybody had applied the log when a leader of that term was elected.
    elected: BTreeMap<u64, u64>,
}

impl World {
    pub(super) fn note_told(&mut self, node: usize, input: &Input) {
        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
            daemon.belief.told.learn(input);
        }
    }

    /// S2 and S8, after each step of an FSM: it lets its server write only under a lease of that epoch which its guard has acknowledged, and
    /// never once it had the release of that epoch recorded.
    pub(super) fn judge_leading(&mut self, node: usize) {
        let now = self.local(node);
        let Some(told) = self.belief(node).map(|belief| &belief.told) else { return };
        let Some(epoch) = told.leads else { return };
        if epoch <= told.recorded {
            let text = format!("node {} orders its server to write for epoch {epoch}, whose release it had recorded", node + 1);
            return self.violate("S8", text);
        }
        if told.guarded.is_none_or(|(held, end)| held != epoch || end - timing().kill_margin <= now) {
            let text = format!("node {} orders its server to write for epoch {epoch}, and its guard said {:?}", node + 1, told.guarded);
            self.violate("S2", text);
        }
    }

    /// S8: a node has its release recorded only when no server of that epoch can write.
    pub(super) fn judge_recorded(&mut self, node: usize, epoch: Epoch) {
        let host = &mut self.hosts[node];
        let Some(daemon) = host.daemon.as_mut() else { return };
        daemon.belief.told.recorded = epoch;
        if host.server.as_ref().is_some_and(|server| server.epoch() == Some(epoch)) {
            self.violate("S8", format!("node {} has the release of epoch {epoch} recorded while its server may write", node + 1));
        }
    }

    /// A holder asks for a lease.
    pub(super) fn judge_asked(&mut self, node: usize, request: &LeaseRequest) {
        let now = self.local(node);
        let ends = self.hosts[node].clock.when(now + timing().ttl);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let told = &mut daemon.belief.told;
        let released = told.released;
        told.asked.insert((request.boot, request.seq), now);
        if request.epoch <= released {
            return self.violate("S8", format!("node {} asks for a lease of epoch {}, and released {released}", node + 1, request.epoch));
        }
        if self.judge.leases.asked.insert((request.node, request.boot, request.seq), ends).is_some() {
            self.violate("S3", format!("node {} asks under a number under which an earlier life of it has asked", node + 1));
        }
    }

    /// A holder takes a grant, and hands the lease on to its guard.
    pub(super) fn judge_grant_taken(&mut self, node: usize, epoch: Epoch, end: Timestamp) {
        let Some(belief) = self.belief(node) else { return };
        let grant = belief.told.grant;
        let asked = grant.and_then(|grant| belief.told.asked.get(&(grant.boot, grant.seq)));
        let asked = asked.is_some_and(|sent| *sent + timing().ttl >= end);
        let named = belief.state.as_ref().and_then(ClusterState::leaseholder) == Some((id(node), epoch));
        if !asked || !named {
            let text = format!(
                "node {} takes {grant:?} for a lease of epoch {epoch} until {end:?}: asked for in this life {asked}, named {named}",
                node + 1
            );
            self.violate("S3", text);
        }
    }

    /// A lease is granted: from now on it must be counted with.
    pub(super) fn note_granted(&mut self, grant: &LeaseGrant, term: u64) {
        let ends = self.judge.leases.asked.get(&(grant.node, grant.boot, grant.seq)).copied().unwrap_or(u64::MAX);
        let last = self.judge.leases.granted.entry((grant.node, grant.epoch, term)).or_default();
        *last = ends.max(*last);
    }

    /// Whether somebody other than `not` could still use a lease of an epoch before this one, perhaps of a grant that is on its way.
    pub(super) fn could_be_leased(&self, before: Epoch, not: Option<NodeId>) -> Option<(NodeId, Epoch)> {
        let released = |epoch: &Epoch| self.judge.released.contains(epoch);
        let granted = self.judge.leases.granted.iter();
        let mut open =
            granted.filter(|((node, epoch, _), ends)| **ends > self.now && *epoch < before && Some(*node) != not && !released(epoch));
        open.next().map(|((node, epoch, _), _)| (*node, *epoch))
    }

    /// A node says who leads, and whether the primary may be replaced.
    pub(super) fn judge_leadership(&mut self, node: usize, led: Leadership) {
        if led.leader != Some(id(node)) {
            return;
        }
        let newest = self.judge.newest.as_ref().map_or(0, |(newest, _)| *newest);
        let elected = *self.judge.leases.elected.entry(led.term.0).or_insert(newest);
        let Some(belief) = self.belief(node).filter(|_| led.ready) else { return };
        if belief.index < elected {
            let text = format!(
                "node {} is ready to decide in term {} upon the state of index {}, and {elected} was committed before its election",
                node + 1,
                led.term.0,
                belief.index
            );
            return self.violate("S5", text);
        }
        let Some(holder) = belief.state.as_ref().and_then(ClusterState::leaseholder).filter(|_| led.gate == Gate::Lapsed) else { return };
        // A leader that was deposed without its knowledge knows nothing of what its successors granted, and can appoint nobody.
        let granted = self.judge.leases.granted.range((holder.0, holder.1, 0)..=(holder.0, holder.1, led.term.0));
        if granted.map(|(_, ends)| *ends).max().is_some_and(|ends| ends > self.now) {
            self.violate("S5", format!("node {} finds the lease of {holder:?} over, and it could be used for some time yet", node + 1));
        }
    }

    /// An order of an FSM to its consensus.
    pub(super) fn judge_order(&mut self, node: usize, order: &Order) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        match order {
            Order::RequestLease(request) => self.judge_asked(node, request),
            Order::HandOver if daemon.belief.led.ready => daemon.belief.handing_over = Some(daemon.belief.led.term.0),
            Order::Propose(proposal) => {
                if let Command::Appoint { node: chosen, why, .. } = &proposal.command {
                    let (chosen, rule) = (index(*chosen), why.rule.clone());
                    self.judge_choice(node, chosen, &rule, proposal.basis);
                }
            }
            _ => {}
        }
    }

    /// D1, by what the leader was told and by what the chosen one really has.
    fn judge_choice(&mut self, leader: usize, chosen: usize, rule: &str, basis: Epoch) {
        if !rule.starts_with("fail-over") {
            return;
        }
        self.judge.failovers.insert(basis.next());
        let belief = self.belief(leader);
        let foreign = belief.is_some_and(|belief| {
            let ours = belief.state.as_ref().and_then(|state| state.system_identifier);
            belief.told.database(id(chosen)).is_some_and(|database| identifier(database) != ours)
        });
        if foreign {
            return self.violate("S11", format!("node {} is chosen and told that its database is another cluster's", chosen + 1));
        }
        if belief.is_some_and(|belief| belief.told.seen.get(&id(chosen)).is_some_and(|(health, _)| *health == Health::Red)) {
            return self.violate("D1", format!("node {} is chosen and looks dead", chosen + 1));
        }
        if self.hosts[chosen].server.as_ref().is_some_and(|server| server.vetted == Some(false))
            && belief.is_some_and(|belief| belief.told.database(id(chosen)).is_some_and(|database| is_disowned(&database.conditions)))
        {
            return self.violate("D6", format!("node {} is chosen and told that its log is not the primary's", chosen + 1));
        }
        if self.setting.tags[chosen].nofailover {
            return self.violate("D1", format!("node {} is chosen and tagged nofailover", chosen + 1));
        }
        if let Some(better) = belief.and_then(|belief| belief.told.better(belief.state.as_ref()?, id(chosen))) {
            return self.violate("D1", format!("node {} is chosen and node {better} told that it is further", chosen + 1));
        }
        let Some(daemon) = &self.hosts[leader].daemon else { return };
        let Some(state) = daemon.belief.state.clone() else { return };
        let heard = daemon.belief.told.heard(&state);
        // Of a database that was taken away the leader does not know before that node's next report.
        let heard_at = daemon.belief.heard_at.get(&chosen).copied().filter(|_| chosen != leader).unwrap_or(self.now);
        let unknown = self.hosts[chosen].replaced_at.is_some_and(|at| heard_at < at + REPORT_MAX);
        // Of what a primary wrote that nobody heard of, the ones before it tell nothing.
        let unheard = self.judge.promoted >= basis && !daemon.belief.told.heard.contains_key(&basis);
        let bound = if unknown || unheard { 0 } else { heard.saturating_sub(state.settings.max_replication_lag) };
        // Another leader may decide upon the same epoch, and only one of them is heard.
        self.judge.bounds.entry((basis.next(), chosen)).and_modify(|least| *least = bound.min(*least)).or_insert(bound);
        if unknown {
            return;
        }
        if self.hosts[chosen].data.is_none() {
            return self.violate("D1", format!("node {} is chosen and has no database", chosen + 1));
        }
        let account =
            |node: usize| if node == leader { daemon.report.as_ref()?.database.as_ref() } else { daemon.belief.told.database(id(node)) };
        let lineage = account(chosen).map(|database| database.lineage.clone()).unwrap_or_default();
        let history = daemon.belief.told.history(&state);
        let Some(told) = daemon.belief.positions.get(&chosen).filter(|told| history.is_in_line(**told, &lineage)).copied() else {
            return self.violate("D1", format!("node {} is chosen and told that it has diverged", chosen + 1));
        };
        let end = told.lsn.0;
        let final_lsn = state.primary.as_ref().and_then(|primary| Some((primary.node, primary.released?.final_lsn?)));
        if let Some((old, final_lsn)) = final_lsn
            && told.lsn < final_lsn
            && daemon.belief.told.has_everything(&state, old, final_lsn)
        {
            let text =
                format!("node {} is chosen at {}, and node {old} has everything up to {final_lsn} and could return", chosen + 1, told.lsn);
            return self.violate("D1", text);
        }
        let ours = (0..self.setting.nodes)
            .filter_map(account)
            .filter(|database| identifier(database) == state.system_identifier && !is_disowned(&database.conditions));
        let received = ours.filter_map(|database| database.position.filter(|position| history.is_in_line(*position, &database.lineage)));
        if let Some(furthest) =
            received.map(|position| position.lsn).max().filter(|furthest| furthest.0 > end + state.settings.max_replication_lag)
        {
            return self
                .violate("D1", format!("node {} is chosen at {end}, and the leader was told that somebody has {furthest}", chosen + 1));
        }
        if heard > end + state.settings.max_replication_lag {
            let text =
                format!("node {} is chosen at {end}, and the leader was told that the primary had written up to {heard}", chosen + 1);
            self.violate("D1", text);
        }
    }

    /// A message leaves a node.
    pub(super) fn judge_sent(&mut self, node: usize, message: &PeerMessage) {
        match message {
            PeerMessage::Raft(message) => self.judge_promise(node, message),
            PeerMessage::LeaseGrant(grant) => self.judge_granted(node, grant),
            PeerMessage::Testimony { term, .. } => {
                let durable = self.hosts[node].disk.stored.hard_state.term;
                if durable < term.0 {
                    let text = format!("node {} testifies of term {}, and its disk knows of {durable} only", node + 1, term.0);
                    self.violate("S5", text);
                }
            }
            _ => {}
        }
    }

    fn belief(&self, node: usize) -> Option<&Belief> {
        self.hosts[node].daemon.as_ref().map(|daemon| &daemon.belief)
    }
}
