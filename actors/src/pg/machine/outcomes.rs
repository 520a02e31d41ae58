//! An operation ended, or nothing is heard of it any more.

use super::Machine;
use crate::machine::Timestamp;
use crate::model::Server;
use crate::pg::server::Run;
use crate::pg::{Effect, Importance, Kind, Life, Operation, Outcome, Outlook, Upstream};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

/// A cancelled operation that does not say that it ended is gone after this time.
pub(super) const CANCEL_MAX: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn finished(&mut self, now: Timestamp, id: u64, outcome: Outcome, effects: &mut Vec<Effect>) {
        let Some(working) = self.working.take_if(|working| working.id == id) else { return };
        self.doubt();
        if let (Outcome::Failed { reason, outlook }, None) = (&outcome, working.cancelled) {
            self.failed(now, &working.operation, reason, *outlook, effects);
            return;
        }
        if let (Outcome::Older(what), None) = (&outcome, working.cancelled) {
            self.failed(now, &working.operation, what, Outlook::Open, effects);
            self.older = Some(what.clone());
            return;
        }
        let done = !matches!(outcome, Outcome::Cancelled | Outcome::Failed { .. } | Outcome::Older(_));
        if done {
            self.done(now, working.operation, outcome);
        }
    }

    /// An operation may outlive the order that it was begun for: what comes of it tells nothing of the way to another upstream (L2).
    fn tells(&self, operation: &Operation) -> bool {
        operation.upstream().is_none_or(|upstream| self.ladder.is_towards(upstream))
    }

    pub(super) fn done(&mut self, now: Timestamp, operation: Operation, outcome: Outcome) {
        let kind = operation.kind();
        self.failure = None;
        self.older = None;
        // Neither has succeeded before the node is seen streaming: until then, each try comes later than the one before.
        if matches!(kind, Kind::Rewind | Kind::Clone) {
            self.back_off.entry(kind).or_default().failed(now);
        } else if !matches!(kind, Kind::StartPrimary | Kind::StartStandby) {
            self.back_off.remove(&kind);
        }
        let tells = self.tells(&operation);
        match (operation, outcome) {
            (Operation::InitDb | Operation::Adopt, Outcome::Founded(identifier)) => self.founded = Some(identifier),
            (Operation::StartPrimary(..), Outcome::Started(life)) => self.started(now, life, None, false),
            (Operation::StartStandby(upstream), Outcome::Started(life)) => self.started(now, life, upstream.as_ref(), true),
            (Operation::Compare(_) | Operation::Aim(_), Outcome::Compared(_))
            | (Operation::Preserve(_) | Operation::Rewind(_) | Operation::Clone(_), _)
                if !tells => {}
            (Operation::Compare(_) | Operation::Aim(_), Outcome::Compared(fork)) => self.ladder.compared(now, fork),
            (Operation::Aim(upstream), _) => {
                if let Some(run) = &mut self.run {
                    run.aimed = Some(upstream);
                    run.stream_due = now;
                }
            }
            (Operation::Tend, _) => self.tended(now),
            (Operation::Checkpoint, _) => self.checkpointed = true,
            (Operation::Preserve(_), _) => self.ladder.preserved(),
            (Operation::Rewind(_), _) => self.ladder.rewound(now),
            (Operation::Clone(_), _) => self.ladder.cloned(now),
            _ => {}
        }
    }

    pub(super) fn started(&mut self, now: Timestamp, life: Life, upstream: Option<&Upstream>, as_standby: bool) {
        if self.last_dead == Some(life) {
            return;
        }
        if self.run.as_ref().is_none_or(|run| run.life != life) {
            self.probe.counted_from = self.probe.number + 1;
            self.run = Some(Run::new(life, now));
        }
        if let Some(run) = &mut self.run {
            run.began_as_standby = as_standby;
            run.aimed = upstream.cloned();
            run.stream_due = now;
        }
    }

    pub(super) fn tended(&mut self, now: Timestamp) {
        let primary = self.server() == Some(Server::Primary);
        if let Some(run) = &mut self.run {
            run.tended = Some((now, primary));
        }
    }

    pub(super) fn failed(&mut self, now: Timestamp, operation: &Operation, reason: &str, outlook: Outlook, effects: &mut Vec<Effect>) {
        let kind = operation.kind();
        let back_off = self.back_off.entry(kind).or_default();
        // A comparison changes nothing, so it may be asked for often.
        let only_waits = kind == Kind::Compare && outlook == Outlook::Waiting;
        if only_waits {
            back_off.waits(now);
        } else {
            back_off.failed(now);
        }
        let mut next = format!("next try in {} s at the earliest", back_off.until.since(now).as_secs());
        match kind {
            Kind::Checkpoint => self.checkpointed = true,
            _ if !self.tells(operation) => {}
            Kind::Aim | Kind::Compare | Kind::Preserve | Kind::Clone | Kind::Rewind if outlook == Outlook::Waiting => self.ladder.waits(),
            Kind::Rewind => self.ladder.rewind_failed(outlook == Outlook::Hopeless),
            Kind::Compare => self.ladder.comparison_failed(),
            Kind::Preserve => {
                let given_up = self.ladder.preserve_failed();
                if given_up {
                    next = "it is given up: keeping never blocks a return, so what was written here past the fork may be lost".into();
                }
            }
            Kind::StopFast | Kind::StopImmediately => {
                if let Some(stop) = self.run.as_mut().and_then(|run| run.stop.as_mut()) {
                    stop.told = false;
                }
            }
            // The slots are looked after again at their time; nothing else waits for them.
            Kind::Tend => self.tended(now),
            _ => {}
        }
        if kind != Kind::Tend {
            let failure = Some(format!("{}: {reason}", kind.name()));
            let said_before = core::mem::replace(&mut self.failure, failure.clone()) == failure;
            if only_waits && said_before {
                return;
            }
        }
        effects.push(Effect::Note {
            importance: Importance::Warning,
            rule: self.rule.map_or("pg-watch", |(rule, _)| rule.id),
            because: self.rule.map_or("", |(rule, _)| rule.because),
            text: format!("{} failed: {reason}; {next}", kind.name()),
        });
    }

    /// An operation of which nothing is heard has failed, whatever it does.
    pub(super) fn give_up_overdue(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(working) = &mut self.working else { return };
        let operation = working.operation.clone();
        let patience = operation.kind().patience(self.timing.stop_timeout);
        match working.cancelled {
            Some(at) if now.since(at) >= CANCEL_MAX => {
                self.working = None;
                self.doubt();
            }
            None if now.since(working.heard) >= patience => {
                working.cancelled = Some(now);
                effects.push(Effect::Cancel { id: working.id });
                let reason = format!("nothing was heard of it for {} s, so it is given up", patience.as_secs());
                self.failed(now, &operation, &reason, Outlook::Open, effects);
            }
            _ => {}
        }
    }
}
