//! What must hold of every history, wherever it was recorded.
//!
//! A history is a list of acknowledged writes, each with the database that acknowledged it and the two instants between which it was
//! committed, all on one clock. A commit happened somewhere between `began` and `ended`; so two writes are in a certain order only if one
//! had ended before the other began, and only what is certain counts as a violation.

use actors::machine::Timestamp;
use actors::model::{NodeId, Timeline};
use std::collections::BTreeMap;
use std::fmt;

/// A write that a database acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// By this node's database.
    pub node: NodeId,
    /// On this timeline: each promotion begins a new one, so timelines order the reigns of primaries. Two that did not know of each other may
    /// have begun one of the same number; then time orders them.
    pub timeline: Timeline,
    /// Not committed before.
    pub began: Timestamp,
    /// Committed by then.
    pub ended: Timestamp,
}

/// What a history may not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A database accepted a write although another one had already accepted one on a later timeline, or took turns with it on one: both were writable at once.
    TwoWriters {
        /// The write of the old primary that came too late.
        late: Acknowledgement,
        /// The write of its successor that came before.
        successor: Acknowledgement,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoWriters { late, successor } => write!(
                f,
                "node {} accepted a write on timeline {}, {} ms after node {} had accepted one on timeline {}",
                late.node,
                late.timeline,
                late.began.since(successor.ended).as_millis(),
                successor.node,
                successor.timeline
            ),
        }
    }
}

/// The writes of one database on one timeline.
struct Reign {
    /// The one that was certainly committed first.
    first: Acknowledgement,
    /// The one that certainly came last.
    last: Acknowledgement,
}

/// At no instant do two databases accept writes.
#[must_use]
pub fn at_most_one_writer(history: &[Acknowledgement]) -> Vec<Violation> {
    let mut reigns: BTreeMap<(Timeline, NodeId), Reign> = BTreeMap::new();
    for &write in history {
        let reign = reigns.entry((write.timeline, write.node)).or_insert(Reign { first: write, last: write });
        if write.ended < reign.first.ended {
            reign.first = write;
        }
        if write.began > reign.last.began {
            reign.last = write;
        }
    }
    let mut violations = Vec::new();
    // Sorted by timeline: what comes later in the list began later or at the same promotion.
    for (&(timeline, node), reign) in &reigns {
        for (_, later) in reigns.range((timeline, node)..).skip(1).filter(|((_, other), _)| *other != node) {
            let shared = later.first.timeline == timeline && later.first.ended < reign.first.ended;
            let (reign, later) = if shared { (later, reign) } else { (reign, later) };
            if reign.last.began > later.first.ended {
                violations.push(Violation::TwoWriters { late: reign.last, successor: later.first });
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write of `node` on `timeline` between two instants in milliseconds.
    fn write(node: u64, timeline: u32, began: u64, ended: u64) -> Acknowledgement {
        Acknowledgement {
            node: NodeId(node),
            timeline: Timeline(timeline),
            began: Timestamp::from_micros(began * 1000),
            ended: Timestamp::from_micros(ended * 1000),
        }
    }

    #[test]
    fn primaries_that_follow_each_other_are_fine() {
        let history = [write(1, 1, 0, 5), write(1, 1, 10, 15), write(2, 2, 30, 35), write(2, 2, 40, 45), write(1, 3, 60, 65)];
        assert_eq!(at_most_one_writer(&history), []);
        assert_eq!(at_most_one_writer(&[]), []);
    }

    #[test]
    fn an_old_primary_that_writes_after_its_successor_is_caught() {
        let (late, successor) = (write(1, 1, 20, 25), write(2, 2, 10, 15));
        let history = [write(1, 1, 0, 5), successor, late, write(2, 2, 30, 35)];
        assert_eq!(at_most_one_writer(&history), [Violation::TwoWriters { late, successor }]);
    }

    #[test]
    fn the_order_in_which_a_history_was_written_down_does_not_matter() {
        let (late, successor) = (write(1, 1, 20, 25), write(2, 2, 10, 15));
        let history = [late, write(2, 2, 30, 35), write(1, 1, 0, 5), successor];
        assert_eq!(at_most_one_writer(&history), [Violation::TwoWriters { late, successor }]);
    }

    #[test]
    fn a_slow_acknowledgement_that_may_have_been_committed_before_is_no_violation() {
        assert_eq!(at_most_one_writer(&[write(1, 1, 9, 100), write(2, 2, 20, 30)]), []);
        assert_eq!(at_most_one_writer(&[write(1, 1, 31, 100), write(2, 2, 20, 30)]).len(), 1);
    }

    #[test]
    fn a_restart_in_place_stays_on_its_timeline_and_is_fine() {
        assert_eq!(at_most_one_writer(&[write(1, 4, 0, 5), write(1, 4, 900, 905)]), []);
    }

    #[test]
    fn two_reigns_on_timelines_of_one_number_may_follow_each_other_and_not_overlap() {
        assert_eq!(at_most_one_writer(&[write(1, 2, 0, 5), write(3, 2, 50, 55)]), []);
        assert_eq!(at_most_one_writer(&[write(3, 2, 0, 5), write(1, 2, 50, 55)]), [], "whoever was first");
        let (late, successor) = (write(3, 2, 60, 65), write(1, 2, 50, 55));
        assert_eq!(at_most_one_writer(&[write(3, 2, 0, 5), successor, late]), [Violation::TwoWriters { late, successor }]);
    }

    #[test]
    fn three_primaries_are_compared_in_pairs() {
        let history = [write(1, 1, 50, 55), write(2, 2, 10, 15), write(2, 2, 50, 55), write(3, 3, 20, 25)];
        // 1 after 2, 1 after 3, 2 after 3.
        assert_eq!(at_most_one_writer(&history).len(), 3);
    }
}
