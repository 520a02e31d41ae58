//! The machine: fold, view, rule, effect.

mod decide;
mod progress;
mod publish;

use super::config::Config;
use super::facts::Facts;
use super::io::{Effect, Input};
use super::lease::Keeper;
use super::requests::Open;
use super::rules::node::Leaving;
use crate::machine::{Machine as MachineTrait, Timestamp};
use crate::model::{Epoch, Lsn, Position, RecentDecision, Report, Why};
use crate::{pg, raft};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The status is stamped and a pulse given at least this often: whoever waits for them can tell a living machine from a wedged one.
pub const STAMP: Duration = Duration::from_millis(250);
/// A report that says nothing new is made so often.
const REPORT: Duration = Duration::from_secs(1);
/// While something is under way the machine looks again after this time, whether or not anything was told; a switchover waits for what others
/// report, so they do then as well.
const BUSY: Duration = Duration::from_millis(50);
/// A proposal that has not shown in the state is made again after this time.
const REPROPOSE: Duration = Duration::from_millis(250);
/// What a node says of itself is said again after this time, if the log has it not.
const REDESCRIBE: Duration = Duration::from_secs(1);
/// How many decisions are shown.
const DECISIONS_MAX: usize = 20;

/// Decides what this node does, and, on the Raft leader, what the cluster does.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    facts: Facts,
    keeper: Keeper,
    open: Open,
    /// The order that is in force at the adapter; None before the first of this life.
    ordered: Option<Ordered>,
    /// The number of the newest order.
    order_number: u64,
    /// The epoch that this primary has decided to give up, how, and why.
    leaving: Option<(Epoch, Leaving, Why)>,
    /// The epoch whose release was ordered to be recorded.
    recording: Option<Epoch>,
    office: Option<Office>,
    /// What was decided last, by table, so that a decision is told once.
    node_rule: &'static str,
    leader_rule: &'static str,
    decisions: VecDeque<RecentDecision>,
    proposed_at: Option<Timestamp>,
    appointed_at: Option<Timestamp>,
    aborted_at: Option<Timestamp>,
    recorded_again_at: Option<Timestamp>,
    described_at: Option<Timestamp>,
    report: Option<Report>,
    report_seq: u64,
    reported_at: Option<Timestamp>,
    /// Something worth showing has changed since the status was published.
    news: bool,
    stamped_at: Option<Timestamp>,
    exiting: bool,
    wake_at: Timestamp,
}

/// This node's time as the primary of an epoch.
#[derive(Clone, Copy, Debug)]
struct Office {
    epoch: Epoch,
    /// What its server had died of before it was appointed is not held against it.
    deaths_before: u32,
    /// Since when it holds the lease and does not accept writes.
    idle_since: Option<Timestamp>,
    /// How far its promotion was seen to be when that changed last, and when that was.
    progress: Option<(Progress, Timestamp)>,
    /// How far its log reached when its server was seen stopped last. While a server comes up it says nothing of that.
    ended_at: Option<Lsn>,
}

/// How far a standby that is being promoted has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    replayed: Lsn,
    position: Position,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ordered {
    order: pg::Order,
    hurry: bool,
}

