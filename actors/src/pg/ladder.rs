//! How a node comes back as a standby (L2): as it is, else by a rewind, else by a clone, until it is *seen* streaming.
//!
//! Each rung is tried only after the one below it has been shown not to hold. What was learned stands until the node is seen streaming or
//! the upstream changes; then the ladder begins anew.

use super::{Fork, Stall, Upstream};
use crate::machine::Timestamp;
use core::time::Duration;

/// So many starts in a row that ended before the standby answered show that the directory is broken.
const STARTS_MAX: u32 = 3;
/// So many failed rewinds in a row show that there is no use in another.
const REWINDS_MAX: u32 = 3;
/// So many failed comparisons in a row, each with an upstream that answered, show that something here cannot be read.
const COMPARISONS_MAX: u32 = 3;
/// So many failed tries to keep what diverged are enough: keeping never blocks a return.
const PRESERVES_MAX: u32 = 3;
/// So often the server may say that the histories diverged when the comparison says otherwise; then the server is believed.
const CONTRADICTIONS_MAX: u32 = 3;
/// What the server says right after a comparison may have been said before it.
const COMPARISON_SETTLES: Duration = Duration::from_secs(5);
/// A comparison is not believed for longer than this while the standby does not stream.
const COMPARISON_HOLDS: Duration = Duration::from_secs(30);

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// Nobody knows yet how the histories relate.
    Compare,
    /// Start and stream.
    Start,
    /// Rewind.
    Rewind,
    /// Clone.
    Clone,
}

/// What has been learned on the way to one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ladder {
    towards: Option<Upstream>,
    fork: Option<(Fork, Timestamp)>,
    comparisons_failed: u32,
    /// The upstream could not be asked.
    unasked: bool,
    preserved: bool,
    preserves_failed: u32,
    wal_removed: bool,
    starts_failed: u32,
    rewinds_failed: u32,
    rewound: bool,
    contradicted: u32,
}

impl Ladder {
    /// Begins anew if the upstream is another, or has been promoted.
    pub(super) fn towards(&mut self, upstream: &Upstream) -> bool {
        let same = self.towards.as_ref().is_some_and(|before| upstream.is_still(before));
        if !same {
            *self = Self { towards: Some(upstream.clone()), ..Self::default() };
        }
        !same
    }

    /// Whether what was begun for that upstream tells of the way to the present one.
    pub(super) fn is_towards(&self, begun: &Upstream) -> bool {
        self.towards.as_ref().is_some_and(|towards| begun.is_still(towards) && towards.is_still(begun))
    }

    /// The standby was seen streaming: whatever was in its way is gone.
    pub(super) fn streams(&mut self) {
        *self = Self { towards: self.towards.take(), ..Self::default() };
    }

    /// The histories were compared.
    pub(super) fn compared(&mut self, now: Timestamp, fork: Fork) {
        let believed = fork == Fork::Prefix && self.contradicted >= CONTRADICTIONS_MAX;
        let fork = if believed { Fork::Diverged } else { fork };
        self.fork = Some((fork, now));
        self.comparisons_failed = 0;
        self.unasked = false;
        (self.preserved, self.preserves_failed) = (false, 0);
    }

    /// The standby may have received something since the histories were compared.
    pub(super) fn received_on(&mut self) {
        self.fork = None;
    }

    /// The upstream could not be asked, be it for a comparison or for what that had shown to be needed. Once it can be, all is compared anew.
    pub(super) fn waits(&mut self) {
        self.unasked = true;
        self.fork = None;
        self.comparisons_failed = 0;
    }

    /// Whether the upstream could not be asked when it was tried last.
    pub(super) const fn is_unasked(&self) -> bool {
        self.unasked
    }

    /// A comparison with an upstream that answered failed.
    pub(super) fn comparison_failed(&mut self) {
        self.comparisons_failed += 1;
    }

