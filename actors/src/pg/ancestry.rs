//! Which history a database has, and whether another's history goes on from it.

use crate::model::{Lsn, Position, Promotion, Timeline};
use alloc::vec::Vec;

/// How a timeline came to be: the timelines before it, oldest first, each with the position at which it was left for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestry {
    ancestors: Vec<Position>,
    timeline: Timeline,
}

/// A `.history` file is not what PostgreSQL writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history of timeline {timeline} is not `timeline, position, reason`")]
pub struct NotAHistory {
    /// Of which timeline.
    pub timeline: Timeline,
    /// From one.
    pub line: usize,
}

/// How one's own log relates to that of a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The primary's history contains all of it: a plain start as a standby catches up.
    Prefix,
    /// It goes on past the point where the primary's history went another way.
    Diverged {
        /// The last common timeline, and where the two parted on it.
        fork: Position,
    },
    /// The same, on a timeline that has the number and the beginning of one of the primary's and is another: two nodes were promoted at the
    /// same position, and neither knew of the other; or one database wrote twice from the same state, as a copy of its disk or a standby that
    /// was once started without its signal file. The histories do not show it, so `pg_rewind` takes the two for one.
    Twin {
        /// The last common timeline, and where the two parted on it.
        fork: Position,
    },
    /// They have not even the first timeline in common.
    Unrelated,
}

/// A timeline that two histories name alike. Whether it is one and the same, only its log can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namesake {
    /// The number.
    pub timeline: Timeline,
    /// The timeline before it, and where that was left.
    pub fork: Position,
    /// So far both have it.
    pub end: Lsn,
}

impl Ancestry {
    /// The history of a timeline that no other came before (it has no file).
    #[must_use]
    pub const fn first(timeline: Timeline) -> Self {
        Self { ancestors: Vec::new(), timeline }
    }

