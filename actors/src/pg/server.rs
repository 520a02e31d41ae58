//! What the server does, derived from what is observed and from what was asked of it.
//!
//! The derivation is conservative: where it is unknown whether the server accepts writes, it is never called harmless.

use super::{Hold, Kind, Life, Observation, Phase, Process, Sight, Upstream, plan};
use crate::machine::Timestamp;
use crate::model::{Lsn, Server};
use core::time::Duration;

/// A server that has shut down gets so long to end by itself: for an archive command that works to bring the last segment away, and for the
/// receivers of others to take the end of the log. It is a part of the outage of every switchover at which somebody hangs.
const REST_MAX: Duration = Duration::from_millis(100);

/// What is known of one run of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Which one.
    pub(super) life: Life,
    /// It has answered; until then it is starting.
    pub(super) came_up: bool,
    /// It was seen accepting writes. It never goes back from there.
    pub(super) wrote: bool,
    /// We started it as a standby: `pg_control` may still say what its files were before.
    pub(super) began_as_standby: bool,
    /// A promotion was asked of it. It may be carried out at any instant from then on, whatever was said about it.
    pub(super) promoting: bool,
    /// A stop was asked of it.
    pub(super) stop: Option<StopAsked>,
    /// Since when it has shut down as it was asked to, with processes left, and whether one of them is waited for.
    pub(super) shut: Option<(Timestamp, bool)>,
    /// A kill was asked for.
    pub(super) killed: bool,
    /// What it was told to follow.
    pub(super) aimed: Option<Upstream>,
    /// Since then it had reason to stream.
    pub(super) stream_due: Timestamp,
    /// When its slots were last looked after, and whether it was a primary then.
    pub(super) tended: Option<(Timestamp, bool)>,
    /// Health checks without an answer, in a row.
    pub(super) misses: u32,
    /// It cannot be told to follow another upstream as long as it runs.
    pub(super) unaimable: bool,
    /// How far it had replayed when that moved last, and when that was.
    pub(super) replayed: Option<(Lsn, Timestamp)>,
    /// When it was looked at last how far that is: while nobody looks, as while the host is paused, nothing stands still.
    pub(super) replay_seen: Timestamp,
    /// Since when it lacks room.
    pub(super) cramped: Option<Timestamp>,
    /// The checkpointer that it was seen with.
    pub(super) checkpointer: Option<u32>,
    /// Since when it recovers in place.
    pub(super) recovers: Option<Timestamp>,
}

/// A stop that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StopAsked {
    /// For the first time.
    pub(super) at: Timestamp,
    /// The server was told. False: the telling failed, and is to be repeated.
    pub(super) told: bool,
    /// Also the immediate one.
    pub(super) immediate: bool,
}

impl Run {
    /// A run that was first seen, or begun, at `now`.
    pub(super) const fn new(life: Life, now: Timestamp) -> Self {
        Self {
            life,
            came_up: false,
            wrote: false,
            began_as_standby: false,
            promoting: false,
            stop: None,
            shut: None,
            killed: false,
            aimed: None,
            stream_due: now,
            tended: None,
            misses: 0,
            unaimable: false,
            replayed: None,
            replay_seen: now,
            cramped: None,
            checkpointer: None,
            recovers: None,
        }
    }

    /// How far its stop has come.
    pub(super) fn stop(&self, now: Timestamp, timeout: Duration) -> plan::Stop {
        match self.stop {
            None => plan::Stop::Unasked,
            Some(stop) if now.since(stop.at) >= timeout => plan::Stop::Overrun,
            Some(stop) if !stop.told => plan::Stop::Unasked,
            Some(_) if self.shut.is_some_and(|(since, awaited)| !awaited && now.since(since) >= REST_MAX) => plan::Stop::Shut,
            Some(stop) if !stop.immediate && now.since(stop.at) >= timeout * 2 / 3 => plan::Stop::Late,
            Some(_) => plan::Stop::Asked,
        }
    }

