//! How a node comes back as a standby (L2): as it is, else by a rewind, else by a clone, until it is *seen* streaming.
//!
//! Each rung is tried only after the one below it has been shown not to hold, and the last one only for what a copy mends: a failure that
//! nobody can explain keeps the directory. What was learned stands until the node is seen streaming or the upstream changes; then the ladder
//! begins anew.

use super::classify::{Consequence, LastWords};
use super::{Cause, Fork, Mend, Upstream};
use crate::machine::Timestamp;
use alloc::string::String;
use core::time::Duration;

/// So many starts in a row that ended with words that a copy mends show that the directory is broken.
const DAMAGED_STARTS_MAX: u32 = 3;
/// After so many starts in a row that ended otherwise the histories and the files are looked at again.
const STARTS_UNTIL_COMPARED: u32 = 3;
/// So many comparisons in a row that found the files here damaged show that they are.
const UNREADABLE_MAX: u32 = 3;
/// So many failed tries to keep what diverged are enough: keeping never blocks a return.
const PRESERVES_MAX: u32 = 3;
/// What the server hints at right after a comparison may have been said before it.
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
    /// Comparisons in a row that found the files here damaged.
    unreadable: u32,
    /// The upstream could not be asked.
    unasked: bool,
    preserved: bool,
    preserves_failed: u32,
    /// A server that was told the upstream had the time to stream and did not.
    tried: bool,
    starts_failed: u32,
    /// What the last failed start died of has not been looked for.
    unexplained: bool,
    /// Starts in a row that died of what a copy mends.
    damaged: u32,
    /// In whose words the damage shows.
    words: String,
    /// Why no rewind can help.
    hopeless: Option<String>,
    rewound: bool,
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
        self.fork = Some((fork, now));
        self.unreadable = 0;
        self.unasked = false;
        (self.preserved, self.preserves_failed) = (false, 0);
    }

    /// The standby may have received something since the histories were compared.
    pub(super) fn received_on(&mut self) {
        self.fork = None;
    }

    /// The upstream could not be asked, be it for a comparison or for what that had shown to be needed, or the question failed in a way that
    /// shows nothing. Once it can be asked, all is compared anew.
    pub(super) fn waits(&mut self) {
        self.unasked = true;
        self.fork = None;
        self.unreadable = 0;
    }

    /// Whether the upstream could not be asked when it was tried last.
    pub(super) const fn is_unasked(&self) -> bool {
        self.unasked
    }

    /// A comparison found that the files here are damaged.
    pub(super) fn unreadable(&mut self, why: &str) {
        self.unreadable += 1;
        self.words = why.into();
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
        (self.starts_failed, self.damaged) = (0, 0);
    }

    /// A rewind failed, and no further one can help.
    pub(super) fn rewind_hopeless(&mut self, why: &str) {
        self.hopeless = Some(why.into());
    }

    /// A clone succeeded.
    pub(super) fn cloned(&mut self, now: Timestamp) {
        *self = Self { towards: self.towards.take(), fork: Some((Fork::Prefix, now)), ..Self::default() };
    }

    /// The server died before it ever answered.
    pub(super) fn start_failed(&mut self) {
        self.starts_failed += 1;
        self.unexplained = true;
    }

    /// The log of the server that is gone was looked at. True: it had failed to start, and this is why, for the first time that it is asked.
    /// What a copy does not mend shows nothing of the directory, and what nobody can explain does not either.
    pub(super) fn explained(&mut self, words: Option<&LastWords>) -> bool {
        if !core::mem::take(&mut self.unexplained) {
            return false;
        }
        match words {
            Some(words) if words.consequence == Consequence::Clone => {
                self.damaged += 1;
                self.words.clone_from(&words.text);
            }
            _ => {
                self.damaged = 0;
                if self.starts_failed.is_multiple_of(STARTS_UNTIL_COMPARED) {
                    self.fork = None;
                }
            }
        }
        true
    }

    /// The running standby does not stream. `tried`: it was told this upstream. `hint`: its log may say why, which is asked about and decides
    /// nothing. An old comparison is to be made again.
    pub(super) fn stalled(&mut self, now: Timestamp, tried: bool, hint: bool) {
        self.tried |= tried;
        let Some((Fork::Prefix | Fork::Removed, at)) = self.fork else { return };
        let age = now.since(at);
        if hint && age > COMPARISON_SETTLES || age > COMPARISON_HOLDS {
            self.fork = None;
        }
    }

    /// Whether what diverged is kept already or cannot be, or nothing diverged. What cannot be compared may have diverged.
    pub(super) fn is_preserved(&self) -> bool {
        self.preserved
            || match self.fork {
                None => !self.is_damaged(),
                Some((fork, _)) => matches!(fork, Fork::Prefix | Fork::Removed),
            }
    }

    const fn is_damaged(&self) -> bool {
        self.unreadable >= UNREADABLE_MAX || self.damaged >= DAMAGED_STARTS_MAX
    }

    /// What a copy would mend here. None: nothing that is known.
    pub(super) fn mend(&self) -> Option<Mend> {
        let of = |cause, words: &str| Some(Mend { cause, words: words.into() });
        if self.is_damaged() {
            return of(Cause::Damaged, &self.words);
        }
        match self.fork {
            Some((Fork::Removed, _)) if self.tried => of(Cause::Removed, ""),
            Some((Fork::Twin, _)) => of(Cause::Twin, ""),
            Some((Fork::Diverged, _)) if self.rewound || self.hopeless.is_some() => {
                of(Cause::Unrewindable, self.hopeless.as_deref().unwrap_or("it diverged again after a rewind"))
            }
            _ => None,
        }
    }

    /// What is to be done next.
    pub(super) fn rung(&self) -> Rung {
        match self.fork {
            _ if self.mend().is_some() => Rung::Clone,
            None => Rung::Compare,
            Some((Fork::Diverged, _)) => Rung::Rewind,
            Some(_) => Rung::Start,
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

    fn words(consequence: Consequence) -> LastWords {
        LastWords { text: "FATAL:  x".into(), consequence }
    }

    #[test]
    fn nothing_is_done_before_the_histories_are_compared() {
        assert_eq!(Ladder::default().rung(), Rung::Compare);
    }

    /// security.md F4: what a log hints at is asked about, and only the answer counts.
    #[test]
    fn a_prefix_is_started_and_cloned_only_if_the_primary_no_longer_has_what_it_needs() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Prefix);
        for round in 1..100 {
            assert_eq!(ladder.rung(), Rung::Start);
            ladder.stalled(at(round * 10), true, true);
            assert_eq!(ladder.rung(), Rung::Compare, "a hint leads to a comparison");
            ladder.compared(at(round * 10), Fork::Prefix);
        }
        ladder.compared(at(1000), Fork::Removed);
        assert_eq!(ladder.mend().map(|mend| mend.cause), Some(Cause::Removed));
        ladder.cloned(at(1002));
        assert_eq!(ladder.rung(), Rung::Start);
        ladder.compared(at(1003), Fork::Removed);
        assert_eq!(ladder.rung(), Rung::Start, "an archive may still have it");
        ladder.stalled(at(1004), true, false);
        assert_eq!(ladder.rung(), Rung::Clone);
    }

    #[test]
    fn a_prefix_is_cloned_only_if_it_dies_of_what_a_copy_mends_start_after_start() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Prefix);
        for _ in 0..DAMAGED_STARTS_MAX {
            assert_eq!(ladder.rung(), Rung::Start);
            ladder.start_failed();
            assert!(ladder.explained(Some(&words(Consequence::Clone))));
            assert!(!ladder.explained(Some(&words(Consequence::Clone))), "a second look at the same death is none of another");
        }
        assert_eq!(ladder.mend(), Some(Mend { cause: Cause::Damaged, words: "FATAL:  x".into() }));
        for consequence in [None, Some(Consequence::Retry), Some(Consequence::Operator)] {
            let mut ladder = Ladder::default();
            for round in 0..30 {
                ladder.compared(at(round), Fork::Prefix);
                ladder.start_failed();
                assert!(ladder.explained(consequence.map(words).as_ref()));
                let next = if (round + 1) % 3 == 0 { Rung::Compare } else { Rung::Start };
                assert_eq!(ladder.rung(), next, "{consequence:?}");
            }
        }
    }

    #[test]
    fn what_diverged_is_kept_and_rewound_and_cloned_only_if_that_fails() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Diverged);
        assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Rewind, false));
        ladder.preserved();
        assert!(ladder.is_preserved());
        ladder.rewind_hopeless("the log is gone");
        assert_eq!(ladder.mend(), Some(Mend { cause: Cause::Unrewindable, words: "the log is gone".into() }));
    }

    #[test]
    fn what_diverged_on_a_timeline_of_the_same_name_is_kept_and_cloned() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Twin);
        assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Clone, false));
    }

    #[test]
    fn what_is_damaged_is_cloned_and_kept_first_if_that_can_be() {
        let mut ladder = Ladder::default();
        for _ in 0..UNREADABLE_MAX {
            assert_eq!((ladder.rung(), ladder.is_preserved()), (Rung::Compare, true));
            ladder.unreadable("no checkpoint");
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
    fn a_question_that_fails_shows_nothing_however_often() {
        let mut ladder = Ladder::default();
        for _ in 0..100 {
            ladder.waits();
            assert_eq!((ladder.rung(), ladder.is_unasked()), (Rung::Compare, true));
        }
        for _ in 1..UNREADABLE_MAX {
            ladder.unreadable("x");
        }
        ladder.compared(at(0), Fork::Prefix);
        ladder.stalled(at(50), true, false);
        ladder.unreadable("x");
        assert_eq!(ladder.rung(), Rung::Compare, "only those in a row count");
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
    fn once_it_streams_the_ladder_begins_anew() {
        let mut ladder = Ladder::default();
        ladder.compared(at(0), Fork::Diverged);
        ladder.rewind_hopeless("x");
        assert_eq!(ladder.rung(), Rung::Clone);
        ladder.streams();
        assert_eq!(ladder.rung(), Rung::Compare);
    }
}
