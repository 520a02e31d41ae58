//! The granter's half of the lease (S4), for one term of one leader.
//!
//! A request is *noted* with the instant at which it came, confirmed by a read index round that begins after that instant, and granted once
//! the log is applied up to the index which the round returned. Whoever replaces a primary waits W from the last noted instant: a lease
//! counts from the sending of its request, which lies before the instant at which the request came.

use crate::machine::Timestamp;
use crate::model::{Epoch, LeaseRequest, NodeId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Requests that wait for their confirmation. A holder asks again twice a second, so more than a few means that nothing is confirmed.
const WAITING_MAX: usize = 32;

/// What a leader remembers of the requests of its term.
#[derive(Debug)]
pub(super) struct Grants {
    /// The term, which is part of every context: an answer to an earlier term's round confirms nothing.
    term: u64,
    /// How many rounds were begun.
    rounds: u64,
    /// When the last request that was not refused came, and for whom. One is enough: S5 was obeyed before a later epoch could begin.
    noted: Option<Noted>,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    holder: (NodeId, Epoch),
    at: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    request: LeaseRequest,
    origin: NodeId,
    round: u64,
    deadline: Timestamp,
    /// The index up to which the log must be applied, once the round is confirmed.
    confirmed: Option<u64>,
}

impl Grants {
    pub(super) fn new(term: u64) -> Self {
        Self { term, rounds: 0, noted: None, waiting: VecDeque::new() }
    }

    /// Notes a request of the present holder that came now, and answers the context under which to confirm it.
    pub(super) fn note(&mut self, now: Timestamp, origin: NodeId, request: LeaseRequest, patience: Duration) -> Vec<u8> {
        self.noted = Some(Noted { holder: (request.node, request.epoch), at: now });
        self.waiting.retain(|waiting| waiting.deadline > now);
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.rounds += 1;
        self.waiting.push_back(Waiting { request, origin, round: self.rounds, deadline: now + patience, confirmed: None });
        context(self.term, self.rounds)
    }

    /// A read index round of ours was answered by a quorum.
    pub(super) fn confirm(&mut self, context: &[u8], index: u64) {
        let term = self.term;
        for waiting in &mut self.waiting {
            if waiting.confirmed.is_none() && self::context(term, waiting.round) == context {
                waiting.confirmed = Some(index);
            }
        }
    }

    /// Takes out the confirmed requests whose index is applied. The caller looks at the applied state before it grants them.
    pub(super) fn take_due(&mut self, applied: u64) -> Vec<(NodeId, LeaseRequest)> {
        let mut due = Vec::new();
        self.waiting.retain(|waiting| {
            let is_due = waiting.confirmed.is_some_and(|index| index <= applied);
            if is_due {
                due.push((waiting.origin, waiting.request));
            }
            !is_due
        });
        due
    }

    /// The last instant r of S5 for this holder, if it asked in this term.
    pub(super) fn last_noted(&self, holder: (NodeId, Epoch)) -> Option<Timestamp> {
        self.noted.filter(|noted| noted.holder == holder).map(|noted| noted.at)
    }
}

/// Unique in the cluster: a term has one leader, and a leader numbers its rounds.
fn context(term: u64, round: u64) -> Vec<u8> {
    [term.to_be_bytes(), round.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Boot;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn request(seq: u64) -> LeaseRequest {
        LeaseRequest { node: NodeId(1), epoch: Epoch(4), boot: Boot(7), seq }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_request_is_due_only_when_confirmed_and_applied() {
        let mut grants = Grants::new(9);
        let context = grants.note(at(1), NodeId(1), request(1), PATIENCE);
        assert!(grants.take_due(100).is_empty(), "not confirmed");
        grants.confirm(&context, 50);
        assert!(grants.take_due(49).is_empty(), "not applied");
        assert_eq!(grants.take_due(50), [(NodeId(1), request(1))]);
        assert!(grants.take_due(50).is_empty(), "granted once");
    }

    #[test]
    fn a_round_confirms_only_the_request_that_it_was_begun_for() {
        let mut grants = Grants::new(9);
        let context = grants.note(at(1), NodeId(1), request(1), PATIENCE);
        grants.note(at(2), NodeId(1), request(2), PATIENCE);
        grants.confirm(&context, 50);
        assert_eq!(grants.take_due(50), [(NodeId(1), request(1))], "the second came after the round began");
    }

    #[test]
    fn another_terms_round_confirms_nothing() {
        let mut grants = Grants::new(9);
        grants.note(at(1), NodeId(1), request(1), PATIENCE);
        grants.confirm(&context(8, 1), 1);
        assert!(grants.take_due(100).is_empty());
    }

    #[test]
    fn a_flood_of_requests_is_bounded_and_the_last_instant_counts() {
        let mut grants = Grants::new(9);
        for second in 0..1000 {
            grants.note(at(second), NodeId(1), request(second), Duration::from_secs(10_000));
        }
        assert_eq!(grants.waiting.len(), WAITING_MAX);
        assert_eq!(grants.last_noted((NodeId(1), Epoch(4))), Some(at(999)));
        assert_eq!(grants.last_noted((NodeId(1), Epoch(3))), None);
    }
}
