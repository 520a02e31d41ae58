//! Which history a database has, and whether another's history goes on from it.

use crate::model::{Lsn, Position, Timeline};
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
    /// They have not even the first timeline in common.
    Unrelated,
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

    /// Where the timeline began: the first one at the beginning of the log.
    #[must_use]
    pub fn began_at(&self) -> Lsn {
        self.ancestors.last().map_or(Lsn(0), |parent| parent.lsn)
    }

    /// Where `timeline` was left on the way here. None: it is not an ancestor.
    #[must_use]
    pub fn left_at(&self, timeline: Timeline) -> Option<Lsn> {
        self.ancestors.iter().find(|ancestor| ancestor.timeline == timeline).map(|ancestor| ancestor.lsn)
    }

    /// How a log with this history that ends at `end` relates to the primary's history. The primary's last timeline has no end.
    #[must_use]
    pub fn relate(&self, end: Lsn, primary: &Self) -> Relation {
        let own = self.stretches(end);
        let theirs = primary.stretches(Lsn(u64::MAX));
        let common =
            own.iter().zip(&theirs).take_while(|(mine, other)| mine.timeline == other.timeline && mine.begin == other.begin).count();
        let Some(last) = common.checked_sub(1) else { return Relation::Unrelated };
        let fork = own[last].end.min(theirs[last].end);
        if last + 1 == own.len() && end <= theirs[last].end {
            Relation::Prefix
        } else {
            Relation::Diverged { fork: Position { timeline: own[last].timeline, lsn: fork } }
        }
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

/// A part of the log that was written on one timeline.
struct Stretch {
    timeline: Timeline,
    begin: Lsn,
    end: Lsn,
}