    /// Keeps the account of how its replay goes on.
    pub(super) fn replays(&mut self, now: Timestamp, sight: Option<&Sight>) {
        let Some(sight) = sight else { return };
        self.replay_seen = now;
        let moved = |lsn: &Lsn| self.replayed.is_none_or(|(before, _)| before != *lsn);
        // Whoever replays what it gets from its own log or from an archive is on its way.
        if sight.replayed > self.replayed.map(|(before, _)| before) {
            self.stream_due = now;
        }
        // What has replayed all that is there stands still for a good reason.
        let waits = sight.hold == Some(Hold::Rest);
        if let Some(lsn) = sight.replayed.filter(|lsn| moved(lsn) || waits || *lsn >= sight.position.lsn) {
            self.replayed = Some((lsn, now));
        }
        self.cramped = matches!(sight.hold, Some(Hold::Room { .. })).then(|| self.cramped.unwrap_or(now));
    }

    /// Keeps the account of its recoveries in place. True: one has begun, or was begun and was over between two looks.
    pub(super) fn crashed(&mut self, now: Timestamp, seen: &Observation) -> bool {
        let checkpointer = seen.sight.as_ref().and_then(|sight| sight.checkpointer);
        let another = checkpointer.is_some() && self.checkpointer.is_some() && checkpointer != self.checkpointer;
        self.checkpointer = checkpointer.or(self.checkpointer);
        match (self.recovers, &seen.sight) {
            (None, None) if seen.turned_away => self.came_up = false,
            // It was too quick to be seen at it. Whoever decides shall see it at it all the same, so it is believed to be well at the next look.
            (None, Some(_)) if another => {}
            (Some(_), Some(_)) => {
                (self.recovers, self.stream_due) = (None, now);
                return false;
            }
            _ => return false,
        }
        self.recovers = Some(now);
        true
    }

    /// Whether its end is no surprise.
    pub(super) const fn is_ending(&self) -> bool {
        self.killed || self.stop.is_some()
    }

    /// Whether it was told to follow that upstream.
    pub(super) fn is_aimed_at(&self, upstream: &Upstream) -> bool {
        self.aimed.as_ref().is_some_and(|before| upstream.is_still(before))
    }
}

/// What the server does. `starting`: an operation that starts one is under way. `hang_after`: so many missed health checks are a hang.
pub(super) fn derive(seen: &Observation, run: Option<&Run>, starting: Option<Kind>, hang_after: u32) -> Server {
    match (seen.process, starting) {
        (Process::Stranger { .. }, _) => Server::Stranger,
        // A start begins only when nobody was there, so there is nobody but the standby that is being started.
        (Process::Silent, Some(Kind::StartStandby)) if run.is_none() => Server::StartingStandby,
        (Process::Silent, _) => unguarded(seen, run),
        (Process::Unsettled, Some(Kind::StartPrimary)) => Server::StartingPrimary,
        (Process::Unsettled, Some(Kind::StartStandby)) => Server::StartingStandby,
        (Process::Orphaned | Process::Unsettled, _) => Server::Stopping,
        (Process::Gone, Some(Kind::StartPrimary)) => Server::StartingPrimary,
        (Process::Gone, Some(Kind::StartStandby)) => Server::StartingStandby,
        (Process::Gone, _) => Server::Stopped,
        (Process::Running { .. }, _) => running(seen, run, hang_after),
    }
}

fn running(seen: &Observation, run: Option<&Run>, hang_after: u32) -> Server {
    if run.is_some_and(|run| run.killed || run.stop.is_some_and(|stop| stop.told)) {
        return Server::Stopping;
    }
    if run.is_some_and(|run| run.came_up && run.misses >= hang_after) {
        return Server::Hung;
    }
    let may_become_writable = run.is_none_or(|run| run.promoting);
    // While it recovers in place it lets nobody in, and may write again at any instant.
    if let Some(run) = run.filter(|run| run.recovers.is_some()) {
        let standby = !run.wrote && !may_become_writable && is_surely_standby(seen, Some(run));
        return if standby { Server::StartingStandby } else { Server::StartingPrimary };
    }
    if run.is_some_and(|run| run.wrote) {
        return Server::Primary;
    }
    match &seen.sight {
        Some(sight) if !sight.in_recovery => Server::Primary,
        Some(_) if may_become_writable => Server::StartingPrimary,
        Some(_) => Server::Standby,
        None if !may_become_writable && is_surely_standby(seen, run) => {
            if run.is_some_and(|run| run.came_up) {
                Server::Standby
            } else {
                Server::StartingStandby
            }
        }
        None => Server::StartingPrimary,
    }
}

