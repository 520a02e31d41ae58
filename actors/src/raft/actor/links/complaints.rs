//! One log line for each reason and peer, and then at most one a minute: a peer that dials twice a second must not fill the log.

use crate::machine::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

const QUIET: Duration = Duration::from_secs(60);
/// So many reasons and peers are remembered; what comes on top within a minute is not logged, since strangers can make up as many as they like.
const REMEMBERED_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: BTreeMap<(String, String), Timestamp>,
}

impl Complaints {
    /// Whether this reason is to be logged for this peer now.
    pub(super) fn is_due(&mut self, now: Timestamp, peer: &str, code: &str) -> bool {
        self.last.retain(|_, logged| now.since(*logged) < QUIET);
        let key = (peer.to_owned(), code.to_owned());
        let due = !self.last.contains_key(&key) && self.last.len() < REMEMBERED_MAX;
        if due {
            self.last.insert(key, now);
        }
        due
    }

    /// All is well with this peer: the next trouble is news.
    pub(super) fn forget(&mut self, peer: &str) {
        self.last.retain(|(of, _), _| of != peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_reason_is_logged_once_a_minute_and_peer() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_due(at(0), "node 2", "token"));
        assert!((1..60).all(|second| !complaints.is_due(at(second), "node 2", "token")));
        assert!(complaints.is_due(at(5), "node 2", "cluster") && complaints.is_due(at(5), "node 3", "token"));
        assert!(complaints.is_due(at(60), "node 2", "token"));
    }

    #[test]
    fn trouble_after_a_good_time_is_news() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_due(at(0), "node 2", "broken") && complaints.is_due(at(0), "node 3", "broken"));
        complaints.forget("node 2");
        assert!(complaints.is_due(at(1), "node 2", "broken") && !complaints.is_due(at(1), "node 3", "broken"));
    }

    #[test]
    fn made_up_peers_fill_neither_the_memory_nor_the_log() {
        let mut complaints = Complaints::default();
        let logged = (0..10_000).filter(|peer| complaints.is_due(at(0), &peer.to_string(), "token")).count();
        assert_eq!((logged, complaints.last.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(complaints.is_due(at(60), "node 2", "token"));
    }
}
