//! How far a standby is that has been started anew.
//!
//! Until it has replayed the log on its disk PostgreSQL does not say how far that reaches, and it may let sessions in long before. It would then
//! be taken for one that has less than it has: another would be appointed (D1), and what lies here beyond a fork would not be seen (L2).

use crate::model::Position;

/// How far a standby is that says it is at `says`. `received`: it has received something since its start, which begins only where the log on its disk
/// ends. `on_disk`: where the log on its disk ended before that, once this was looked at. None: nobody knows yet.
#[must_use]
pub fn standby_is_at(says: Position, received: bool, on_disk: Option<Position>) -> Option<Position> {
    match on_disk {
        // What it has replayed of a later timeline tells that the rest of the earlier one was left.
        Some(on_disk) if (on_disk.timeline, on_disk.lsn) > (says.timeline, says.lsn) => Some(on_disk),
        None if !received => None,
        _ => Some(says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lsn, Timeline};

    fn at(timeline: u32, lsn: u64) -> Position {
        Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    /// D1: after a loss of power it may say anything up to what it has.
    #[test]
    fn a_standby_that_replays_yet_is_as_far_as_its_log() {
        assert_eq!(standby_is_at(at(1, 50), false, Some(at(1, 90))), Some(at(1, 90)));
        assert_eq!(standby_is_at(at(1, 95), true, Some(at(1, 90))), Some(at(1, 95)), "it has received more since");
        assert_eq!(standby_is_at(at(1, 50), false, Some(at(2, 90))), Some(at(2, 90)), "it has the beginning of the next timeline");
    }

    #[test]
    fn nothing_is_told_before_anybody_has_looked() {
        assert_eq!(standby_is_at(at(1, 50), false, None), None);
        assert_eq!(standby_is_at(at(1, 50), true, None), Some(at(1, 50)), "it was started by an earlier life of the daemon");
    }

    /// L2: what lies beyond a fork that the replay has passed belongs to nobody any more.
    #[test]
    fn what_was_left_with_its_timeline_does_not_count() {
        assert_eq!(standby_is_at(at(2, 60), false, Some(at(1, 90))), Some(at(2, 60)));
    }
}
