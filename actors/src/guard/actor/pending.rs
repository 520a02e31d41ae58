//! Connections that have yet to say who they are. Anybody of our user may come by, and only a daemon takes the place of the daemon.

use super::connection::Connection;
use super::journal::Journal;
use crate::guard::policy::introduce;
use crate::guard::wire::{Answer, Asked, Said};
use crate::machine::Timestamp;
use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

/// A daemon introduces itself at once. Whoever has waited longest gives way, so nobody can keep it out.
const WAITING_MAX: usize = 4;
/// So long is waited for the introduction.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: VecDeque<(Connection, Timestamp)>,
}

impl Pending {
    pub(super) fn admit(&mut self, connection: Connection, now: Timestamp) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((connection, now + PATIENCE));
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.waiting.iter().map(|(connection, _)| connection)
    }

    /// Hears everybody. Answers the daemon that has introduced itself, the newest if there are several, with all that it asked. Who is none
    /// hears why and is sent away, and so is who talks nonsense, or nothing for too long.
    pub(super) fn hear(&mut self, now: Timestamp, journal: &mut Journal) -> Option<(Connection, Vec<Asked>)> {
        let mut daemon = None;
        for (mut connection, until) in take(&mut self.waiting) {
            let Ok(asked) = connection.receive() else { continue };
            let Some(first) = asked.first() else {
                if now < until {
                    self.waiting.push_back((connection, until));
                }
                continue;
            };
            match introduce(&first.request) {
                Ok(()) => daemon = Some((connection, asked)),
                Err(refusal) => {
                    journal.note(format!("a connection was not taken: {refusal}"));
                    // It is sent away in any case.
                    let _ = connection.say(&Said::Answer { id: first.id, answer: Answer::Refused(refusal) });
                }
            }
        }
        daemon
    }
}
