//! Testimony: how long ago an earlier leader can have granted its last lease (the B of S5).
//!
//! A lease is granted only upon a read index round, and a round needs the answers of a quorum. So whoever becomes leader asks the voters how
//! long ago they last answered such a round of a leader before it. Any quorum of answers shares a voter with the quorum of every earlier
//! round, so no earlier grant can be younger than the youngest answer within one quorum, and the quorum may be the one that suits best.
//!
//! A voter may testify only once its log holds the asker's term durably. Otherwise it could testify, lose the term in a crash, and then
//! answer a delayed round of the old leader after all, which its testimony denies.

use super::SnapshotImage;
use crate::machine::Timestamp;
use crate::model::LeaseTiming;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A voter's memory of the rounds that it answered.
#[derive(Debug)]
pub(super) struct Memory {
    /// The latest term whose leader was answered, and when.
    latest: (u64, Timestamp),
    /// When a leader of any term before that was answered last.
    earlier: Timestamp,
}

impl Memory {
    /// A process that has just begun knows nothing of what the one before it answered, except that it was before.
    pub(super) const fn new(started: Timestamp) -> Self {
        Self { latest: (0, started), earlier: started }
    }

    /// This node answers a round of the leader of that term now.
    pub(super) fn answered(&mut self, now: Timestamp, term: u64) {
        if term > self.latest.0 {
            self.earlier = self.latest.1;
        }
        if term >= self.latest.0 {
            self.latest = (term, now);
        }
    }

    /// When a leader of a term before this one was answered last, at the latest.
    pub(super) fn before(&self, term: u64) -> Timestamp {
        if self.latest.0 < term { self.latest.1 } else { self.earlier }
    }
}

/// What a leader has gathered in its term.
#[derive(Debug)]
pub(super) struct Testimonies {
    /// When it became leader: that B holds without any testimony.
    since: Timestamp,
    /// For each voter that answered, the instant on our clock before which it last answered an earlier leader.
    bases: BTreeMap<u64, Timestamp>,
    asked_at: Option<Timestamp>,
}

impl Testimonies {
    /// Our own memory is the first testimony, and an exact one.
    pub(super) fn new(since: Timestamp, own: u64, memory: Timestamp) -> Self {
        Self { since, bases: BTreeMap::from([(own, memory.min(since))]), asked_at: None }
    }

    /// A voter says that it last answered an earlier leader so long ago.
    pub(super) fn heard(&mut self, now: Timestamp, voter: u64, age: Duration, timing: &LeaseTiming) {
        let base = now - timing.least_elapsed(age);
        let best = self.bases.entry(voter).or_insert(base);
        *best = base.min(*best);
    }

    /// B: the last instant at which an earlier leader's grant can have been noted.
    pub(super) fn base(&self, membership: &SnapshotImage) -> Timestamp {
        let half = |voters: &[u64]| self.base_of(voters);
        half(&membership.voters).max(half(&membership.voters_outgoing)).min(self.since)
    }

    /// The youngest answer within the quorum of oldest answers. A half of no voters, as there is outside of a joint membership, asks nothing.
    fn base_of(&self, voters: &[u64]) -> Timestamp {
        let mut bases: Vec<Timestamp> = voters.iter().map(|voter| self.bases.get(voter).copied().unwrap_or(self.since)).collect();
        bases.sort_unstable();
        if bases.is_empty() { Timestamp::default() } else { bases[bases.len() / 2] }
    }

