//! What the FSM hears.

use super::Machine;
use crate::machine::Timestamp;
use crate::model::{Condition, Database, Directory, Operation, Position, Server, Timeline};
use crate::pg::conditions::copies::OLDER_COPY;
use crate::pg::conditions::crashes::IN_PLACE;
use crate::pg::conditions::refusals::CLONES_SPENT;
use crate::pg::conditions::replay;
use crate::pg::plan::{Step, Stop, Wish, plan};
use crate::pg::{Effect, Hold, Observation, Order, Phase, Reported, Stopped, trouble};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// A clean end of the log takes milliseconds to be read, or, on a starved host, some tries. Without it a switchover has to be called off after
/// the old primary has stopped.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// A replay that has something to do and has not moved for so long stands still.
const REPLAY_STANDS: Duration = Duration::from_millis(2500);

impl Machine {
    /// Keeps the account of how long a server has been cleanly stopped without anybody knowing where its log ends.
    pub(super) fn time_the_end(&mut self, now: Timestamp) {
        let unknown = self.server() == Some(Server::Stopped)
            && self.seen.as_ref().is_some_and(|seen| seen.observation.end.is_none() && is_clean(&seen.observation));
        self.endless_since = if unknown { self.endless_since.or(Some(now)) } else { None };
    }

    /// Reports what has changed, and at each health check in any case.
    pub(super) fn report(&mut self, now: Timestamp, due: bool, effects: &mut Vec<Effect>) {
        let Some(report) = self.account(now) else { return };
        if due || self.reported.as_ref() != Some(&report) {
            self.reported = Some(report.clone());
            effects.push(Effect::Report(report));
        }
    }

    fn account(&self, now: Timestamp) -> Option<Reported> {
        let seen = self.seen.as_ref()?;
        let observation = &seen.observation;
        let server = self.server()?;
        // Only a look begun under this very order, with no operation under way that could change it, proves that the order is carried out.
        let proves = seen.order == self.order.number && self.is_fresh() && self.working.is_none();
        let order = &self.order.order;
        let founded = match (&observation.directory, order) {
            (Directory::Database { system_identifier, .. }, Order::Found)
                if proves && server == Server::Stopped && self.founded == Some(*system_identifier) =>
            {
                Some(*system_identifier)
            }
            _ => None,
        };
        let going_down = matches!(order, Order::StepDown | Order::Stop | Order::Fence);
        // The word that it is stopped is final (S8), so it is worth a moment to be able to say how far it was (D4).
        let tells_soon = *order == Order::StepDown && self.endless_since.is_some_and(|since| now.since(since) < END_PATIENCE);
        let stopped = (going_down && proves && server == Server::Stopped && !tells_soon).then(|| stopped(observation));
        let sight = observation.sight.as_ref();
        Some(Reported {
            order: seen.order,
            database: Database {
                directory: observation.directory.clone(),
                server,
                position: position(observation, server),
                lineage: sight.map(|sight| sight.lineage.clone()).unwrap_or_default(),
                replayed: sight.and_then(|sight| sight.replayed),
                streaming: server == Server::Standby && sight.is_some_and(|sight| sight.stream.is_some()),
                operation: self.working.as_ref().map(|working| Operation {
                    name: working.operation.kind().name().to_string(),
                    percent: working.percent,
                    detail: working.detail.clone(),
                }),
                trouble: self.trouble(now),
                conditions: self.conditions(now, observation),
                deaths: u32::try_from(self.deaths.len()).unwrap_or(u32::MAX),
                overdue: self.starting_since.is_some_and(|since| now.since(since) > self.timing.start_timeout),
            },
            founded,
            stopped,
        })
    }

    /// The most severe first, so that whoever shows only one shows that.
    fn conditions(&self, now: Timestamp, seen: &Observation) -> Vec<Condition> {
        let mut conditions = seen.conditions.clone();
        conditions.extend(self.older.as_deref().map(|what| OLDER_COPY.seen(what)));
        conditions.extend(self.spent(seen).map(|why| CLONES_SPENT.seen(why)));
        conditions.extend(self.replay_condition(seen));
        conditions.extend(self.recovery_condition(now, seen));
        conditions.sort_by_key(|condition| Reverse(condition.bars));
        conditions
    }

