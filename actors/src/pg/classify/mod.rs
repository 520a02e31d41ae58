//! What a server answers, and what its log or a program says: one table, with a meaning, a consequence and a way out.
//!
//! A SQLSTATE never means that the histories differ, and never leads to a clone. A line of a log may hint at a comparison, which then decides;
//! it leads to a clone only if it is on the list of what a copy mends, was the server's last word at start after start, and cannot have been
//! put there by a client.

mod line;
mod states;
mod words;

pub use line::{Line, Severity, is_trusted};
pub use states::STATES;
pub use words::all_words;

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What follows from an answer or from words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Consequence {
    /// It is over by itself in a moment: ask again soon.
    Wait,
    /// Nobody knows what it means: all is kept, it is tried again, at most every 30 s once it was said twice, and shown.
    Retry,
    /// The histories are compared; the comparison decides.
    Compare,
    /// A copy of the primary mends it.
    Clone,
    /// A person has to mend it. All is kept, and it is tried again.
    Operator,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name, never used again for another.
    pub id: &'static str,
    /// How it shows.
    pub sign: Sign,
    /// What it means.
    pub meaning: &'static str,
    /// What follows.
    pub consequence: Consequence,
    /// What an operator does about it.
    pub way_out: &'static str,
    /// Cases of it, for the tests.
    pub examples: &'static [&'static str],
}

/// How something shows.
#[derive(Clone, Copy, Debug)]
pub enum Sign {
    /// A SQLSTATE, or the beginning of one: the longest that fits counts.
    State(&'static str),
    /// A message, anchored at its beginning.
    Words {
        /// Who says it.
        from: From,
        /// The message begins with this.
        begins: &'static str,
        /// And holds this behind it; empty: anything.
        holds: &'static str,
    },
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A process of the server, as FATAL or PANIC.
    Server,
    /// A standby's startup process or WAL receiver while it runs. It hints and never decides.
    Standby,
    /// `pg_rewind`.
    Rewind,
    /// `pg_basebackup`.
    Copy,
}

/// What that SQLSTATE means.
#[must_use]
pub fn state(code: &str) -> &'static Row {
    let fits = |row: &&&Row| matches!(row.sign, Sign::State(begin) if code.starts_with(begin));
    let longest = |row: &&&Row| if let Sign::State(begin) = row.sign { begin.len() } else { 0 };
    STATES.iter().filter(fits).max_by_key(longest).copied().unwrap_or(&states::UNKNOWN)
}

/// What that message means. None: nobody knows.
#[must_use]
pub fn words(by: From, message: &str) -> Option<&'static Row> {
    all_words().find(|row| says(row, by, message))
}

fn says(row: &Row, by: From, message: &str) -> bool {
    let Sign::Words { from, begins, holds } = row.sign else { return false };
    by == from && message.strip_prefix(begins).is_some_and(|rest| rest.contains(holds))
}

/// What the last words of a server that is gone come to, out of a piece of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// In the server's words, with what to do where that is known.
    pub text: String,
    /// What follows.
    pub consequence: Consequence,
}

/// The last words by which a server ended. What sessions and receivers said as they ended is no reason. `trusted`: clients cannot have put
/// anything between a line's beginning and its severity.
#[must_use]
pub fn last_words(log: &str, trusted: bool) -> Option<LastWords> {
    let lines: Vec<Line<'_>> = log.lines().filter_map(Line::parse).collect();
    let reason = |(at, line): (usize, &Line<'_>)| match words(From::Server, line.message) {
        Some(row) if row.consequence == Consequence::Wait => None,
        Some(row) => {
            // A client could have chosen the words, so nothing is thrown away for them.
            let consequence = if trusted || row.consequence != Consequence::Clone { row.consequence } else { Consequence::Retry };
            let before = if TELLS_BEFORE.contains(&row.id) { told_before(&lines[..at]) } else { String::new() };
            Some(LastWords { text: alloc::format!("{before}{} ({}; {})", line.said, row.meaning, row.way_out), consequence })
        }
        None => Some(LastWords { text: line.said.into(), consequence: Consequence::Retry }),
    };
    lines.iter().enumerate().rev().filter(|(_, line)| line.severity == Severity::Fatal).find_map(reason)
}

/// What is faulty in a file a server tells before it says that the file is faulty.
const TELLS_BEFORE: [&str; 3] = ["settings-faulty", "hba-faulty", "hba-elsewhere-faulty"];
/// So many faults are shown.
const TOLD_MAX: usize = 3;

fn told_before(lines: &[Line<'_>]) -> String {
    let faults =
        lines.iter().rev().take_while(|line| ["LOG:", "CONTEXT:", "DETAIL:", "HINT:"].iter().any(|begin| line.said.starts_with(begin)));
    let mut faults: Vec<&str> = faults.filter(|line| line.said.starts_with("LOG:")).map(|line| line.message).take(TOLD_MAX).collect();
    faults.reverse();
    faults.into_iter().map(|fault| alloc::format!("{fault}; ")).collect()
}

/// What a standby's log hints at, the last hint first. It is asked whether it is so; the hint itself decides nothing.
#[must_use]
pub fn hint(log: &str) -> bool {
    let hints = |line: Line<'_>| words(From::Standby, line.message).is_some_and(|row| row.consequence == Consequence::Compare);
    log.lines().filter_map(Line::parse).any(hints)
}

/// So many letters of a line are shown.
const SHOWN_MAX: usize = 200;

/// What the postmaster says of a process whose end makes it recover in place. A client could have chosen the words, so they are for people only.
#[must_use]
pub fn crash(log: &str) -> Option<String> {
    let ended = |message: &str| {
        message.contains(" (PID ") && [" was terminated by ", " exited with exit code "].iter().any(|how| message.contains(how))
    };
    let message = log.lines().rev().filter_map(Line::parse).find(|line| ended(line.message))?.message;
    Some(message.chars().take(SHOWN_MAX).collect())
}

/// What a program's failure means, by the last of its words that are known.
#[must_use]
pub fn program(by: From, output: &str) -> Option<&'static Row> {
    let message = |line: &str| {
        let line = ["pg_rewind: ", "pg_basebackup: "].iter().find_map(|name| line.strip_prefix(name)).unwrap_or(line);
        let line =
            ["fatal: ", "error: ", "detail: ", "FATAL:  ", "ERROR:  "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
        words(by, line)
    };
    output.lines().rev().find_map(message)
}

#[cfg(test)]
mod tests;