    /// Whom to ask now, if it is time to ask again and an answer could still help.
    pub(super) fn whom_to_ask(&mut self, now: Timestamp, membership: &SnapshotImage, timing: &LeaseTiming) -> Vec<u64> {
        const PAUSE: Duration = Duration::from_millis(100);
        if self.asked_at.is_some_and(|at| now.since(at) < PAUSE) || now.since(self.since) >= timing.wait() {
            return Vec::new();
        }
        self.asked_at = Some(now);
        let mut silent: Vec<u64> = membership.voters.iter().chain(&membership.voters_outgoing).copied().collect();
        silent.sort_unstable();
        silent.dedup();
        silent.retain(|voter| !self.bases.contains_key(voter));
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClusterState, Settings};

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    fn membership(voters: &[u64], outgoing: &[u64]) -> SnapshotImage {
        SnapshotImage {
            index: 1,
            term: 1,
            voters: voters.into(),
            learners: Vec::new(),
            voters_outgoing: outgoing.into(),
            learners_next: Vec::new(),
            auto_leave: false,
            state: ClusterState::born("c".into(), BTreeMap::new(), Settings::default()),
        }
    }

    /// A clock without error makes the arithmetic visible.
    const EXACT: LeaseTiming = LeaseTiming { ttl: Duration::from_secs(3), kill_margin: Duration::ZERO, rho_ppm: 0 };

    #[test]
    fn a_voter_remembers_its_last_answer_to_an_earlier_leader() {
        let mut memory = Memory::new(at(10));
        assert_eq!(memory.before(5), at(10), "a process that has just begun may have answered until then");
        memory.answered(at(20), 3);
        memory.answered(at(30), 3);
        assert_eq!((memory.before(4), memory.before(3)), (at(30), at(10)));
        memory.answered(at(40), 4);
        assert_eq!((memory.before(5), memory.before(4)), (at(40), at(30)));
        memory.answered(at(50), 3);
        assert_eq!(memory.before(5), at(40), "an answer to a leader of the past is none that anybody counts");
    }

    #[test]
    fn nobody_is_believed_before_a_quorum_has_spoken() {
        let voters = membership(&[1, 2, 3], &[]);
        let mut testimonies = Testimonies::new(at(9000), 1, at(9000));
        assert_eq!(testimonies.base(&voters), at(9000));
        testimonies.heard(at(9010), 2, Duration::from_millis(5010), &EXACT);
        assert_eq!(testimonies.base(&voters), at(9000), "our own memory is of this instant");
        testimonies.heard(at(9020), 3, Duration::from_millis(3020), &EXACT);
        assert_eq!(testimonies.base(&voters), at(6000), "the younger one of the best two");
    }

    #[test]
    fn both_halves_of_a_joint_membership_must_have_a_quorum() {
        let mut testimonies = Testimonies::new(at(9000), 1, at(1000));
        testimonies.heard(at(9000), 2, Duration::from_millis(8000), &EXACT);
        assert_eq!(testimonies.base(&membership(&[1, 2, 3], &[])), at(1000));
        assert_eq!(testimonies.base(&membership(&[1, 2, 3], &[1, 4, 5])), at(9000), "of 4 and 5 nothing is known");
    }

    #[test]
    fn a_slow_clock_is_not_believed_beyond_its_error() {
        let mut testimonies = Testimonies::new(at(9000), 1, at(9000));
        let timing = LeaseTiming::default();
        testimonies.heard(at(9000), 2, Duration::from_millis(1010), &timing);
        assert!(testimonies.bases[&2] >= at(9000 - 990));
    }

    #[test]
    fn only_the_silent_are_asked_again_and_not_for_ever() {
        let voters = membership(&[1, 2, 3], &[]);
        let mut testimonies = Testimonies::new(at(1000), 1, at(1000));
        assert_eq!(testimonies.whom_to_ask(at(1000), &voters, &EXACT), [2, 3]);
        testimonies.heard(at(1010), 3, Duration::ZERO, &EXACT);
        assert!(testimonies.whom_to_ask(at(1050), &voters, &EXACT).is_empty(), "too soon");
        assert_eq!(testimonies.whom_to_ask(at(1100), &voters, &EXACT), [2]);
        assert!(testimonies.whom_to_ask(at(4000), &voters, &EXACT).is_empty(), "W is over");
    }
}
