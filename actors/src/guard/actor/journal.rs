//! What the guard logs. It speaks only while no server runs: a write to a log blocks when the disk stalls, and then of all times the guard
//! must not be waiting for it.

use crate::machine::Timestamp;
use crate::tree::clock::boottime;
use std::collections::VecDeque;

/// The oldest lines give way.
const LINES_MAX: usize = 64;

/// Lines that are yet to be written.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: VecDeque<(Timestamp, String)>,
}

impl Journal {
    pub(super) fn note(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((boottime(), line));
    }

    /// Writes everything down. Only while no server runs.
    pub(super) fn write_down(&mut self) {
        for (at, line) in self.lines.drain(..) {
            tracing::info!(boottime = ?at, "{line}");
        }
    }
}
