//! A server ended: whether that is a surprise, and how soon it is tried again.

use super::Machine;
use crate::machine::Timestamp;
use crate::pg::backoff::{BackOff, delay};
use crate::pg::classify::LastWords;
use crate::pg::{Effect, Importance, Kind, Life, Process};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Deaths are counted for this long.
const DEATHS_WINDOW: Duration = Duration::from_secs(600);
/// So many deaths within the window are restarted at once; later ones more and more slowly.
const DEATHS_FREE: u32 = 2;

impl Machine {
    /// The server that ran has ended.
    pub(super) fn died(&mut self, now: Timestamp, fenced: bool) {
        let Some(run) = self.run.take() else { return };
        self.last_dead = Some(run.life);
        self.doubt();
        if !fenced && !self.killed && !run.is_ending() {
            // The end of a server that could not recover in place, or was not to, is counted already.
            if run.recovers.is_none() {
                self.deaths.push_back(now);
            }
            self.slow_down(now, run.came_up || run.recovers.is_some());
        }
    }

    /// A process of the server was ended, and with it all but its postmaster. It costs clients what a death does, and says as much of this node.
    pub(super) fn crashed_in_place(&mut self, now: Timestamp, life: Life, crash: Option<&str>, effects: &mut Vec<Effect>) {
        self.deaths.push_back(now);
        self.slow_down(now, true);
        let how = crash.unwrap_or("one of its processes was ended");
        effects.push(Effect::Note {
            importance: Importance::Warning,
            rule: "pg-death",
            because: "PostgreSQL ends all sessions when one of its processes crashes, and recovers in place",
            text: format!("the server (process {}) recovers in place: {how}; {} deaths within ten minutes", life.0, self.deaths.len()),
        });
    }

    /// How soon a server is started again.
    fn slow_down(&mut self, now: Timestamp, came_up: bool) {
        self.forget_deaths(now);
        if !came_up {
            self.ladder.start_failed();
        }
        for kind in [Kind::StartPrimary, Kind::StartStandby] {
            let deaths = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
            let back_off = self.back_off.entry(kind).or_default();
            if came_up {
                *back_off = BackOff { failures: 0, until: now + delay(deaths.saturating_sub(DEATHS_FREE)) };
            } else {
                back_off.failed(now);
            }
        }
    }

    /// It is known, or known to be unknown, why the server did not start. The same words twice in a row will be the third time as well.
    pub(super) fn start_explained(&mut self, now: Timestamp, words: Option<&LastWords>) {
        let failure = match words {
            Some(words) => format!("the server does not start: {}", words.text),
            None => String::from(
                "the server does not start, and nothing that Witch can read says why; see the server's own log, wherever its settings \
                 (log_destination, logging_collector) send it",
            ),
        };
        if self.died_of.as_ref() == Some(&failure) {
            self.back_off.entry(Kind::StartStandby).or_default().rests(now);
        }
        (self.died_of, self.failure) = (Some(failure.clone()), Some(failure));
    }

    pub(super) fn forget_deaths(&mut self, now: Timestamp) {
        while self.deaths.front().is_some_and(|death| now.since(*death) > DEATHS_WINDOW) {
            self.deaths.pop_front();
        }
    }

    pub(super) fn server_exited(&mut self, now: Timestamp, life: Life, fenced: bool, effects: &mut Vec<Effect>) {
        if self.last_dead == Some(life) {
            return;
        }
        let surprising = self.run.as_ref().is_none_or(|run| run.life == life && !run.is_ending()) && !fenced && !self.killed;
        if self.run.as_ref().is_some_and(|run| run.life == life) {
            self.died(now, fenced);
        } else if self.run.is_none() {
            // It died before it was ever seen.
            self.last_dead = Some(life);
            self.doubt();
            if surprising {
                self.deaths.push_back(now);
                self.slow_down(now, false);
            }
        } else {
            return;
        }
        if let Some(seen) = &mut self.seen {
            seen.observation.process = Process::Gone;
            seen.observation.sight = None;
            seen.observation.end = None;
        }
        if surprising {
            effects.push(Effect::Note {
                importance: Importance::Warning,
                rule: "pg-death",
                because: "nobody had asked the server to end",
                text: format!("the server (process {}) died; {} deaths within ten minutes", life.0, self.deaths.len()),
            });
        }
    }
}
