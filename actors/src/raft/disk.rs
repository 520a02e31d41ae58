//! What is on its way to disk, and what waits for it.
//!
//! Batches are numbered and become durable in order. Votes and acknowledgements leave the node only after the batch that they speak of.

use crate::machine::Timestamp;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use raft::eraftpb::Message;

/// The queue between the machine and the store.
#[derive(Debug, Default)]
pub(super) struct Disk {
    next: u64,
    waiting: VecDeque<Waiting>,
    /// The last batch that promises depend on. One that only moves the commit index is none: Raft finds that index again.
    binding: u64,
    /// What is durable.
    pub(super) durable: Durable,
}

/// What the disk is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Durable {
    pub(super) term: u64,
    pub(super) last_index: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    ordered_at: Timestamp,
    /// The last of raft-rs's readies that is durable with this batch.
    ready: Option<u64>,
    /// The index of the snapshot in it, if a leader sent one.
    installed: Option<u64>,
    makes: Durable,
    /// Promises that may be given then.
    promises: Vec<Message>,
}

/// What becomes possible with a batch on disk.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) ready: Option<u64>,
    pub(super) installed: Option<u64>,
    pub(super) promises: Vec<Message>,
}

impl Disk {
    pub(super) fn holding(durable: Durable) -> Self {
        Self { durable, ..Self::default() }
    }

    /// The number of a batch that is being ordered now.
    pub(super) fn order(&mut self, now: Timestamp, ready: Option<u64>, binding: bool, installed: Option<u64>, makes: Durable) -> u64 {
        self.next += 1;
        if binding {
            self.binding = self.next;
        }
        self.waiting.push_back(Waiting { number: self.next, ordered_at: now, ready, installed, makes, promises: Vec::new() });
        self.next
    }

    /// A ready that has nothing for the disk. True if everything before it is durable, and so is it.
    pub(super) fn cover(&mut self, ready: u64) -> bool {
        match self.waiting.back_mut() {
            Some(last) => {
                last.ready = Some(ready);
                false
            }
            None => true,
        }
    }

    /// Holds promises back until everything that they may speak of is durable; gives back those that need not wait.
    pub(super) fn hold(&mut self, promises: Vec<Message>) -> Vec<Message> {
        match self.waiting.iter_mut().find(|waiting| waiting.number == self.binding) {
            Some(waiting) => {
                waiting.promises.extend(promises);
                Vec::new()
            }
            None => promises,
        }
    }

    /// Everything up to this batch is durable.
    pub(super) fn settle(&mut self, number: u64) -> Vec<Settled> {
        let mut settled = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.number <= number)
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.durable = waiting.makes;
            settled.push(Settled { ready: waiting.ready, installed: waiting.installed, promises: waiting.promises });
        }
        settled
    }

    /// The log is given up: what it would have promised is never said.
    pub(super) fn forget(&mut self) {
        for waiting in &mut self.waiting {
            waiting.ready = None;
            waiting.installed = None;
            waiting.promises.clear();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A leader's snapshot is on its way to disk.
    pub(super) fn is_installing(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.installed.is_some())
    }

    /// For how long the oldest batch has been waiting.
    pub(super) fn stalled_for(&self, now: Timestamp) -> Duration {
        self.waiting.front().map_or(Duration::ZERO, |waiting| now.since(waiting.ordered_at))
    }
}