    /// What a server does that lets nobody in.
    fn recovery_condition(&self, now: Timestamp, seen: &Observation) -> Option<Condition> {
        let lasts = now.since(self.run.as_ref()?.recovers?).as_secs();
        let how = seen.crash.as_deref().unwrap_or("one of its processes was ended, and its log names none");
        Some(IN_PLACE.seen(format!("{how}: the server has been recovering in place for {lasts} s")))
    }

    /// What keeps a standby from replaying what it has.
    fn replay_condition(&self, seen: &Observation) -> Option<Condition> {
        let sight = seen.sight.as_ref().filter(|sight| sight.in_recovery)?;
        let behind = sight.position.lsn.ahead_of(sight.replayed?);
        let run = self.run.as_ref()?;
        let stands = run.replayed.map(|(_, since)| run.replay_seen.since(since)).filter(|stands| *stands >= REPLAY_STANDS);
        let row = match (sight.hold, stands) {
            (Some(Hold::Room { .. }), _) => &replay::NEEDS_ROOM,
            (Some(Hold::Stopped), _) => return Some(replay::STANDS_STILL.seen("the process that replays is stopped")),
            (Some(Hold::Pause), _) => &replay::PAUSED,
            (Some(Hold::Delay), _) => &replay::DELAYED,
            (Some(Hold::Readers), Some(_)) => &replay::HELD_BY_READERS,
            (None, Some(stands)) => {
                let what = format!("{behind} bytes of the log wait to be replayed, and nothing of it was within {} s", stands.as_secs());
                return Some(replay::STANDS_STILL.seen(what));
            }
            (Some(Hold::Rest), _) | (_, None) => return None,
        };
        Some(row.seen(format!("{behind} bytes of the log wait to be replayed")))
    }

    fn trouble(&self, now: Timestamp) -> Option<String> {
        let view = self.view(now)?;
        let seen = self.seen.as_ref()?;
        match plan(&view).then {
            Step::Refuse(trouble) => Some(trouble::text(trouble, &self.order.order, &seen.observation)),
            _ if view.stop == Stop::Overrun && view.wish != Wish::Fence => {
                Some("the stop overran stop_timeout_ms, so the server is killed".to_string())
            }
            _ => self.failure.clone(),
        }
    }
}

fn position(seen: &Observation, server: Server) -> Option<Position> {
    if server == Server::Stopped { seen.end } else { seen.sight.as_ref().map(|sight| sight.position) }
}

/// A primary was shut down in good order.
fn is_clean(seen: &Observation) -> bool {
    seen.control.is_some_and(|control| control.phase == Phase::ShutDown)
}

fn stopped(seen: &Observation) -> Stopped {
    let known = match &seen.directory {
        Directory::Database { timeline, .. } => *timeline,
        _ => Timeline::default(),
    };
    Stopped { timeline: seen.end.map_or(known, |end| end.timeline), final_lsn: seen.end.filter(|_| is_clean(seen)).map(|end| end.lsn) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lsn, SystemIdentifier};
    use crate::pg::{Budget, Control, Process};

    /// D4: a switchover waits for the end of the log, and only a clean stop tells where that is.
    #[test]
    fn only_a_clean_stop_of_a_primary_tells_the_end_of_the_log() {
        let ended = |phase| Observation {
            directory: Directory::Database { system_identifier: SystemIdentifier(7), timeline: Timeline(1) },
            control: Some(Control { timeline: Timeline(1), phase }),
            standby_signal: false,
            process: Process::Gone,
            sight: None,
            turned_away: false,
            crash: None,
            end: Some(Position { timeline: Timeline(1), lsn: Lsn(0x4000) }),
            hint: false,
            last_words: None,
            clones: Budget::default(),
            leftover: None,
            chosen: false,
            conditions: Vec::new(),
            upkeep: crate::pg::Upkeep::Nothing,
        };
        assert_eq!(stopped(&ended(Phase::ShutDown)).final_lsn, Some(Lsn(0x4000)));
        for phase in [Phase::Production, Phase::Recovery] {
            assert_eq!(stopped(&ended(phase)).final_lsn, None, "{phase:?}");
        }
    }
}