    /// What diverged could not be kept. True: it is given up, and the return goes on without it.
    pub(super) fn preserve_failed(&mut self) -> bool {
        self.preserves_failed += 1;
        self.preserved = self.preserves_failed >= PRESERVES_MAX;
        self.preserved
    }

    /// The diverged part is kept.
    pub(super) fn preserved(&mut self) {
        self.preserved = true;
    }

    /// A rewind succeeded: the directory should be a prefix now. If it is not, another rewind will not make it one.
    pub(super) fn rewound(&mut self, now: Timestamp) {
        self.fork = Some((Fork::Prefix, now));
        self.rewound = true;
        self.starts_failed = 0;
    }

    /// A rewind failed.
    pub(super) fn rewind_failed(&mut self, hopeless: bool) {
        self.rewinds_failed += if hopeless { REWINDS_MAX } else { 1 };
    }

    /// A clone succeeded.
    pub(super) fn cloned(&mut self, now: Timestamp) {
        *self = Self { towards: self.towards.take(), fork: Some((Fork::Prefix, now)), ..Self::default() };
    }

    /// The server died before it ever answered.
    pub(super) fn start_failed(&mut self) {
        self.starts_failed += 1;
    }

    /// What ended the server lies outside of its directory: if it could not start, that shows nothing of the directory. True: it could not.
    pub(super) fn start_excused(&mut self) -> bool {
        core::mem::take(&mut self.starts_failed) > 0
    }

    /// The running standby does not stream, and says why if it knows. An old comparison is to be made again.
    pub(super) fn stalled(&mut self, now: Timestamp, stall: Option<Stall>) {
        self.wal_removed |= stall == Some(Stall::WalRemoved);
        let Some((Fork::Prefix, at)) = self.fork else { return };
        let age = now.since(at);
        let contradicted = stall == Some(Stall::Diverged) && age > COMPARISON_SETTLES;
        if contradicted {
            self.contradicted += 1;
        }
        if contradicted || age > COMPARISON_HOLDS {
            self.fork = None;
        }
    }

    /// Whether what diverged is kept already or cannot be, or nothing diverged. What cannot be compared may have diverged.
    pub(super) fn is_preserved(&self) -> bool {
        self.preserved
            || match self.fork {
                None => !self.is_incomparable(),
                Some((fork, _)) => fork == Fork::Prefix,
            }
    }

    const fn is_incomparable(&self) -> bool {
        self.comparisons_failed >= COMPARISONS_MAX
    }

