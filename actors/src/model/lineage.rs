//! Where the timelines of the database come from, and whether another database is a part of that history.
//!
//! Timelines are numbered, and two nodes that are promoted without knowing of each other give theirs the same number, perhaps from the same
//! position. What tells such twins apart is the first record of each: it holds the time of its promotion.

use super::{ClusterState, Lsn, Position, Timeline};
use serde::{Deserialize, Serialize};

/// How many promotions are remembered and told. By older ones nobody is judged.
pub const LINEAGE_MAX: usize = 64;

/// A database began a timeline: it was promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// This timeline.
    pub timeline: Timeline,
    /// Which began here.
    pub lsn: Lsn,
    /// The checksum of its first record. None: there is none yet, or it can no longer be read and was not noted.
    pub mark: Option<u32>,
}

impl Promotion {
    /// Whether the two are one, as far as can be told.
    #[must_use]
    pub fn may_be(self, other: Self) -> bool {
        let marked_alike = self.mark.is_none() || other.mark.is_none() || self.mark == other.mark;
        self.timeline == other.timeline && self.lsn == other.lsn && marked_alike
    }
}

impl ClusterState {
    /// Whether a database that is at `position` has only written what the committed history has, too: for every promotion to a later
    /// timeline, it stopped before that timeline began.
    #[must_use]
    pub fn is_prefix(&self, position: Position) -> bool {
        self.lineage.iter().filter(|promotion| promotion.timeline > position.timeline).all(|promotion| position.lsn <= promotion.lsn)
    }

    /// Whether a database that is at `position` and has that history is a part of the committed history, or goes on from its end. Where the
    /// history is not known (it is empty), the timeline's number has to do.
    #[must_use]
    pub fn is_in_line(&self, position: Position, history: &[Promotion]) -> bool {
        // A timeline of which it has nothing says nothing of it.
        let written = history.iter().rposition(|own| own.lsn < position.lsn).map_or(0, |last| last + 1);
        let (history, unwritten) = history.split_at(written);
        let timeline = history.last().filter(|_| !unwritten.is_empty()).map_or(position.timeline, |last| last.timeline);
        let position = Position { timeline, ..position };
        let known = if history.is_empty() {
            self.admits(position.timeline, None, history)
        } else {
            history.iter().all(|own| self.admits(own.timeline, Some(*own), history))
        };
        known && self.is_prefix(position)
    }

    /// Whether a timeline of that history is one of the committed history's, or one that came after all of those and may be the primary's.
    fn admits(&self, timeline: Timeline, own: Option<Promotion>, history: &[Promotion]) -> bool {
        if let Some(committed) = self.lineage.iter().find(|committed| committed.timeline == timeline) {
            return own.is_none_or(|own| own.may_be(*committed));
        }
        let (Some(oldest), Some(newest)) = (self.lineage.front(), self.lineage.back()) else { return true };
        // The appointed node may have begun it and not told yet; or else the primary has begun another since.
        let untold = self.primary.as_ref().is_none_or(|primary| primary.promoted.is_none());
        let goes_on = || history.iter().any(|own| own.may_be(*newest));
        timeline < oldest.timeline || timeline > newest.timeline && (untold || goes_on())
    }

    /// The primary tells its history, which ends with its own promotion: the database's own word, and all of it. It may have been promoted twice
    /// before it could tell, or beside a timeline that it never heard of.
    pub fn learn_promotion(&mut self, told: &[Promotion]) {
        if let Some(primary) = &mut self.primary {
            primary.promoted = told.last().copied();
        }
        self.learn_lineage(told);
    }

    /// A history takes the place of the one before. What can no longer be read of it stays as it was told before.
    pub fn learn_lineage(&mut self, told: &[Promotion]) {
        let known = |promotion: &Promotion| self.lineage.iter().find(|known| known.may_be(*promotion)).and_then(|known| known.mark);
        let newest = told.iter().skip(told.len().saturating_sub(LINEAGE_MAX));
        self.lineage = newest.map(|promotion| Promotion { mark: promotion.mark.or_else(|| known(promotion)), ..*promotion }).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, NodeId, Primary, Settings, WallClock};
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    fn history(line: &[(u32, u64, Option<u32>)]) -> Vec<Promotion> {
        line.iter().map(|(timeline, lsn, mark)| Promotion { timeline: Timeline(*timeline), lsn: Lsn(*lsn), mark: *mark }).collect()
    }

