//! When to look, when to ask the server how it is, and for how long it has been on its way up.

use super::Machine;
use crate::machine::Timestamp;
use crate::model::Server;
use crate::pg::plan::Step;
use crate::pg::{Answer, Effect, Kind};
use alloc::vec::Vec;
use core::time::Duration;

/// Between two looks while something is expected to happen any instant.
const LOOK_HURRIED: Duration = Duration::from_millis(20);
/// Between two looks while something is expected and takes long.
const LOOK_PATIENT: Duration = Duration::from_millis(200);
/// So long after a change it is expected any instant.
const HURRY_MAX: Duration = Duration::from_secs(10);
/// Between two looks while nothing is expected.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// A look that was not answered after this time never will be.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(4);

impl Machine {
    pub(super) fn probed(&mut self, number: u64, answer: Answer) {
        let counted = number >= self.probe.counted_from;
        let Some(run) = self.run.as_mut().filter(|_| counted) else { return };
        match answer {
            Answer::Silent => run.misses = run.misses.saturating_add(1),
            // Who serves others, and be it by refusing this login, has come up.
            Answer::Served => (run.misses, run.came_up) = (0, run.came_up || run.recovers.is_none()),
            Answer::Refused => run.misses = 0,
        }
    }

    /// How long after the last look the next one is due.
    pub(super) fn pace(&self) -> Duration {
        let brief = self.working.as_ref().is_some_and(|working| working.cancelled.is_some() || is_brief(working.operation.kind()));
        let waiting = self.rule.filter(|(rule, _)| matches!(rule.then, Step::Wait | Step::Kill));
        match waiting {
            _ if self.order.hurry => LOOK_HURRIED,
            _ if brief => LOOK_HURRIED,
            _ if self.working.is_some() => LOOK_IDLE,
            Some((_, since)) if self.looking.last_begun.since(since) < HURRY_MAX => LOOK_HURRIED,
            Some(_) => LOOK_PATIENT,
            None => LOOK_IDLE,
        }
    }

    pub(super) fn look_due(&self, now: Timestamp) -> Timestamp {
        if !self.is_looking_fresh() && !self.is_fresh() || self.order_unseen() {
            return now;
        }
        match self.looking.under_way {
            Some((begun, _)) => begun + LOOK_MAX,
            None => self.looking.last_begun + self.pace(),
        }
    }

    /// A look that will be believed is under way.
    pub(super) fn is_looking_fresh(&self) -> bool {
        self.looking.under_way.is_some() && self.looking.number >= self.looking.believed_from
    }

    /// Neither a look that was taken nor one under way was begun under the order in force.
    pub(super) fn order_unseen(&self) -> bool {
        let newest = self.looking.under_way.map(|(_, order)| order).or(self.seen.as_ref().map(|seen| seen.order));
        newest != Some(self.order.number)
    }

    pub(super) fn look(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if now < self.look_due(now) {
            return;
        }
        self.looking.number += 1;
        self.looking.under_way = Some((now, self.order.number));
        self.looking.last_begun = now;
        effects.push(Effect::Look { number: self.looking.number });
    }

    /// A new health check begins at each interval, whether the last one has come to its end or not. True: the interval is over.
    pub(super) fn check_health(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        if now < self.probe.due {
            return false;
        }
        self.probe.due = now + self.timing.health_check_interval;
        if self.run.is_some() {
            self.probe.number += 1;
            effects.push(Effect::Probe { number: self.probe.number, timeout: self.timing.health_check_timeout });
        }
        true
    }

    /// Keeps the account of how long the server has been on its way up.
    pub(super) fn time_the_start(&mut self, now: Timestamp) {
        let on_its_way = match self.server() {
            Some(Server::StartingStandby | Server::StartingPrimary) => true,
            // Between two tries it is still the same attempt to come up.
            Some(Server::Stopped) => self.starting_since.is_some(),
            _ => false,
        };
        if !on_its_way {
            self.starting_since = None;
        } else if self.starting_since.is_none() {
            self.starting_since = Some(now);
        }
    }
}

/// Whether its effect on the server is to be seen within moments.
const fn is_brief(kind: Kind) -> bool {
    matches!(kind, Kind::StartPrimary | Kind::StartStandby | Kind::Promote | Kind::StopFast | Kind::StopImmediately)
}
