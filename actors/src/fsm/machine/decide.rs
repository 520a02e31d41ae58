//! From the views, through the tables, to the orders.

use super::{Machine, Office, Ordered, REDESCRIBE, REPROPOSE, progress};
use crate::fsm::addresses::description;
use crate::fsm::candidates::{all, best, final_lsn, name, written};
use crate::fsm::founding::{Founding, founder};
use crate::fsm::io::Effect;
use crate::fsm::requests::{check, is_taken};
use crate::fsm::rules::leader::Action as LeaderAction;
use crate::fsm::rules::node::{Action, Leaving};
use crate::fsm::rules::{first, leader, node};
use crate::fsm::{Request, view};
use crate::machine::Timestamp;
use crate::model::{ClusterState, Command, Directory, Epoch, Lsn, NodeId, Proposal, RequestId, Server, Why};
use crate::pg::conditions::copies;
use crate::pg::{Order, Stopped, Upstream};
use crate::raft;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Machine {
    /// Asks for the lease when that is due. An appointed node asks even without a database: it is answered, and can found one.
    pub(super) fn keep_lease(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some((node, epoch)) = self.facts.holder() else { return };
        if node != self.config.node || self.keeper.due_at(now) > now || !self.could_use_a_lease() {
            return;
        }
        if let Some(request) = self.keeper.ask(now, epoch) {
            effects.push(Effect::Raft(raft::Order::RequestLease(request)));
        }
    }

    /// A lease that cannot be used only keeps others from taking over.
    pub(super) fn could_use_a_lease(&self) -> bool {
        let Some(state) = self.facts.state.as_ref() else { return false };
        let gives_up = self.leaving.as_ref().is_some_and(|(_, how, _)| *how == Leaving::AtOnce);
        let blocked = self.facts.own.as_ref().is_some_and(|own| view::is_not_ours_to_run(state, &own.database));
        !gives_up && !blocked
    }

    pub(super) fn decide_for_node(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.config.witness || self.exiting {
            return;
        }
        self.record_again(now, effects);
        self.reconsider_leaving(now);
        let leaving = self.leaving.as_ref().map_or(Leaving::No, |(_, leaving, _)| *leaving);
        let proofs = view::Proofs { gone: self.proved_stopped().is_some(), withdrawn: self.proved_withdrawn() };
        let view = view::of_node(&self.facts, &self.config, &self.keeper, now, leaving, proofs);
        let rule = first(node::RULES, &view);
        if rule.id != self.node_rule {
            self.node_rule = rule.id;
            let what = format!("{:?}", rule.then);
            effects.push(self.remember(now, what, rule.why()));
        }
        match rule.then {
            Action::Watch => self.order(Order::Watch, effects),
            Action::Found => {
                self.order(Order::Found, effects);
                self.tell_founded(now, effects);
            }
            Action::Lead => {
                let ours = self.facts.state.as_ref().and_then(|state| state.system_identifier);
                if let (Some((_, epoch)), Some(system_identifier)) = (self.facts.holder(), ours) {
                    let least = self.facts.state.as_ref().and_then(ClusterState::least_to_lead);
                    self.order(Order::Lead { epoch, system_identifier, least }, effects);
                    self.tell_promoted(now, effects);
                }
            }
            Action::StandAlone => self.order(Order::StandAlone, effects),
            Action::Follow => {
                if let Some(upstream) = self.upstream(now) {
                    self.order(Order::Follow(upstream), effects);
                }
            }
            Action::StepDown => {
                self.order(Order::StepDown, effects);
                self.tell_promoted(now, effects);
            }
            Action::Stop => self.order(Order::Stop, effects),
            Action::Fence => self.order(Order::Fence, effects),
            Action::RecordRelease => {
                if let Some((_, epoch)) = self.facts.holder()
                    && self.due_again(now)
                {
                    self.recording = Some(epoch);
                    effects.push(Effect::RecordRelease { epoch });
                }
            }
            Action::ProposeRelease => self.tell_release(now, effects),
            Action::Exit => {
                self.exiting = true;
                effects.push(Effect::Exit);
            }
        }
    }

    /// The same order twice changes nothing, so it is told once.
    fn order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let hurry = self.facts.state.as_ref().is_some_and(|state| {
            state.switchover.is_some()
                || state.primary.as_ref().is_some_and(|primary| primary.released.is_some() || primary.promoted.is_none())
        });
        let newest = Some(Ordered { order: order.clone(), hurry });
        if self.ordered == newest {
            return;
        }
        if self.ordered.as_ref().is_none_or(|ordered| ordered.order != order) {
            self.order_number += 1;
        }
        self.ordered = newest;
        effects.push(Effect::Database { number: self.order_number, order, hurry });
    }

    /// A release that the guard remembers and the disk has lost is recorded again, so that it can be told: the guard takes no lease of that
    /// epoch any more, and without the word of this node nobody knows that.
    fn record_again(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(epoch) = self.facts.remembered.filter(|epoch| *epoch > self.keeper.released())
            && self.recorded_again_at.is_none_or(|at| now.since(at) >= REPROPOSE)
        {
            self.recorded_again_at = Some(now);
            effects.push(Effect::RecordRelease { epoch });
        }
    }

    /// The adapter's proof, made under the order in force, that no process of the server is left.
    fn proved_stopped(&self) -> Option<Stopped> {
        let stops = self.ordered.as_ref().is_some_and(|ordered| matches!(ordered.order, Order::StepDown | Order::Stop | Order::Fence));
        self.facts.own.as_ref().filter(|own| stops && own.order == self.order_number).and_then(|own| own.stopped)
    }

    /// An order to lead may be in force that was given before this node knew that its epoch is over.
    fn proved_withdrawn(&self) -> bool {
        let leads = |ordered: &Ordered| matches!(ordered.order, Order::Lead { .. } | Order::Found);
        let withdrawn = self.ordered.as_ref().is_some_and(|ordered| !leads(ordered));
        withdrawn && self.facts.own.as_ref().is_some_and(|own| own.order == self.order_number)
    }

    /// Whether the primary gives up its epoch. A switchover can still be called off; a server that cannot go on is given up only while
    /// somebody else may take over; what is on disk stays.
    fn reconsider_leaving(&mut self, now: Timestamp) {
        let mine = self.facts.holder().filter(|(node, _)| *node == self.config.node).map(|(_, epoch)| epoch);
        let Some(epoch) = mine else {
            (self.leaving, self.recording, self.office) = (None, None, None);
            return;
        };
        self.time_in_office(now, epoch);
        let Some(state) = self.facts.state.as_ref() else { return };
        // It may be on disk already: from here there is no way back (S8).
        if self.recording == Some(epoch) {
            return;
        }
        let successor = self.has_successor(state);
        let switchover = state.switchover.as_ref().filter(|switchover| switchover.epoch == epoch);
        let leaving = self.leaving.as_ref().filter(|(of, ..)| *of == epoch).map(|(_, how, _)| *how);
        if let Some(switchover) = switchover
            // The target's stream ends with the server, so what was begun is not begun anew.
            && (leaving == Some(Leaving::InOrder) || self.facts.streams_since_the_switchover(switchover.to))
        {
            let why =
                Why { rule: String::from("step-down-for-switchover"), because: String::from("an operator asked for another primary") };
            self.leaving = Some((epoch, Leaving::InOrder, why));
            return;
        }
        if leaving == Some(Leaving::AtOnce) && successor && !state.paused {
            return;
        }
        let failing = if successor && !state.paused { self.failing(now, state) } else { None };
        let soon = switchover.map(|_| (epoch, Leaving::Soon, Why::default()));
        self.leaving = failing.map(|why| (epoch, Leaving::AtOnce, why)).or(soon);
    }

    /// Whether somebody may be appointed once this node has given its right up: its report says then how far its log reaches.
    fn has_successor(&self, state: &ClusterState) -> bool {
        let ended_at = self.office.and_then(|office| office.ended_at).unwrap_or_default();
        all(&self.facts, state, Some(self.config.node))
            .any(|candidate| ended_at.ahead_of(candidate.position.lsn) <= state.settings.max_replication_lag)
    }

    /// Remembers since when this node could lead and does not, and how often its server had died before it was appointed.
    fn time_in_office(&mut self, now: Timestamp, epoch: Epoch) {
        let database = self.facts.own.as_ref().map(|own| &own.database);
        let deaths = database.map_or(0, |database| database.deaths);
        let writes = database.is_some_and(|database| database.server == Server::Primary);
        let founded = self.facts.state.as_ref().is_some_and(|state| state.system_identifier.is_some());
        let may_lead = founded && !writes && self.keeper.held_until(now, self.facts.holder()).is_some();
        let office = match self.office {
            Some(office) if office.epoch == epoch => office,
            _ => Office { epoch, deaths_before: deaths, idle_since: None, progress: None, ended_at: None },
        };
        let idle_since = may_lead.then(|| office.idle_since.unwrap_or(now));
        let progress = progress::of(now, database.filter(|_| may_lead), office.progress);
        let stopped = database.filter(|database| database.server == Server::Stopped);
        let ended_at = stopped.map_or(office.ended_at, |database| database.position.map(|position| position.lsn));
        self.office = Some(Office { idle_since, progress, ended_at, deaths_before: office.deaths_before.min(deaths), ..office });
    }

    /// Why the server of this primary cannot go on, if that is so.
    fn failing(&self, now: Timestamp, state: &ClusterState) -> Option<Why> {
        let database = &self.facts.own.as_ref()?.database;
        let office = self.office?;
        let why = |rule: &str, because: String| Some(Why { rule: String::from(rule), because });
        if database.server == Server::Hung {
            return why("server-hangs", String::from("the server does not answer on new connections, and a candidate can take over"));
        }
        let deaths = database.deaths.saturating_sub(office.deaths_before);
        if deaths > self.config.restarts_in_place && database.server != Server::Primary {
            return why("server-dies-again-and-again", format!("the server died {deaths} times within ten minutes"));
        }
        if database.overdue || office.idle_since.is_some_and(|since| now.since(since) > self.config.start_max) {
            return why("start-is-overdue", String::from("the server is not writable within start_timeout_ms"));
        }
        if view::is_not_ours_to_run(state, database) {
            return why("database-is-unusable", String::from("the data directory of the primary is not one that Witch may run"));
        }
        if copies::is_older(&database.conditions) && database.server != Server::Primary {
            return why(
                "database-is-older",
                String::from("an older copy lies in the primary's data directory, and a candidate can take over"),
            );
        }
        let lost = state.system_identifier.is_some() && matches!(database.directory, Directory::Empty | Directory::Unfinished);
        if lost && database.server == Server::Stopped {
            return why("database-is-lost", String::from("the data directory of the primary is empty"));
        }
        self.promotion_stands_still(now, state, database, &office).and_then(|stands| why("promotion-stands-still", stands))
    }

    fn upstream(&mut self, now: Timestamp) -> Option<Upstream> {
        let settled = self.facts.settle(now);
        let state = self.facts.state.as_ref()?;
        let primary = state.primary.as_ref()?;
        Some(Upstream {
            node: primary.node,
            epoch: primary.epoch,
            database: state.members.get(&primary.node)?.database.clone(),
            system_identifier: state.system_identifier?,
            promotion: primary.promoted.filter(|_| settled),
        })
    }

    fn due_again(&mut self, now: Timestamp) -> bool {
        let due = self.proposed_at.is_none_or(|at| now.since(at) >= REPROPOSE);
        if due {
            self.proposed_at = Some(now);
        }
        due
    }

    fn propose(&self, now: Timestamp, basis: Epoch, decided: bool, command: Command) -> Effect {
        let term = decided.then_some(self.facts.leadership.term);
        let at = self.config.wall(now);
        Effect::Raft(raft::Order::Propose(Proposal { by: self.config.node, term, basis, at, command }))
    }

    /// A node that its file places elsewhere than the log does says so, until the log has it. Told while a leader is known only: nobody else
    /// could take it in.
    pub(super) fn describe_itself(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let due = self.described_at.is_none_or(|at| now.since(at) >= REDESCRIBE);
        let Some(state) = self.facts.state.as_ref().filter(|_| due && !self.exiting && self.facts.leadership.leader.is_some()) else {
            return;
        };
        let own = self.facts.own.as_ref().map(|own| &own.database);
        if let Some(command) = description(&self.config.members, self.config.node, state, own) {
            let basis = state.epoch;
            self.described_at = Some(now);
            effects.push(self.propose(now, basis, false, command));
        }
    }

    fn tell_founded(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some((node, epoch)) = self.facts.holder() else { return };
        let founded = self.facts.own.as_ref().filter(|own| own.order == self.order_number).and_then(|own| own.founded);
        if let Some(system_identifier) = founded
            && self.due_again(now)
        {
            effects.push(self.propose(now, epoch, false, Command::Founded { node, system_identifier }));
        }
    }

    fn tell_promoted(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some((node, epoch)) = self.facts.holder() else { return };
        let own = self.facts.own.as_ref().filter(|own| own.order == self.order_number);
        let Some((promotion, lineage)) = own.and_then(|own| Some((own.promotion()?, own.database.lineage.clone()))) else { return };
        let known = self.facts.state.as_ref().and_then(|state| state.primary.as_ref()).and_then(|primary| primary.promoted);
        if known.is_none_or(|known| !known.may_be(promotion)) && self.due_again(now) {
            let command = Command::Promoted { node, lineage };
            effects.push(self.propose(now, epoch, false, command));
        }
    }

    /// S8: only after every process of the epoch is gone, or the server proved read-only, and after it is on disk.
    fn tell_release(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some((node, epoch)) = self.facts.holder() else { return };
        if !self.due_again(now) {
            return;
        }
        let own = self.facts.own.as_ref();
        let position = own.and_then(|own| own.database.position);
        let stopped = own.and_then(|own| own.stopped);
        let timeline = stopped.map(|stopped| stopped.timeline).or(position.map(|position| position.timeline)).unwrap_or_default();
        let why = match &self.leaving {
            Some((of, _, why)) if *of == epoch => why.clone(),
            _ => Why { rule: String::from("release-at-the-end"), because: String::from("the node was told to end") },
        };
        // A later life of this machine has no proof under an order of its own; what `pg_control` proves of a stopped server is as good.
        let ended = position.filter(|_| own.is_some_and(|own| own.database.server == Server::Stopped)).map(|end| end.lsn);
        let final_lsn = stopped.and_then(|stopped| stopped.final_lsn).or(ended);
        effects.push(self.propose(now, epoch, false, Command::Release { node, timeline, final_lsn, why }));
    }

    pub(super) fn decide_as_leader(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(state) = self.facts.state.as_ref().filter(|_| self.facts.leadership.ready) else {
            self.leader_rule = "";
            return;
        };
        let view = view::of_leader(&self.facts, &self.config, state, now);
        let rule = first(leader::RULES, &view);
        let old = state.primary.as_ref().map(|primary| primary.node);
        let chosen = match rule.then {
            LeaderAction::Wait | LeaderAction::AbortSwitchover => None,
            LeaderAction::AppointFounder => match founder(&self.facts, state) {
                Founding::Chosen(node) => Some(node),
                Founding::Waiting(_) | Founding::Refused(_) => None,
            },
            LeaderAction::AppointTarget => state.switchover.as_ref().map(|switchover| switchover.to),
            LeaderAction::AppointBest => best(&self.facts, state, old).map(|candidate| candidate.node),
            LeaderAction::AppointOld => old,
        };
        let appointment =
            chosen.map(|node| (node, format!("Appoint {}", name(state, node)), self.loss(state, node), self.position(state, node)));
        let (basis, switchover) = (state.epoch, state.switchover.as_ref().map(|switchover| switchover.id));
        if self.leader_rule != rule.id && appointment.is_none() && view.in_charge {
            effects.push(self.remember(now, format!("{:?}", rule.then), rule.why()));
        }
        self.leader_rule = rule.id;
        if let Some((node, what, lost_at_least, at)) = appointment
            && self.appointed_at.is_none_or(|at| now.since(at) >= REPROPOSE)
        {
            self.appointed_at = Some(now);
            effects.push(self.remember(now, what, rule.why()));
            effects.push(self.propose(now, basis, true, Command::Appoint { node, why: rule.why(), lost_at_least, at }));
        }
        if let (LeaderAction::AbortSwitchover, Some(id)) = (rule.then, switchover)
            && self.aborted_at.is_none_or(|at| now.since(at) >= REPROPOSE)
        {
            self.aborted_at = Some(now);
            effects.push(self.propose(now, basis, true, Command::AbortSwitchover { id, reason: String::from(rule.because) }));
        }
    }

    /// How much the old primary is known to have written that `node` does not have (D3).
    fn loss(&self, state: &ClusterState, node: NodeId) -> Option<u64> {
        Some(written(&self.facts, state)?.ahead_of(self.position(state, node)?))
    }

    /// How far that node is, as it tells itself and as the release of a primary that returns says.
    fn position(&self, state: &ClusterState, node: NodeId) -> Option<Lsn> {
        let told = self.facts.fresh(node).and_then(|report| Some(report.database.as_ref()?.position?.lsn));
        let returns = state.primary.as_ref().is_some_and(|primary| primary.node == node);
        told.max(final_lsn(state).filter(|_| returns))
    }

    /// The leader answers an operator's request, brought by `origin`.
    pub(super) fn answer(&mut self, now: Timestamp, origin: NodeId, id: RequestId, request: &Request) -> Vec<Effect> {
        let Some(state) = self.facts.state.as_ref() else { return Vec::new() };
        if is_taken(state, id) || !self.facts.leadership.ready || self.facts.leadership.appointing {
            return Vec::new();
        }
        match check(&self.facts, state, id, request) {
            _ if self.facts.ready_for(now) < view::YOUNG && state.leaseholder().is_some() => Vec::new(),
            Ok(command) => alloc::vec![self.propose(now, state.epoch, true, command)],
            Err(refusal) => alloc::vec![Effect::Raft(raft::Order::Refuse { to: origin, id, refusal })],
        }
    }
}
