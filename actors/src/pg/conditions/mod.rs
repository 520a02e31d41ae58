//! The table of troubles: what can be wrong with a database and its surroundings, how it shows, what it means, and the way out.
//!
//! Whatever Witch has to say of a server besides what it is doing is a row here, so that the status, `/health`, the reasons of a refused
//! switchover and `docs/troubles.md` use the same words.

pub mod addresses;
pub mod copies;
pub mod crashes;
pub mod files;
pub mod leftovers;
pub mod ownership;
pub mod programs;
pub mod refusals;
pub mod replay;
pub mod sessions;

use crate::model::{Bar, Condition};
use alloc::format;
use alloc::string::ToString;
use core::fmt::Display;

/// One kind of trouble.
#[derive(Debug)]
pub struct Row {
    /// Its name, never used again for another.
    pub id: &'static str,
    /// How it shows: what a server or its log says, or what is seen.
    pub sign: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What it keeps the node from doing.
    pub bars: Bar,
    /// What an operator does about it.
    pub way_out: &'static str,
}

impl Row {
    /// The condition, with what was seen in this case.
    #[must_use]
    pub fn seen(&self, what: impl Display) -> Condition {
        Condition { id: self.id.to_string(), bars: self.bars, text: format!("{what}: {}; {}", self.meaning, self.way_out) }
    }
}

/// Every row, topic by topic.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let topics = [
        sessions::ROWS,
        refusals::ROWS,
        replay::ROWS,
        programs::ROWS,
        files::ROWS,
        ownership::ROWS,
        leftovers::ROWS,
        copies::ROWS,
        crashes::ROWS,
        addresses::ROWS,
    ];
    topics.into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_row_has_a_name_of_its_own_and_says_what_to_do() {
        let mut ids = BTreeSet::new();
        for row in rows() {
            assert!(ids.insert(row.id), "two rows are called {}", row.id);
            for text in [row.sign, row.meaning, row.way_out] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{}: `{text}`", row.id);
            }
        }
    }
}
