//! The plan's step is taken.

use super::{Machine, Working};
use crate::machine::Timestamp;
use crate::pg::plan::{Rule, Step, plan};
use crate::pg::server::StopAsked;
use crate::pg::{Effect, Importance, Kind, Operation, Order, Rung, trouble};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// Between two kills, if the first did not do.
const KILL_AGAIN: Duration = Duration::from_millis(500);

impl Machine {
    pub(super) fn decide(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(view) = self.view(now) else { return };
        let rule = plan(&view);
        // A kill waits for nothing; everything else waits for the operation under way, and for a look that may be believed.
        if rule.then != Step::Kill && (self.working.is_some() || !self.is_fresh()) {
            return;
        }
        // Looking after the slots comes round again and again, and changes nothing of what the database is.
        let is_new = rule.then != Step::Begin(Kind::Tend) && self.rule.is_none_or(|(last, _)| last.id != rule.id);
        if is_new {
            self.rule = Some((rule, now));
        }
        match rule.then {
            Step::Rest | Step::Wait => {
                if rule.then == Step::Rest {
                    // Whatever was in the way, all is as it should be.
                    self.failure = None;
                }
                if is_new {
                    effects.push(note(
                        rule,
                        Importance::News,
                        if rule.then == Step::Rest { "rests".to_string() } else { "waits".to_string() },
                    ));
                }
            }
            Step::Refuse(trouble) => {
                if is_new && let Some(seen) = &self.seen {
                    effects.push(note(rule, Importance::Warning, trouble::text(trouble, &self.order.order, &seen.observation)));
                }
            }
            Step::Kill => {
                if now >= self.kill_again {
                    effects.push(note(rule, Importance::Warning, "kills every process of the server".to_string()));
                    if let Some(working) = self.working.as_mut().filter(|working| working.cancelled.is_none()) {
                        working.cancelled = Some(now);
                        effects.push(Effect::Cancel { id: working.id });
                    }
                    self.kill(now, effects);
                }
            }
            Step::Begin(kind) => self.begin(now, kind, rule, effects),
        }
    }

    pub(super) fn kill(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::Kill);
        self.kill_again = now + KILL_AGAIN;
        self.killed = true;
        if let Some(run) = &mut self.run {
            run.killed = true;
        }
    }

    pub(super) fn begin(&mut self, now: Timestamp, kind: Kind, rule: &'static Rule, effects: &mut Vec<Effect>) {
        if self.back_off.get(&kind).is_some_and(|back_off| now < back_off.until) {
            return;
        }
        let Some(operation) = self.operation(kind) else { return };
        match kind {
            // It begins by following nobody.
            Kind::Aim => {
                if let Some(run) = &mut self.run {
                    run.aimed = None;
                }
            }
            Kind::Promote => {
                if let Some(run) = &mut self.run {
                    run.promoting = true;
                }
            }
            Kind::StopFast | Kind::StopImmediately => {
                if let Some(run) = &mut self.run {
                    let at = run.stop.map_or(now, |stop| stop.at);
                    run.stop = Some(StopAsked { at, told: true, immediate: kind == Kind::StopImmediately });
                }
            }
            Kind::StartPrimary | Kind::StartStandby => self.killed = false,
            _ => {}
        }
        self.operations += 1;
        let id = self.operations;
        let importance = if kind == Kind::Tend { Importance::Routine } else { Importance::News };
        effects.push(note(rule, importance, format!("begins: {}", kind.name())));
        effects.push(Effect::Begin { id, operation: operation.clone() });
        self.working = Some(Working { id, operation, heard: now, cancelled: None, percent: None, detail: String::new() });
        self.doubt();
    }

    /// The operation of that kind which serves the order; None if the order says nothing that it could serve.
    pub(super) fn operation(&self, kind: Kind) -> Option<Operation> {
        let upstream = if let Order::Follow(upstream) = &self.order.order { Some(upstream.clone()) } else { None };
        let lead = if let Order::Lead { epoch, least, .. } = self.order.order { Some((epoch, least)) } else { None };
        Some(match kind {
            Kind::InitDb => Operation::InitDb,
            Kind::Adopt => Operation::Adopt,
            Kind::StartPrimary => {
                let (epoch, least) = lead?;
                Operation::StartPrimary(epoch, least)
            }
            // Before the promotion there is nothing to compare with, and before the comparison nobody knows whether it may follow: so it
            // waits without anybody to follow.
            Kind::StartStandby => {
                let may_follow = self.ladder.rung() == Rung::Start;
                Operation::StartStandby(upstream.filter(|upstream| upstream.promotion.is_some() && may_follow))
            }
            Kind::Promote => {
                let (epoch, least) = lead?;
                Operation::Promote(epoch, least)
            }
            Kind::Aim => Operation::Aim(upstream?),
            Kind::Tend => Operation::Tend,
            Kind::Configure => Operation::Configure(self.run.as_ref().and_then(|run| run.aimed.clone())),
            Kind::Checkpoint => Operation::Checkpoint,
            Kind::StopFast => Operation::StopFast,
            Kind::StopImmediately => Operation::StopImmediately,
            Kind::Compare => Operation::Compare(upstream?),
            Kind::Preserve => Operation::Preserve(upstream?),
            Kind::Rewind => Operation::Rewind(upstream?),
            Kind::Clone => Operation::Clone(upstream?),
        })
    }
}

fn note(rule: &'static Rule, importance: Importance, text: String) -> Effect {
    Effect::Note { importance, rule: rule.id, because: rule.because, text }
}
