//! One log line for each reason and peer, and then at most one a minute: a peer that dials twice a second must not fill the log.

use crate::machine::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(60);
/// So many reasons and peers are remembered; what comes on top within a minute is not logged.
const REMEMBERED_MAX: usize = 256;
/// So many of strangers, who can make up as many addresses as they like: they must not silence what is said of a peer.
const STRANGERS_MAX: usize = 64;

/// Whom a complaint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About<'a> {
    /// A node that we dial, or that has proved who it is.
    Peer(&'a str),
    /// Whoever connects, by its address.
    Stranger(&'a str),
}

impl About<'_> {
    pub(super) const fn name(&self) -> &str {
        match self {
            Self::Peer(name) | Self::Stranger(name) => name,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Complaints {
    peers: Logged,
    strangers: Logged,
}

type Logged = BTreeMap<(String, String), Timestamp>;

impl Complaints {
    /// Whether this reason is to be logged now.
    pub(super) fn is_due(&mut self, now: Timestamp, about: About<'_>, code: &str) -> bool {
        let (last, max) = match about {
            About::Peer(_) => (&mut self.peers, REMEMBERED_MAX),
            About::Stranger(_) => (&mut self.strangers, STRANGERS_MAX),
        };
        last.retain(|_, logged| now.since(*logged) < QUIET);
        let key = (about.name().to_owned(), code.to_owned());
        let due = !last.contains_key(&key) && last.len() < max;
        if due {
            last.insert(key, now);
        }
        due
    }

    /// All is well with this peer: the next trouble is news.
    pub(super) fn forget(&mut self, peer: &str) {
        self.peers.retain(|(of, _), _| of != peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    const TWO: About<'_> = About::Peer("node 2");
    const THREE: About<'_> = About::Peer("node 3");

    #[test]
    fn a_reason_is_logged_once_a_minute_and_peer() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_due(at(0), TWO, "token"));
        assert!((1..60).all(|second| !complaints.is_due(at(second), TWO, "token")));
        assert!(complaints.is_due(at(5), TWO, "cluster") && complaints.is_due(at(5), THREE, "token"));
        assert!(complaints.is_due(at(60), TWO, "token"));
    }

    #[test]
    fn trouble_after_a_good_time_is_news() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_due(at(0), TWO, "broken") && complaints.is_due(at(0), THREE, "broken"));
        complaints.forget("node 2");
        assert!(complaints.is_due(at(1), TWO, "broken") && !complaints.is_due(at(1), THREE, "broken"));
    }

    #[test]
    fn made_up_strangers_fill_neither_the_memory_nor_the_log_and_silence_no_peer() {
        let mut complaints = Complaints::default();
        let logged = (0..10_000).filter(|n: &u32| complaints.is_due(at(0), About::Stranger(&n.to_string()), "token")).count();
        assert_eq!((logged, complaints.strangers.len()), (STRANGERS_MAX, STRANGERS_MAX));
        assert!(complaints.is_due(at(0), TWO, "token"), "a peer's trouble is still told");
        assert!(complaints.is_due(at(60), About::Stranger("node 2"), "token"));
    }
}
