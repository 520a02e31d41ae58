//! An order comes in, and a look that was taken.

use super::{Machine, Ordered, Seen, Working};
use crate::machine::Timestamp;
use crate::model::Server;
use crate::pg::plan::Wish;
use crate::pg::server::Run;
use crate::pg::{Effect, Observation, Operation, Order, Process, Upstream};
use alloc::vec::Vec;

impl Machine {
    pub(super) fn ordered(&mut self, now: Timestamp, next: Ordered, effects: &mut Vec<Effect>) {
        if next.number < self.order.number {
            return;
        }
        let last = core::mem::replace(&mut self.order, next);
        if last.order == self.order.order {
            return;
        }
        self.doubt();
        let wish = Wish::of(&self.order.order);
        if wish != Wish::of(&last.order) {
            self.back_off.clear();
            self.failure = None;
            self.older = None;
            self.starting_since = None;
            self.checkpointed = false;
        }
        if let Order::Follow(upstream) = &self.order.order
            && self.ladder.towards(upstream)
            && let Some(run) = &mut self.run
        {
            run.stream_due = now;
        }
        let server = self.server();
        if let Some(working) = &mut self.working
            && working.cancelled.is_none()
            && !serves(&working.operation, &self.order.order, server)
        {
            working.cancelled = Some(now);
            effects.push(Effect::Cancel { id: working.id });
        }
        if wish == Wish::Fence {
            self.kill(now, effects);
        }
    }

    pub(super) fn observed(&mut self, now: Timestamp, number: u64, observation: Observation, effects: &mut Vec<Effect>) {
        if number != self.looking.number || number < self.looking.believed_from {
            return;
        }
        let Some((_, order)) = self.looking.under_way.take() else { return };
        match observation.process {
            Process::Running { life, promoting } if self.last_dead != Some(life) => {
                if self.run.as_ref().is_some_and(|run| run.life != life) {
                    self.died(now, false);
                }
                let begun_here = matches!(self.working, Some(Working { operation: Operation::StartStandby(_), .. }));
                let probes = self.probe.number;
                let probing = &mut self.probe;
                let run = self.run.get_or_insert_with(|| {
                    probing.counted_from = probes + 1;
                    Run { began_as_standby: begun_here, ..Run::new(life, now) }
                });
                run.promoting |= promoting;
                let crashed = run.crashed(now, &observation) && !run.is_ending();
                run.came_up |= observation.sight.as_ref().is_some_and(|sight| sight.open);
                if run.came_up {
                    self.died_of = None;
                }
                let since = run.shut.map_or(now, |(since, _)| since);
                let told = run.stop.is_some_and(|stop| stop.told);
                run.shut = observation.leftover.as_ref().filter(|_| told).map(|left| (since, left.awaited));
                run.replays(now, observation.sight.as_ref());
                run.wrote |= observation.sight.as_ref().is_some_and(|sight| !sight.in_recovery);
                if crashed {
                    self.crashed_in_place(now, life, observation.crash.as_deref(), effects);
                }
            }
            Process::Unsettled | Process::Silent => {}
            _ if self.run.is_some() => self.died(now, false),
            _ => {}
        }
        if observation.process == Process::Gone && self.ladder.explained(observation.last_words.as_ref()) {
            self.start_explained(now, observation.last_words.as_ref());
        }
        // A look that found a server dead is itself the freshest there is.
        self.looking.believed_from = self.looking.believed_from.min(number);
        self.seen = Some(Seen { order, number, observation });
    }
}

/// Whether an operation under way still serves the order, while the server is like that.
fn serves(operation: &Operation, order: &Order, server: Option<Server>) -> bool {
    match operation {
        Operation::InitDb | Operation::Adopt => *order == Order::Found,
        Operation::StartPrimary(epoch, _) | Operation::Promote(epoch, _) => matches!(order, Order::Lead { epoch: led, .. } if led == epoch),
        Operation::Checkpoint => *order == Order::StepDown,
        Operation::Compare(upstream) | Operation::Preserve(upstream) | Operation::Clone(upstream, _) => {
            matches!(order, Order::Follow(wanted) if is_same(wanted, upstream))
        }
        // Broken off in the middle it leaves nothing but a clone to do.
        Operation::Rewind(_) => matches!(order, Order::Follow(_) | Order::Watch | Order::StandAlone),
        Operation::StartStandby(_) | Operation::Aim(_) => *order != Order::Fence,
        Operation::ClearReplay => matches!(order, Order::Follow(_)),
        // Slots can wait; a promotion and a stop cannot.
        Operation::Tend | Operation::Configure(_) => match order {
            Order::Lead { .. } => server == Some(Server::Primary),
            Order::Watch | Order::StandAlone | Order::Follow(_) => true,
            Order::Found | Order::StepDown | Order::Stop | Order::Fence => false,
        },
        Operation::StopFast | Operation::StopImmediately => true,
    }
}

/// Whether what was begun towards an upstream is of use for the one that is wanted now. After a restart of the daemon the promotion is not
/// known for a moment, which is no reason to throw hours of copying away; what is begun anew waits for it.
fn is_same(wanted: &Upstream, begun: &Upstream) -> bool {
    wanted.node == begun.node && wanted.epoch == begun.epoch && wanted.database == begun.database
}