/// Its guard would not end it when the lease runs out, so whoever decides must see that it writes, or might: also while it stops or is being
/// killed, until somebody who knows says that it is gone. A server that was never seen may have been promoted.
fn unguarded(seen: &Observation, run: Option<&Run>) -> Server {
    match run {
        Some(run) if run.wrote && run.recovers.is_none() => Server::Primary,
        Some(run) if !run.wrote && !run.promoting && is_surely_standby(seen, Some(run)) => Server::Standby,
        _ => Server::StartingPrimary,
    }
}

/// Without the server's own word: a promotion takes `standby.signal` away before it writes that the server is in production.
fn is_surely_standby(seen: &Observation, run: Option<&Run>) -> bool {
    let began_as_standby = run.is_some_and(|run| run.began_as_standby);
    seen.standby_signal && (began_as_standby || seen.control.is_some_and(|control| control.phase != Phase::Production))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Directory, Endpoint, Epoch, Lsn, NodeId, Position, Promotion, SystemIdentifier, Timeline};
    use crate::pg::{Budget, Control, Sight};
    use alloc::vec::Vec;

    fn seen(standby_signal: bool, phase: Phase, in_recovery: Option<bool>) -> Observation {
        let position = Position { timeline: Timeline(1), lsn: Lsn(1) };
        let sight = in_recovery.map(|in_recovery| Sight {
            open: true,
            in_recovery,
            position,
            replayed: None,
            hold: None,
            stream: None,
            lineage: Vec::new(),
            checkpointer: None,
        });
        Observation {
            directory: Directory::Database { system_identifier: SystemIdentifier(7), timeline: Timeline(1) },
            control: Some(Control { timeline: Timeline(1), phase }),
            standby_signal,
            process: Process::Running { life: Life(1), promoting: false },
            sight,
            turned_away: false,
            crash: None,
            end: None,
            hint: false,
            last_words: None,
            clones: Budget::default(),
            leftover: None,
            chosen: false,
            conditions: Vec::new(),
            upkeep: crate::pg::Upkeep::Nothing,
        }
    }

    fn run() -> Run {
        Run::new(Life(1), Timestamp::default())
    }

    #[test]
    fn a_silent_server_is_harmless_only_if_its_directory_proves_it() {
        let silent = |signal, phase| derive(&seen(signal, phase, None), Some(&run()), None, 3);
        assert_eq!(silent(true, Phase::Recovery), Server::StartingStandby);
        for (signal, phase) in [(true, Phase::Production), (false, Phase::Recovery), (false, Phase::ShutDown), (false, Phase::Production)] {
            assert_eq!(silent(signal, phase), Server::StartingPrimary, "{signal} {phase:?}");
        }
        assert!(!derive(&seen(true, Phase::Recovery, None), None, None, 3).is_harmless(), "nothing is known of it");
    }

    #[test]
    fn a_standby_that_was_asked_to_promote_is_no_longer_harmless() {
        let promoting = Run { promoting: true, ..run() };
        assert_eq!(derive(&seen(true, Phase::Recovery, Some(true)), Some(&promoting), None, 3), Server::StartingPrimary);
        assert_eq!(derive(&seen(true, Phase::Recovery, Some(true)), Some(&run()), None, 3), Server::Standby);
        assert_eq!(derive(&seen(false, Phase::Production, Some(false)), Some(&promoting), None, 3), Server::Primary);
    }

    #[test]
    fn only_a_server_that_came_up_can_hang() {
        let silent = Run { misses: 3, ..run() };
        assert_eq!(derive(&seen(false, Phase::Production, None), Some(&silent), None, 3), Server::StartingPrimary);
        let silent = Run { came_up: true, ..silent };
        assert_eq!(derive(&seen(false, Phase::Production, None), Some(&silent), None, 3), Server::Hung);
        let not_yet = Run { misses: 2, ..silent };
        assert_ne!(derive(&seen(false, Phase::Production, None), Some(&not_yet), None, 3), Server::Hung);
    }

    #[test]
    fn a_copy_that_was_started_as_a_standby_is_one_though_its_control_file_is_a_primarys() {
        let copied = seen(true, Phase::Production, None);
        let ours = Run { began_as_standby: true, ..run() };
        assert_eq!(derive(&copied, Some(&ours), None, 3), Server::StartingStandby);
        let promoted_by_hand = Observation { standby_signal: false, ..copied };
        assert_eq!(derive(&promoted_by_hand, Some(&ours), None, 3), Server::StartingPrimary);
    }

    #[test]
    fn one_late_answer_does_not_make_a_primary_anything_else() {
        let wrote = Run { came_up: true, wrote: true, misses: 1, ..run() };
        assert_eq!(derive(&seen(false, Phase::Production, None), Some(&wrote), None, 3), Server::Primary);
    }

    #[test]
    fn a_start_under_way_is_not_stopped() {
        let gone = Observation { process: Process::Gone, ..seen(false, Phase::ShutDown, None) };
        assert_eq!(derive(&gone, None, Some(Kind::StartPrimary), 3), Server::StartingPrimary);
        assert_eq!(derive(&gone, None, Some(Kind::Clone), 3), Server::Stopped);
    }

    #[test]
    fn a_silent_guard_does_not_hide_a_primary() {
        let silent = |signal| Observation { process: Process::Silent, ..seen(signal, Phase::Recovery, None) };
        let wrote = Run { wrote: true, ..run() };
        assert_eq!(derive(&silent(false), Some(&wrote), None, 3), Server::Primary);
        let told = StopAsked { at: Timestamp::default(), told: true, immediate: false };
        let stopping = Run { stop: Some(told), killed: true, came_up: true, misses: 3, ..wrote };
        assert_eq!(derive(&silent(false), Some(&stopping), None, 3), Server::Primary, "it writes until it is gone");
        let promoting = Run { promoting: true, ..run() };
        assert_eq!(derive(&silent(true), Some(&promoting), None, 3), Server::StartingPrimary);
        assert_eq!(derive(&silent(true), Some(&run()), None, 3), Server::Standby);
        assert_eq!(derive(&silent(false), Some(&run()), None, 3), Server::StartingPrimary, "somebody promoted it");
        assert_eq!(derive(&silent(true), None, None, 3), Server::StartingPrimary, "nothing is known of it");
        assert_eq!(derive(&silent(true), None, Some(Kind::StartPrimary), 3), Server::StartingPrimary);
        assert_eq!(derive(&silent(true), None, Some(Kind::StartStandby), 3), Server::StartingStandby);
    }

    #[test]
    fn a_standby_is_aimed_only_at_whom_it_was_told_to_follow() {
        let endpoint = |host: &str| Endpoint { host: host.into(), port: 5432 };
        let primary = Upstream {
            node: NodeId(2),
            epoch: Epoch(2),
            database: endpoint("two"),
            system_identifier: SystemIdentifier(7),
            promotion: None,
        };
        let is_aimed = |aimed: &Upstream, at: &Upstream| Run { aimed: Some(aimed.clone()), ..run() }.is_aimed_at(at);
        assert!(!run().is_aimed_at(&primary));
        assert!(!is_aimed(&Upstream { database: endpoint("one"), ..primary.clone() }, &primary), "the primary before");
        assert!(is_aimed(&primary, &primary));
        assert!(!is_aimed(&Upstream { epoch: Epoch(1), ..primary.clone() }, &primary), "it may have lost its database since");
        let promoted = Upstream { promotion: Some(Promotion { timeline: Timeline(2), lsn: Lsn(0x100), mark: None }), ..primary.clone() };
        assert!(!is_aimed(&primary, &promoted), "nobody has compared the histories yet");
        assert!(is_aimed(&promoted, &promoted));
        assert!(is_aimed(&promoted, &primary), "its promotion is not known for a moment");
    }

    #[test]
    fn processes_without_a_guard_are_not_harmless() {
        let orphaned = Observation { process: Process::Orphaned, ..seen(false, Phase::Production, None) };
        assert!(!derive(&orphaned, None, None, 3).is_harmless());
    }
}