    /// What is to be done next.
    pub(super) fn rung(&self) -> Rung {
        match self.fork {
            None if self.is_incomparable() => Rung::Clone,
            None => Rung::Compare,
            Some((Fork::Prefix, _)) if self.wal_removed || self.starts_failed >= STARTS_MAX => Rung::Clone,
            Some((Fork::Prefix, _)) => Rung::Start,
            Some((Fork::Twin, _)) => Rung::Clone,
            Some((Fork::Diverged, _)) if self.rewound || self.rewinds_failed >= REWINDS_MAX => Rung::Clone,
            Some((Fork::Diverged, _)) => Rung::Rewind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Epoch, Promotion};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn nothing_is_done_before_the_histories_are_compared() {
        assert_eq!(Ladder::default().rung(), Rung::Compare);
    }

    #[test]
    fn a_prefix_is_started_and_cloned_only_if_it_cannot_be_streamed() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Prefix);
        assert_eq!(ladder.rung(), Rung::Start);
        ladder.stalled(at(1), Some(Stall::WalRemoved));
        assert_eq!(ladder.rung(), Rung::Clone);
        ladder.cloned(at(2));
        assert_eq!(ladder.rung(), Rung::Start);
    }

    #[test]
    fn a_prefix_that_dies_at_every_start_is_cloned() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Prefix);
        for _ in 0..STARTS_MAX {
            assert_eq!(ladder.rung(), Rung::Start);
            ladder.start_failed();
        }
        assert_eq!(ladder.rung(), Rung::Clone);
    }

    #[test]
    fn what_diverged_is_kept_and_rewound_and_cloned_only_if_that_fails() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Diverged);
        assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Rewind, false));
        ladder.preserved();
        assert!(ladder.is_preserved());
        for _ in 0..REWINDS_MAX {
            assert_eq!(ladder.rung(), Rung::Rewind);
            ladder.rewind_failed(false);
        }
        assert_eq!(ladder.rung(), Rung::Clone);
    }

    #[test]
    fn what_diverged_on_a_timeline_of_the_same_name_is_kept_and_cloned() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Twin);
        assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Clone, false));
    }

    #[test]
    fn what_cannot_be_compared_is_cloned_and_kept_first_if_that_can_be() {
        let mut ladder = Ladder::default();
        for _ in 0..COMPARISONS_MAX {
            assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Compare, true));
            ladder.comparison_failed();
        }
        assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Clone, false));
        for _ in 1..PRESERVES_MAX {
            assert!(!ladder.preserve_failed());
        }
        assert!(ladder.preserve_failed() && ladder.is_preserved());
        assert_eq!(ladder.rung(), Rung::Clone);
        ladder.cloned(at(1));
        assert_eq!(ladder.rung(), Rung::Start);
    }

    #[test]
    fn only_failed_comparisons_in_a_row_count() {
        let mut ladder = Ladder::default();
        for round in 0..2 {
            for _ in 1..COMPARISONS_MAX {
                ladder.comparison_failed();
            }
            assert_eq!(ladder.rung(), Rung::Compare);
            ladder.compared(at(round * 100), Fork::Prefix);
            ladder.stalled(at(round * 100 + 50), None);
        }
    }

    #[test]
    fn a_promotion_that_is_not_known_for_a_moment_changes_nothing() {
        let promotion = Some(Promotion { timeline: crate::model::Timeline(2), lsn: crate::model::Lsn(0x5000), mark: None });
        let database = Endpoint { host: "two".into(), port: 5432 };
        let promoted = Upstream {
            node: crate::model::NodeId(2),
            epoch: Epoch(2),
            database,
            system_identifier: crate::model::SystemIdentifier(7),
            promotion,
        };
        let mut ladder = Ladder::default();
        assert!(ladder.towards(&promoted));
        ladder.compared(at(0), Fork::Diverged);
        assert!(!ladder.towards(&Upstream { promotion: None, ..promoted.clone() }));
        assert!(!ladder.towards(&promoted));
        assert_eq!(ladder.rung(), Rung::Rewind);
        assert!(ladder.towards(&Upstream { epoch: Epoch(9), promotion: None, ..promoted }));
        assert_eq!(ladder.rung(), Rung::Compare);
    }

    #[test]
    fn a_second_divergence_after_a_rewind_is_not_rewound_again() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Diverged);
        ladder.rewound(at(1));
        assert_eq!(ladder.rung(), Rung::Start);
        ladder.compared(at(2), Fork::Diverged);
        assert_eq!(ladder.rung(), Rung::Clone);
    }

    #[test]
    fn a_server_that_contradicts_the_comparison_is_compared_again() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Prefix);
        ladder.stalled(at(6), Some(Stall::Diverged));
        assert_eq!(ladder.rung(), Rung::Compare);
    }

    #[test]
    fn a_server_that_insists_on_a_divergence_is_believed() {
        let mut ladder = Ladder::default();
        for round in 0..4 {
            ladder.compared(at(round * 10), Fork::Prefix);
            ladder.stalled(at(round * 10 + 6), Some(Stall::Diverged));
        }
        assert_eq!(ladder.rung(), Rung::Rewind);
    }

    #[test]
    fn once_it_streams_the_ladder_begins_anew() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Diverged);
        ladder.rewind_failed(true);
        assert_eq!(ladder.rung(), Rung::Clone);
        ladder.streams();
        assert_eq!(ladder.rung(), Rung::Compare);
    }
}