    /// Reads a `.history` file.
    ///
    /// # Errors
    /// A line is malformed, or the timelines do not increase.
    pub fn parse(timeline: Timeline, text: &str) -> Result<Self, NotAHistory> {
        let mut ancestors: Vec<Position> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_start = line.trim_start();
            if line_start.is_empty() || line_start.starts_with('#') {
                continue;
            }
            let bad = NotAHistory { timeline, line: index + 1 };
            let mut words = line_start.split_whitespace();
            let (Some(number), Some(lsn)) = (words.next(), words.next()) else { return Err(bad) };
            let (Ok(number), Ok(lsn)) = (number.parse::<u32>(), lsn.parse::<Lsn>()) else { return Err(bad) };
            if number >= timeline.0 || ancestors.last().is_some_and(|last| last.timeline.0 >= number) {
                return Err(bad);
            }
            ancestors.push(Position { timeline: Timeline(number), lsn });
        }
        Ok(Self { ancestors, timeline })
    }

    /// The timeline that this is the history of.
    #[must_use]
    pub const fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// That timeline and those that came after it here.
    pub fn from(&self, timeline: Timeline) -> impl Iterator<Item = Timeline> {
        let all = self.ancestors.iter().map(|ancestor| ancestor.timeline).chain([self.timeline]);
        all.skip_while(move |other| *other != timeline)
    }

    /// Where the timeline began: the first one at the beginning of the log.
    #[must_use]
    pub fn began_at(&self) -> Lsn {
        self.ancestors.last().map_or(Lsn(0), |parent| parent.lsn)
    }

    /// All of it as promotions, oldest first: the first timeline began at the beginning of the log, and each one after it where its parent was left.
    #[must_use]
    pub fn promotions(&self) -> Vec<Promotion> {
        let began = [Lsn(0)].into_iter().chain(self.ancestors.iter().map(|parent| parent.lsn));
        let timelines = self.ancestors.iter().map(|ancestor| ancestor.timeline).chain([self.timeline]);
        timelines.zip(began).map(|(timeline, lsn)| Promotion { timeline, lsn, mark: None }).collect()
    }

    /// Where `timeline` was left on the way here. None: it is not an ancestor.
    #[must_use]
    pub fn left_at(&self, timeline: Timeline) -> Option<Lsn> {
        self.ancestors.iter().find(|ancestor| ancestor.timeline == timeline).map(|ancestor| ancestor.lsn)
    }

    /// The timelines that were promoted to in both histories under the same number and from the same position, the newest first.
    #[must_use]
    pub fn namesakes(&self, end: Lsn, primary: &Self, written: Lsn) -> Vec<Namesake> {
        let (own, theirs) = (self.stretches(end), primary.stretches(written));
        let common = common(&own, &theirs);
        // Each ancestor is the fork of the timeline after it; the first timeline has none.
        let promoted = own.iter().zip(&theirs).skip(1).zip(&self.ancestors).take(common.saturating_sub(1));
        let named = promoted.map(|((mine, other), fork)| Namesake { timeline: mine.timeline, fork: *fork, end: mine.end.min(other.end) });
        let mut named: Vec<Namesake> = named.collect();
        named.reverse();
        named
    }

    /// How a log with this history that ends at `end` relates to the primary's, which had written up to `written` when it was asked after that end
    /// was known. A copy has nothing that its primary has not written, so what goes on past that on the primary's own timeline is another
    /// history, though no number shows it.
    #[must_use]
    pub fn relate(&self, end: Lsn, primary: &Self, written: Lsn) -> Relation {
        let own = self.stretches(end);
        let theirs = primary.stretches(written);
        let Some(last) = common(&own, &theirs).checked_sub(1) else { return Relation::Unrelated };
        let fork = Position { timeline: own[last].timeline, lsn: own[last].end.min(theirs[last].end) };
        if last + 1 == theirs.len() && own[last].end > written {
            Relation::Twin { fork }
        } else if last + 1 == own.len() && end <= theirs[last].end {
            Relation::Prefix
        } else {
            Relation::Diverged { fork }
        }
    }

    /// On which timeline the log right before that position lies.
    #[must_use]
    pub fn before(&self, lsn: Lsn) -> Timeline {
        self.ancestors.iter().find(|ancestor| ancestor.lsn >= lsn).map_or(self.timeline, |ancestor| ancestor.timeline)
    }

    /// Where a timeline began on the way here. None: it is not part of this history.
    #[must_use]
    pub fn began(&self, timeline: Timeline) -> Option<Lsn> {
        self.promotions().into_iter().find(|promotion| promotion.timeline == timeline).map(|promotion| promotion.lsn)
    }

    fn stretches(&self, end: Lsn) -> Vec<Stretch> {
        let mut begin = Lsn(0);
        let mut stretches = Vec::new();
        for ancestor in &self.ancestors {
            stretches.push(Stretch { timeline: ancestor.timeline, begin, end: ancestor.lsn });
            begin = ancestor.lsn;
        }
        stretches.push(Stretch { timeline: self.timeline, begin, end });
        stretches
    }
}

/// How many parts from the beginning are named alike.
fn common(own: &[Stretch], theirs: &[Stretch]) -> usize {
    own.iter().zip(theirs).take_while(|(mine, other)| mine.timeline == other.timeline && mine.begin == other.begin).count()
}

/// A part of the log that was written on one timeline.
struct Stretch {
    timeline: Timeline,
    begin: Lsn,
    end: Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timeline 3, which left timeline 1 at 0x100 for 2, and that at 0x200.
    fn third() -> Ancestry {
        Ancestry::parse(Timeline(3), "1\t0/100\tno recovery target specified\n\n2\t0/200\tno recovery target specified\n")
            .expect("well-formed")
    }

    fn diverged(timeline: u32, lsn: u64) -> Relation {
        Relation::Diverged { fork: Position { timeline: Timeline(timeline), lsn: Lsn(lsn) } }
    }

    #[test]
    fn each_timeline_began_where_the_one_before_it_was_left() {
        let promotions = third().promotions().into_iter().map(|promotion| (promotion.timeline.0, promotion.lsn.0));
        assert_eq!(promotions.collect::<Vec<_>>(), [(1, 0), (2, 0x100), (3, 0x200)]);
    }

    /// Far beyond everything.
    const FAR: Lsn = Lsn(0x1_0000);

    #[test]
    fn a_log_that_ends_before_the_primary_went_another_way_is_a_prefix() {
        let first = Ancestry::first(Timeline(1));
        assert_eq!(first.relate(Lsn(0x80), &third(), FAR), Relation::Prefix);
        assert_eq!(first.relate(Lsn(0x100), &third(), FAR), Relation::Prefix, "to the byte");
        assert_eq!(first.relate(Lsn(0x108), &third(), FAR), diverged(1, 0x100));
        assert_eq!(first.relate(Lsn(0x900), &Ancestry::first(Timeline(1)), FAR), Relation::Prefix, "the primary has written more");
    }

