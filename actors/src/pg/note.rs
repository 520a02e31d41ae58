//! What is noted of the server that a guard of ours started last, so that a stranger's is told from it (S6).
//!
//! A daemon may die between its order and the guard's answer, so the order is noted before it is given.

use core::fmt;

/// Begins a note of a start of which nobody knows yet whether it came to something.
const STARTS: &str = "starts at ";
/// A server whose start was ordered at the noted time began within so many seconds, or somebody else started it.
const BEGINS_MAX: u64 = 60;

/// The note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A start is ordered, at that second of the day's clock.
    Starts(u64),
    /// The server with that postmaster was started.
    Runs(u32),
}

impl Note {
    /// Reads one. None: it says nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix(STARTS) {
            Some(second) => second.parse().ok().map(Self::Starts),
            None => text.parse().ok().map(Self::Runs),
        }
    }

    /// Whether it is of the server with that postmaster, which began at that second.
    #[must_use]
    pub fn is_of(self, postmaster: u32, began: Option<u64>) -> bool {
        match self {
            Self::Starts(ordered) => began.is_some_and(|began| began + 1 >= ordered && began <= ordered + BEGINS_MAX),
            Self::Runs(noted) => noted == postmaster,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts(second) => write!(f, "{STARTS}{second}"),
            Self::Runs(postmaster) => write!(f, "{postmaster}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_server_is_ours_by_its_number_or_by_the_time_of_an_order_that_nobody_answered() {
        assert!(Note::Runs(42).is_of(42, None));
        assert!(!Note::Runs(42).is_of(43, Some(1000)), "somebody else has started another one");
        for (began, ours) in [(None, false), (Some(998), false), (Some(999), true), (Some(1060), true), (Some(1061), false)] {
            assert_eq!(Note::Starts(1000).is_of(42, began), ours, "{began:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for note in [Note::Starts(1_796_000_000), Note::Runs(42)] {
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        for nothing in ["", "starts at noon", "-1"] {
            assert_eq!(Note::parse(nothing), None);
        }
    }
}
