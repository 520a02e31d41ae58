//! The machine's knowledge, brought down to the plan's view.

use super::Machine;
use crate::machine::Timestamp;
use crate::model::{Bar, Directory, Server};
use crate::pg::Phase;
use crate::pg::plan::{Ground, Stop, Streaming, View, Wish};
use crate::pg::{Cause, Hold, Kind, Mend, Observation, Order, Process, Rung, Upkeep, Upstream};
use alloc::string::String;
use core::time::Duration;

/// A standby that had reason to stream for this long and does not is in trouble.
const STREAM_MAX: Duration = Duration::from_secs(10);
/// The same where a reason is known that a restart mends.
const STREAM_RENEWED_MAX: Duration = Duration::from_secs(3);
/// What the log hints at may have been over in the next instant.
const HINT_SETTLES: Duration = Duration::from_secs(1);
/// A clone that only a person can make possible is not worth a further stop for this long.
const BARRED_HOLDS: Duration = Duration::from_secs(300);
/// Standbys for which the primary has too much room are restarted one after the other: each gets so long to come back. A node that is to lead waits
/// for nobody.
const TURN: Duration = Duration::from_secs(5);
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
            rung: self.rung(seen),
            preserved: self.ladder.is_preserved(),
            unasked: self.ladder.is_unasked(),
            upkeep: self.upkeep(now, seen),
            kept: self.is_kept(now, seen, server),
            restart: self.needs_restart(now, seen),
            held: upstream.is_some() && seen.chosen && matches!(hold(seen), Some(Hold::Readers | Hold::Pause)),
        })
    }

    /// What could not be written is tried again later, and keeps nothing else waiting.
    fn upkeep(&self, now: Timestamp, seen: &Observation) -> Upkeep {
        let rests = self.back_off.get(&Kind::Configure).is_some_and(|back_off| now < back_off.until);
        if seen.upkeep == Upkeep::Configure && rests { Upkeep::Nothing } else { seen.upkeep }
    }

    fn needs_restart(&self, now: Timestamp, seen: &Observation) -> bool {
        let Some(run) = &self.run else { return false };
        let its_turn = |before: u8, since: Timestamp| now.since(since) >= TURN * u32::from(before);
        let cramped = match (hold(seen), run.cramped) {
            (Some(Hold::Room { before }), Some(since)) => Wish::of(&self.order.order) == Wish::Lead || its_turn(before, since),
            _ => false,
        };
        cramped || run.unaimable
    }

    /// Success is only what is *seen*: streaming, on the right timeline (L2).
    fn streaming(&self, now: Timestamp, seen: &Observation, upstream: &Upstream) -> Streaming {
        let Some(run) = &self.run else { return Streaming::Expected };
        if run.is_aimed_at(upstream) && streams(seen, upstream) {
            return Streaming::Seen;
        }
        // A server that still replays what it has cannot stream; only its log can say that it never will.
        let max = if seen.upkeep == Upkeep::Restart { STREAM_RENEWED_MAX } else { STREAM_MAX };
        let time = now.since(run.stream_due);
        let had_time = run.came_up && time > max || seen.hint && time > HINT_SETTLES;
        if had_time { Streaming::Missing } else { Streaming::Expected }
    }

    /// What a copy is to mend: there is nothing here, or what the ladder has found.
    pub(super) fn mend(&self, seen: &Observation) -> Option<Mend> {
        match ground(&seen.directory, &self.order.order) {
            Ground::Bare => Some(Mend { cause: Cause::Bare, words: String::new() }),
            _ => self.ladder.mend(),
        }
    }

    /// Why no copy is made for that just now: there were too many of late.
    pub(super) fn spent(&self, seen: &Observation) -> Option<String> {
        self.mend(seen).and_then(|mend| seen.clones.refusal(&mend))
    }

    /// Whether the next rung is known to fail. A copy that was refused to a stopped server is tried again, and costs it nothing; a running one is
    /// not stopped for it.
    fn is_kept(&self, now: Timestamp, seen: &Observation, server: Server) -> bool {
        let barred = || {
            let refused = self.clone_barred.is_some_and(|at| now.since(at) < BARRED_HOLDS);
            refused || seen.conditions.iter().any(|condition| condition.bars == Bar::Streaming)
        };
        self.spent(seen).is_some() || server != Server::Stopped && barred()
    }

    /// The next rung. A database that could not be used without a further copy, for which there were too many, is tried as it is.
    fn rung(&self, seen: &Observation) -> Rung {
        let as_it_is = self.ladder.mend().is_some_and(|mend| matches!(mend.cause, Cause::Removed | Cause::Damaged));
        if as_it_is && self.spent(seen).is_some() { Rung::Start } else { self.ladder.rung() }
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
            Streaming::Missing => {
                let hint = seen.observation.hint;
                let tried = self.run.as_ref().is_some_and(|run| run.is_aimed_at(upstream) && (run.came_up || hint));
                self.ladder.stalled(now, tried, hint);
            }
            Streaming::Expected => {}
        }
    }
}

pub(super) fn hold(seen: &Observation) -> Option<Hold> {
    seen.sight.as_ref().and_then(|sight| sight.hold)
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