    #[test]
    fn a_log_that_goes_on_where_the_primary_has_written_nothing_is_another_history() {
        let first = Ancestry::first(Timeline(1));
        let twin = |timeline: u32, lsn: u64| Relation::Twin { fork: Position { timeline: Timeline(timeline), lsn: Lsn(lsn) } };
        assert_eq!(first.relate(Lsn(0x900), &first, Lsn(0x900)), Relation::Prefix, "to the byte");
        assert_eq!(first.relate(Lsn(0x908), &first, Lsn(0x900)), twin(1, 0x900));
        assert_eq!(third().relate(Lsn(0x308), &third(), Lsn(0x300)), twin(3, 0x300));
        assert_eq!(first.relate(Lsn(0x80), &third(), Lsn(0x300)), Relation::Prefix, "an earlier timeline ends where it was left");
        // It was promoted where the primary has never been: what it had before that is not the primary's either.
        assert_eq!(third().relate(Lsn(0x300), &first, Lsn(0x80)), twin(1, 0x80));
        assert_eq!(third().relate(Lsn(0x300), &first, Lsn(0x100)), diverged(1, 0x100));
    }

    #[test]
    fn a_log_on_a_timeline_that_the_primary_never_had_diverged_where_they_parted() {
        // Another promotion from timeline 1: number 2 as well, but from elsewhere.
        let other_second = Ancestry::parse(Timeline(2), "1 0/180 because").expect("well-formed");
        assert_eq!(other_second.relate(Lsn(0x190), &third(), FAR), diverged(1, 0x100));
        // The primary is the one that stayed behind.
        assert_eq!(third().relate(Lsn(0x300), &Ancestry::first(Timeline(1)), FAR), diverged(1, 0x100));
        // A later timeline of one's own, from the middle of theirs.
        let fourth = Ancestry::parse(Timeline(4), "1 0/100 x\n2 0/150 x").expect("well-formed");
        assert_eq!(fourth.relate(Lsn(0x160), &third(), FAR), diverged(2, 0x150));
    }

    #[test]
    fn timelines_that_two_histories_name_alike_are_told_with_their_forks() {
        let fork = |timeline: u32, lsn: u64| Position { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        let named = |timeline: u32, from: Position, end: u64| Namesake { timeline: Timeline(timeline), fork: from, end: Lsn(end) };
        assert_eq!(Ancestry::first(Timeline(1)).namesakes(Lsn(0x900), &third(), FAR), [], "the first one is never promoted to");
        let second = Ancestry::parse(Timeline(2), "1 0/100 x").expect("well-formed");
        assert_eq!(second.namesakes(Lsn(0x180), &third(), FAR), [named(2, fork(1, 0x100), 0x180)]);
        assert_eq!(second.namesakes(Lsn(0x900), &third(), FAR), [named(2, fork(1, 0x100), 0x200)], "the primary left it sooner");
        assert_eq!(third().namesakes(Lsn(0x300), &third(), FAR), [named(3, fork(2, 0x200), 0x300), named(2, fork(1, 0x100), 0x200)]);
        let elsewhere = Ancestry::parse(Timeline(2), "1 0/180 x").expect("well-formed");
        assert_eq!(elsewhere.namesakes(Lsn(0x300), &third(), FAR), []);
    }

    #[test]
    fn databases_without_a_common_beginning_are_unrelated() {
        assert_eq!(Ancestry::first(Timeline(5)).relate(Lsn(1), &third(), FAR), Relation::Unrelated);
    }

    #[test]
    fn a_history_says_where_its_timeline_began_and_a_malformed_one_is_refused() {
        assert_eq!(third().began_at(), Lsn(0x200));
        assert_eq!(third().left_at(Timeline(1)), Some(Lsn(0x100)));
        for bad in ["x 0/1 y", "1 nonsense y", "3 0/1 y", "2 0/1 y\n1 0/2 y", "1"] {
            assert!(Ancestry::parse(Timeline(3), bad).is_err(), "{bad}");
        }
    }
}
