//! Raft's promises, as they leave a node: a vote is given once in a term, and nothing is promised before the disk has it (S13).

use super::world::World;
use actors::model::RaftId;
use actors::raft::{RaftMessage, Stored};
use std::collections::BTreeMap;

/// raft-rs's numbers of the kinds of messages that promise something, or show that something was promised.
const APPENDED: u8 = 4;
const REQUEST_VOTE: u8 = 5;
const VOTED: u8 = 6;

/// For whom the holder of each Raft id voted, in each term.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<(RaftId, u64), RaftId>);

impl World {
    pub(super) fn judge_promise(&mut self, node: usize, message: &RaftMessage) {
        let stored = &self.hosts[node].disk.stored;
        let (from, term) = (message.from, message.term);
        let (candidate, broken) = match message.kind {
            // Whoever stands has voted for itself.
            REQUEST_VOTE => (from, None),
            VOTED if !message.reject => {
                let durable = stored.hard_state.term > term || stored.hard_state.term == term && stored.hard_state.vote == message.to.0;
                (message.to, (!durable).then(|| format!("node {} votes in term {term} before its disk has it", node + 1)))
            }
            // Once the disk holds a later term, a later leader may have replaced what was held for certain then: such a word is only late.
            APPENDED if !message.reject && stored.hard_state.term <= term && last_index(stored) < message.index => {
                let last = last_index(stored);
                let text = format!("node {} acknowledges index {}, and its disk ends at {last}", node + 1, message.index);
                return self.violate("S13", text);
            }
            _ => return,
        };
        let voted = *self.judge.votes.0.entry((from, term)).or_insert(candidate);
        let twice = (voted != candidate)
            .then(|| format!("node {} votes for {candidate} in term {term}, in which it has voted for {voted}", node + 1));
        if let Some(text) = broken.or(twice) {
            self.violate("S13", text);
        }
    }
}

fn last_index(stored: &Stored) -> u64 {
    let snapshot = stored.snapshot.as_ref().map_or(0, |image| image.index);
    stored.entries.last().map_or(snapshot, |entry| entry.index.max(snapshot))
}
