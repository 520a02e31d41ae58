//! The machine's knowledge, brought down to the plan's view.

use super::Machine;
use crate::machine::Timestamp;
use crate::model::{Directory, Server};
use crate::pg::Phase;
use crate::pg::plan::{Ground, Stop, Streaming, View, Wish};
use crate::pg::{Kind, Observation, Order, Process, Upkeep, Upstream};
use core::time::Duration;

/// A standby that had reason to stream for this long and does not is in trouble.
const STREAM_MAX: Duration = Duration::from_secs(10);
/// The same where a reason is known that a restart mends.
const STREAM_RENEWED_MAX: Duration = Duration::from_secs(3);
/// The slots are looked after so often.
const TEND_EVERY: Duration = Duration::from_secs(10);

impl Wish {
    pub(in crate::pg) const fn of(order: &Order) -> Self {
        match order {
            Order::Watch => Self::Watch,
            Order::Found => Self::Found,
            Order::Lead { .. } => Self::Lead,
            Order::StandAlone => Self::StandAlone,
            Order::Follow(_) => Self::Follow,
            Order::StepDown => Self::StepDown,
            Order::Stop => Self::Stop,
            Order::Fence => Self::Fence,
        }
    }
}

impl Machine {
    /// None: nothing has been seen yet.
    pub(super) fn view(&self, now: Timestamp) -> Option<View> {
        let seen = &self.seen.as_ref()?.observation;
        let server = self.server()?;
        let order = &self.order.order;
        let upstream = if let Order::Follow(upstream) = order { Some(upstream) } else { None };
        let run = self.run.as_ref();
        Some(View {
            wish: Wish::of(order),
            ground: ground(&seen.directory, order),
            server,
            orphaned: seen.process == Process::Orphaned,
            in_recovery: seen.sight.as_ref().is_some_and(|sight| sight.in_recovery),
            was_primary: was_primary(seen),
            stop: run.map_or(Stop::Unasked, |run| run.stop(now, self.timing.stop_timeout)),
            checkpointed: self.checkpointed,
            founded: matches!(seen.directory, Directory::Database { system_identifier, .. } if self.founded == Some(system_identifier)),
            tended: run
                .and_then(|run| run.tended)
                .is_some_and(|(at, primary)| now.since(at) < TEND_EVERY && primary == (server == Server::Primary)),
            promoted: upstream.is_some_and(|upstream| upstream.promotion.is_some()),
            aimed: upstream.is_some_and(|upstream| run.is_some_and(|run| run.is_aimed_at(upstream))),
            stream: upstream.map_or(Streaming::Expected, |upstream| self.streaming(now, seen, upstream)),
            rung: self.ladder.rung(),
            preserved: self.ladder.is_preserved(),
            unasked: self.ladder.is_unasked(),
            upkeep: self.upkeep(now, seen),
        })
    }

    /// What could not be written is tried again later, and keeps nothing else waiting.
    fn upkeep(&self, now: Timestamp, seen: &Observation) -> Upkeep {
        let rests = self.back_off.get(&Kind::Configure).is_some_and(|back_off| now < back_off.until);
        if seen.upkeep == Upkeep::Configure && rests { Upkeep::Nothing } else { seen.upkeep }
    }

    /// Success is only what is *seen*: streaming, on the right timeline (L2).
    fn streaming(&self, now: Timestamp, seen: &Observation, upstream: &Upstream) -> Streaming {
        let Some(run) = &self.run else { return Streaming::Expected };
        if run.is_aimed_at(upstream) && streams(seen, upstream) {
            return Streaming::Seen;
        }
        // A server that still replays what it has cannot stream; only its log can say that it never will.
        let max = if seen.upkeep == Upkeep::Restart { STREAM_RENEWED_MAX } else { STREAM_MAX };
        let had_time = run.came_up && now.since(run.stream_due) > max;
        if seen.stall.is_some() || had_time { Streaming::Missing } else { Streaming::Expected }
    }

    /// Brings the ladder up to date with what was seen.
    pub(super) fn climb(&mut self, now: Timestamp) {
        if !self.is_fresh() || self.working.is_some() {
            return;
        }
        let Order::Follow(upstream) = &self.order.order else { return };
        let Some(seen) = &self.seen else { return };
        match self.streaming(now, &seen.observation, upstream) {
            Streaming::Seen => {
                self.ladder.streams();
                self.failure = None;
                self.back_off.remove(&Kind::Rewind);
                self.back_off.remove(&Kind::Clone);
                if let Some(run) = &mut self.run {
                    run.stream_due = now;
                }
            }
            Streaming::Missing => self.ladder.stalled(now, seen.observation.stall),
            Streaming::Expected => {}
        }
    }
}

fn ground(directory: &Directory, order: &Order) -> Ground {
    let ours = match order {
        Order::Lead { system_identifier, .. } | Order::Follow(Upstream { system_identifier, .. }) => Some(*system_identifier),
        _ => None,
    };
    match directory {
        Directory::Empty | Directory::Unfinished => Ground::Bare,
        Directory::Unusable { .. } => Ground::Unusable,
        Directory::Database { system_identifier, .. } if ours.is_some_and(|ours| ours != *system_identifier) => Ground::Foreign,
        Directory::Database { .. } => Ground::Database,
    }
}

/// Whether the stopped database may go on as a primary where it ended.
fn was_primary(seen: &Observation) -> bool {
    !seen.standby_signal && seen.control.is_some_and(|control| matches!(control.phase, Phase::Production | Phase::ShutDown))
}

fn streams(seen: &Observation, upstream: &Upstream) -> bool {
    let Some(stream) = seen.sight.as_ref().filter(|sight| sight.in_recovery).and_then(|sight| sight.stream.as_ref()) else {
        return false;
    };
    let right_timeline = upstream.promotion.is_none_or(|promotion| promotion.timeline == stream.timeline);
    let right_upstream = stream.from.as_ref().is_none_or(|from| *from == upstream.database);
    right_timeline && right_upstream
}
