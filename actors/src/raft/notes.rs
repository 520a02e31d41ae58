//! Lines for the daemon's log that would otherwise be written again and again.

use crate::machine::Timestamp;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

/// The same line is repeated so often at most.
const REPEAT: Duration = Duration::from_secs(60);
/// Another line on the same matter may follow so soon.
const CHANGE: Duration = Duration::from_secs(1);
/// More matters than a small cluster has.
const MATTERS_MAX: usize = 256;

/// What was noted last on each matter, and when.
#[derive(Debug, Default)]
pub(super) struct Notes {
    last: BTreeMap<(&'static str, u64), (Timestamp, String)>,
}

impl Notes {
    /// Whether this line is to be written now.
    pub(super) fn admit(&mut self, now: Timestamp, matter: (&'static str, u64), text: &str) -> bool {
        let wait = match self.last.get(&matter) {
            Some((_, last)) if last == text => REPEAT,
            Some(_) => CHANGE,
            None => Duration::ZERO,
        };
        if self.last.get(&matter).is_some_and(|(at, _)| now.since(*at) < wait) {
            return false;
        }
        if self.last.len() >= MATTERS_MAX {
            self.last.retain(|_, (at, _)| now.since(*at) < REPEAT);
        }
        self.last.len() < MATTERS_MAX && {
            self.last.insert(matter, (now, text.into()));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_written_once_a_minute_and_news_at_once() {
        let mut notes = Notes::default();
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(notes.admit(at(0), ("a", 1), "x"));
        assert!(!notes.admit(at(30), ("a", 1), "x"));
        assert!(notes.admit(at(30), ("a", 2), "x"), "another node's");
        assert!(notes.admit(at(40), ("a", 1), "y"));
        assert!(notes.admit(at(101), ("a", 1), "y"));
    }
}