impl Machine {
    /// A machine that knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let keeper = Keeper::new(config.node, config.boot, config.timing);
        let started = config.started;
        Self {
            config,
            facts: Facts::default(),
            keeper,
            open: Open::default(),
            ordered: None,
            // Numbers of an earlier life must not come again: reports echo them. No life gives an order every microsecond.
            order_number: started.as_micros(),
            leaving: None,
            recording: None,
            office: None,
            node_rule: "",
            leader_rule: "",
            decisions: VecDeque::new(),
            proposed_at: None,
            appointed_at: None,
            aborted_at: None,
            recorded_again_at: None,
            described_at: None,
            report: None,
            report_seq: 0,
            reported_at: None,
            news: true,
            stamped_at: None,
            exiting: false,
            wake_at: started,
        }
    }

    /// Takes a fact in; the answer is what must be done about the fact itself, whatever the rules say next.
    fn fold(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        self.news |= !matches!(input, Input::Woken | Input::Observed { .. });
        match input {
            Input::Woken => Vec::new(),
            Input::Raft(fact) => self.fold_raft(now, fact),
            Input::Reported(reported) => {
                self.facts.own = Some(*reported);
                Vec::new()
            }
            Input::Observed { peer, health, report } => {
                self.facts.observed(now, peer, health, report);
                Vec::new()
            }
            Input::GuardFound { lease } => {
                self.facts.guard_found = true;
                self.keeper.guard_began_anew(lease);
                Vec::new()
            }
            Input::GuardRemembers { released } => {
                self.facts.remembered = self.facts.remembered.max(Some(released));
                Vec::new()
            }
            Input::LeaseGuarded { epoch, end } => {
                self.keeper.guarded(epoch, end);
                Vec::new()
            }
            Input::ReleaseRecorded { epoch } => {
                self.keeper.release(epoch);
                self.proposed_at = None;
                Vec::new()
            }
            Input::Requested { id, request } => match self.open.take(now, id, request) {
                Ok(()) => Vec::new(),
                Err(refusal) => alloc::vec![Effect::Refuse { id, refusal }],
            },
            Input::Recalled(facts) => facts.into_iter().flat_map(|fact| self.fold(now, fact)).collect(),
            Input::Stopped => {
                self.facts.stopping = true;
                alloc::vec![Effect::Raft(raft::Order::HandOver)]
            }
        }
    }

    fn fold_raft(&mut self, now: Timestamp, fact: raft::Fact) -> Vec<Effect> {
        match fact {
            raft::Fact::Committed { state, .. } => {
                // What follows from the new state is proposed at once.
                self.proposed_at = None;
                self.appointed_at = None;
                self.keeper.set_ttl(state.settings.lease_ttl());
                self.facts.committed(now, *state);
                Vec::new()
            }
            raft::Fact::Led(leadership) => {
                self.facts.led(now, leadership);
                Vec::new()
            }
            raft::Fact::Leased(grant) => {
                let guard = self.keeper.granted(now, grant, self.facts.holder());
                guard.into_iter().map(|(epoch, end)| Effect::GuardLease { epoch, end }).collect()
            }
            raft::Fact::Asked { origin, id, request } => self.answer(now, origin, id, &request),
            raft::Fact::Refused { id, refusal } => {
                self.open.close(id);
                alloc::vec![Effect::Refuse { id, refusal }]
            }
        }
    }

    fn remember(&mut self, now: Timestamp, what: String, why: Why) -> Effect {
        if self.decisions.len() >= DECISIONS_MAX {
            self.decisions.pop_front();
        }
        self.news = true;
        self.decisions.push_back(RecentDecision { at: self.config.wall(now), what: what.clone(), why: why.clone() });
        Effect::Decided { what, why }
    }
}

impl MachineTrait for Machine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        let mut effects = self.fold(now, input);
        // Before anything is decided: this node is one of those that may be chosen.
        self.report(now, &mut effects);
        self.keep_lease(now, &mut effects);
        self.decide_for_node(now, &mut effects);
        self.decide_as_leader(now, &mut effects);
        self.describe_itself(now, &mut effects);
        for (id, request) in self.open.due(now, self.facts.state.as_ref()) {
            effects.push(Effect::Raft(raft::Order::Ask { id, request }));
        }
        self.publish(now, &mut effects);
        self.wake_at = self.next_wake(now);
        effects
    }

    fn wake_at(&self) -> Option<Timestamp> {
        Some(self.wake_at)
    }
}

impl Machine {
    fn next_wake(&self, now: Timestamp) -> Timestamp {
        // Counted from the last stamp: a step that stamps nothing must not put the next one off.
        let mut at = self.stamped_at.unwrap_or(now) + STAMP;
        if let Some((node, epoch)) = self.facts.holder()
            && node == self.config.node
            && epoch > self.keeper.released()
            && self.could_use_a_lease()
        {
            at = at.min(self.keeper.due_at(now).max(now + Duration::from_millis(1)));
        }
        if let Some(until) = self.keeper.guarded_until(now) {
            at = at.min(until);
        }
        if self.is_busy() {
            at = at.min(now + BUSY);
        }
        at
    }

    fn is_busy(&self) -> bool {
        let state = self.facts.state.as_ref();
        let unsettled = state.is_some_and(|state| {
            state.switchover.is_some()
                || state.primary.as_ref().is_some_and(|primary| primary.promoted.is_none() || primary.released.is_some())
        });
        unsettled || self.leaving.is_some() || self.facts.stopping || !self.open.is_empty()
    }
}

#[cfg(test)]
mod tests;
