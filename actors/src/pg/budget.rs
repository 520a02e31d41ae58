//! How often a node may throw its database away for a copy: an account of the clones of the last day, by cause.
//!
//! What a copy mends is mended by one. If the same cause comes back, a further copy is not likely to help, and each one reads the whole primary.
//! A copy that was broken off, as when the primary was restarted, has mended nothing: it is made again, within wider bounds.

use super::operation::{Cause, Mend};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Clones are counted for this long.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// So many for one cause within a day.
const OF_ONE_CAUSE: usize = 12;
/// So many for the same damage within a day: a copy that has it again brings it along.
const OF_THE_SAME_WORDS: usize = 1;
/// So many for one cause within a day if they are broken off: each has read a part of the primary.
const BEGUN_FOR_ONE_CAUSE: usize = 48;
/// The file is bounded, whatever the clock does.
const ENTRIES_MAX: usize = 256;
/// So much is kept of the words.
const WORDS_MAX: usize = 500;

/// One clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spent {
    at_ms: u64,
    cause: Cause,
    words: String,
    /// It took the place of what it was to mend.
    #[serde(default = "yes")]
    whole: bool,
}

/// What an account of before does not say.
const fn yes() -> bool {
    true
}

/// The clones of the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    spent: Vec<Spent>,
}

impl Budget {
    /// Forgets what is older than a day. `now_ms`: the time of day, since the account outlives restarts of the host. A clock that was set back
    /// does not make entries last for ever.
    pub fn forget(&mut self, now_ms: u64) {
        self.spent.retain(|spent| now_ms.abs_diff(spent.at_ms) < DAY_MS);
    }

    /// Why no clone is made for it just now, if none is. A directory without a database is filled however often that takes.
    #[must_use]
    pub fn refusal(&self, mend: &Mend) -> Option<String> {
        if mend.cause == Cause::Bare {
            return None;
        }
        let words = gist(&mend.words);
        let begun = self.spent.iter().filter(|spent| spent.cause == mend.cause);
        let whole = begun.clone().filter(|spent| spent.whole);
        let same_words = whole.clone().filter(|spent| spent.words == words).count();
        let (begun, count) = (begun.count(), whole.count());
        if mend.cause == Cause::Damaged && same_words >= OF_THE_SAME_WORDS {
            return Some(format!("this database was cloned within the last 24 hours for the same words: {}", mend.words));
        }
        if count >= OF_ONE_CAUSE || self.spent.len() >= ENTRIES_MAX {
            return Some(format!("this database was cloned {count} times within the last 24 hours because {}", mend.cause.because()));
        }
        (begun >= BEGUN_FOR_ONE_CAUSE).then(|| {
            let because = mend.cause.because();
            format!(
                "{begun} clones of this database were begun within the last 24 hours because {because}, and all but {count} were broken off"
            )
        })
    }

    /// Books a clone that begins.
    ///
    /// # Errors
    /// The budget for it is used up; in words.
    pub fn spend(&mut self, now_ms: u64, mend: &Mend) -> Result<(), String> {
        self.forget(now_ms);
        if let Some(why) = self.refusal(mend) {
            return Err(why);
        }
        if mend.cause != Cause::Bare {
            self.spent.push(Spent { at_ms: now_ms, cause: mend.cause, words: gist(&mend.words), whole: false });
        }
        Ok(())
    }

    /// The clone that was booked last for that is whole, and in its place.
    pub fn is_whole(&mut self, mend: &Mend) {
        let words = gist(&mend.words);
        if let Some(spent) = self.spent.iter_mut().rfind(|spent| spent.cause == mend.cause && spent.words == words) {
            spent.whole = true;
        }
    }

    /// An account that cannot be read: nobody knows how often it was cloned, so as good as too often. Nothing is lost by waiting for a person.
    #[must_use]
    pub fn unreadable(now_ms: u64) -> Self {
        let spent = Spent { at_ms: now_ms, cause: Cause::Damaged, words: String::new(), whole: true };
        Self { spent: alloc::vec![spent; ENTRIES_MAX] }
    }
}

/// What stays the same when the same damage is met again: not the position, the file or the block that it is met at.
fn gist(words: &str) -> String {
    let same: Vec<&str> = words.split_whitespace().filter(|word| !word.contains(|sign: char| sign.is_ascii_digit())).collect();
    same.join(" ").chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(cause: Cause, words: &str) -> Mend {
        Mend { cause, words: words.into() }
    }

    fn clone(budget: &mut Budget, now_ms: u64, mend: &Mend) -> Result<(), String> {
        budget.spend(now_ms, mend).map(|()| budget.is_whole(mend))
    }

    #[test]
    fn the_same_words_are_mended_once_a_day_and_a_cause_only_so_often() {
        let mut budget = Budget::default();
        let damage = mend(Cause::Damaged, "PANIC:  could not locate a valid checkpoint record at 0/3000028");
        assert!(clone(&mut budget, 0, &damage).is_ok());
        assert!(budget.spend(1, &damage).is_err_and(|why| why.contains("valid checkpoint record")));
        assert!(
            budget.spend(1, &mend(Cause::Damaged, "PANIC:  could not locate a valid checkpoint record at 0/5000060")).is_err(),
            "wherever it is met"
        );
        assert!(clone(&mut budget, DAY_MS, &damage).is_ok(), "a day later it is another matter");
        let twin = mend(Cause::Twin, "");
        for _ in 0..OF_ONE_CAUSE {
            assert!(clone(&mut budget, DAY_MS, &twin).is_ok());
        }
        assert!(budget.spend(DAY_MS, &twin).is_err());
        assert!(budget.spend(DAY_MS, &mend(Cause::Removed, "")).is_ok(), "each cause has its own");
    }

    #[test]
    fn a_copy_that_was_broken_off_is_made_again() {
        let mut budget = Budget::default();
        let damage = mend(Cause::Damaged, "PANIC:  could not locate a valid checkpoint record at 0/3000028");
        for _ in 1..BEGUN_FOR_ONE_CAUSE {
            assert!(budget.spend(0, &damage).is_ok(), "nothing is mended yet");
        }
        let mut unlucky = budget.clone();
        assert!(unlucky.spend(0, &damage).is_ok());
        assert!(unlucky.spend(0, &damage).is_err_and(|why| why.contains("broken off")), "each one reads a part of the primary");
        assert!(clone(&mut budget, 0, &damage).is_ok());
        assert!(budget.spend(0, &damage).is_err_and(|why| why.contains("for the same words")), "and the one that is whole counts");
    }

    #[test]
    fn it_is_bounded_and_a_clock_that_was_set_back_locks_nobody_out() {
        let mut budget = Budget::default();
        for number in 0..1000 {
            let _ = budget.spend(0, &mend(Cause::Damaged, &format!("{number}")));
            let _ = budget.spend(0, &mend(Cause::Twin, &format!("{number}")));
        }
        assert!(budget.spent.len() <= ENTRIES_MAX);
        let mut budget = Budget::default();
        assert!(budget.spend(100 * DAY_MS, &mend(Cause::Damaged, "x")).is_ok());
        assert!(budget.spend(DAY_MS, &mend(Cause::Damaged, "x")).is_ok(), "the entry is from a time that has not come");
    }
}