    /// Node 1 is the primary of a cluster whose committed history that is. `told`: its last promotion is its own.
    fn committed(line: &[(u32, u64, Option<u32>)], told: bool) -> ClusterState {
        let mut state = ClusterState::born("c".into(), BTreeMap::new(), Settings::default());
        state.learn_lineage(&history(line));
        let promoted = state.lineage.back().copied().filter(|_| told);
        state.primary =
            Some(Primary { node: NodeId(1), epoch: Epoch(1), appointed_at: WallClock(0), was_at: None, promoted, released: None });
        state
    }

    const fn at(timeline: u32, lsn: u64) -> Position {
        Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    #[test]
    fn a_twin_of_a_timeline_is_told_by_its_first_record() {
        let state = committed(&[(1, 0, None), (2, 100, Some(7))], true);
        assert!(state.is_in_line(at(2, 150), &history(&[(1, 0, None), (2, 100, Some(7))])));
        assert!(!state.is_in_line(at(2, 150), &history(&[(1, 0, None), (2, 100, Some(8))])), "a twin");
        assert!(!state.is_in_line(at(2, 150), &history(&[(1, 0, None), (2, 90, None)])), "it began elsewhere");
        assert!(state.is_in_line(at(2, 150), &history(&[(1, 0, None), (2, 100, None)])), "its first record is not there any more");
        assert!(state.is_in_line(at(2, 150), &[]), "nothing is known of it");
    }

    #[test]
    fn a_child_of_a_twin_is_as_foreign_as_the_twin() {
        let state = committed(&[(1, 0, None), (2, 100, Some(7))], false);
        assert!(state.is_in_line(at(3, 150), &history(&[(1, 0, None), (2, 100, Some(7)), (3, 140, Some(9))])));
        assert!(!state.is_in_line(at(3, 150), &history(&[(1, 0, None), (2, 100, Some(8)), (3, 140, Some(9))])));
    }

    #[test]
    fn beyond_the_committed_history_counts_only_what_may_be_the_primarys() {
        let line = [(1, 0, None), (2, 100, Some(7))];
        let (child, other) = (history(&[(1, 0, None), (2, 100, Some(7)), (3, 140, Some(9))]), history(&[(1, 0, None), (3, 90, Some(9))]));
        assert!(committed(&line, true).is_in_line(at(3, 150), &child), "it was promoted twice in its epoch");
        assert!(!committed(&line, true).is_in_line(at(3, 150), &other), "a branch that was given up");
        assert!(!committed(&line, true).is_in_line(at(3, 150), &[]));
        assert!(committed(&line, false).is_in_line(at(3, 150), &other), "nobody knows yet where the appointed node goes on from");
    }

    #[test]
    fn a_timeline_that_the_present_one_does_not_come_from_is_a_branch_that_was_given_up() {
        let state = committed(&[(1, 0, None), (3, 100, Some(7))], false);
        assert!(!state.is_in_line(at(2, 90), &history(&[(1, 0, None), (2, 80, Some(8))])));
        assert!(!state.is_in_line(at(2, 90), &[]));
        assert!(state.is_in_line(at(1, 90), &history(&[(1, 0, None)])));
    }

    #[test]
    fn a_timeline_that_was_begun_and_never_written_on_is_none() {
        let state = committed(&[(1, 0, None), (2, 100, Some(7))], true);
        assert!(state.is_in_line(at(2, 90), &history(&[(1, 0, None), (2, 90, None)])), "all that it has is of the first");
        assert!(!state.is_in_line(at(2, 110), &history(&[(1, 0, None), (2, 110, None)])), "the first one was left before");
    }

    #[test]
    fn a_history_longer_than_what_is_remembered_is_no_reason_to_refuse() {
        let long: Vec<_> = (1..=70).map(|number| (number, u64::from(number) * 10, Some(number))).collect();
        let state = committed(&long, true);
        assert_eq!(state.lineage.len(), LINEAGE_MAX);
        assert!(state.is_in_line(at(70, 900), &history(&long)));
    }

    #[test]
    fn what_a_primary_can_no_longer_read_stays_as_it_was_told() {
        let mut state = committed(&[(1, 0, None), (2, 100, Some(7))], true);
        state.learn_lineage(&history(&[(1, 0, None), (2, 100, None), (3, 200, Some(9))]));
        assert_eq!(state.lineage, history(&[(1, 0, None), (2, 100, Some(7)), (3, 200, Some(9))]));
        state.learn_lineage(&history(&[(1, 0, None), (2, 110, None), (3, 200, Some(9))]));
        assert_eq!(state.lineage, history(&[(1, 0, None), (2, 110, None), (3, 200, Some(9))]), "another timeline 2");
    }
}
