//! The log as raft-rs reads it: the retained entries in memory, and the state they lead to.
//!
//! What is durable is the store's affair: everything is here as soon as it is *ordered* to disk, and the machine takes care that no promise
//! leaves the node before the disk has answered.

use super::{SnapshotImage, Stored, wire};
use crate::model::{ClusterState, NodeId};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

/// What a store held is no log that this node could go on with. Nothing is ever cut off to make it one: what is missing may have been
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The configuration has faults.
    #[error("the configuration of the Raft machine has faults: {}", .0.join("; "))]
    Config(Vec<String>),
    /// It was made for another node.
    #[error(
        "the log belongs to node {stored} but this is node {configured}: put the right cluster.data_dir in place, or move raft.redb \
         and released out of this one, and this node joins anew"
    )]
    ForeignNode {
        /// Whose it is.
        stored: NodeId,
        /// Who we are.
        configured: NodeId,
    },
    /// It was made for another cluster.
    #[error(
        "the log belongs to the cluster `{stored}` but cluster.name is `{configured}`: correct cluster.name, or use another cluster.data_dir"
    )]
    ForeignCluster {
        /// Whose it is.
        stored: String,
        /// What the file says.
        configured: String,
    },
    /// It contradicts itself.
    #[error(
        "the Raft log is damaged: {0}. Nothing was changed. If the other nodes are well, move raft.redb out of cluster.data_dir: this node then joins anew"
    )]
    Damaged(String),
}

/// A point in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Point {
    index: u64,
    term: u64,
}

/// The retained part of the log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The entry before the first retained one.
    before: Point,
    entries: Vec<Entry>,
    hard_state: HardState,
    /// What the applied entries have led to. None: this log has not been told yet how the cluster began.
    applied: Option<SnapshotImage>,
}

impl Log {
    /// Takes up what a store held, if it makes sense.
    pub(super) fn restore(stored: &Stored) -> Result<Self, Unusable> {
        let before = stored.snapshot.as_ref().map_or(Point::default(), |image| Point { index: image.index, term: image.term });
        let entries = restored_entries(before, stored)?;
        let hard_state = stored.hard_state;
        let last = entries.last().map_or(before, |entry| Point { index: entry.index, term: entry.term });
        let damaged = |text: String| Err(Unusable::Damaged(text));
        if hard_state.commit < before.index {
            return damaged(format!("it is applied up to index {} but committed only up to {}", before.index, hard_state.commit));
        }
        if hard_state.commit > last.index {
            return damaged(format!("it is committed up to index {} but ends at {}", hard_state.commit, last.index));
        }
        if hard_state.term < last.term {
            return damaged(format!("its last entry is of term {} but its own term is {}", last.term, hard_state.term));
        }
        Ok(Self { before, entries, hard_state: wire::hard_state_in(hard_state), applied: stored.snapshot.clone() })
    }

    pub(super) fn state(&self) -> Option<&ClusterState> {
        self.applied.as_ref().map(|image| &image.state)
    }

    /// The state as a snapshot of the last applied entry.
    pub(super) fn image(&self) -> Option<&SnapshotImage> {
        self.applied.as_ref()
    }

    pub(super) fn image_mut(&mut self) -> Option<&mut SnapshotImage> {
        self.applied.as_mut()
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Adds entries; the first replaces everything from its index on.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = first.index.checked_sub(self.before.index + 1).expect("raft-rs never rewrites what is committed, let alone compacted");
        self.entries.truncate(position(keep));
        self.entries.extend_from_slice(entries);
    }

    /// Puts a leader's snapshot in place of everything.
    pub(super) fn install(&mut self, image: SnapshotImage) {
        self.before = Point { index: image.index, term: image.term };
        self.entries.clear();
        self.applied = Some(image);
    }

    /// Forgets all entries but the last `keep` of those applied, for followers that lag a little.
    pub(super) fn compact(&mut self, keep: u64) {
        let upto = self.applied.as_ref().map_or(0, |image| image.index).saturating_sub(keep);
        if upto <= self.before.index {
            return;
        }
        let count = position(upto - self.before.index);
        let term = self.entries[count - 1].term;
        self.entries.drain(..count);
        self.before = Point { index: upto, term };
    }

    fn last(&self) -> u64 {
        self.before.index + self.entries.len() as u64
    }
}

fn restored_entries(before: Point, stored: &Stored) -> Result<Vec<Entry>, Unusable> {
    let damaged = |text: String| Err(Unusable::Damaged(text));
    if before.index == 0 && (stored.snapshot.is_some() || !stored.entries.is_empty()) {
        return damaged("it has entries, but not the snapshot that they follow".to_string());
    }
    let mut last = before;
    let mut entries = Vec::with_capacity(stored.entries.len());
    for entry in &stored.entries {
        if entry.index != last.index + 1 {
            return damaged(format!("entry {} is followed by entry {}", last.index, entry.index));
        }
        if entry.term < last.term {
            return damaged(format!("entry {} is of term {}, the one before it of term {}", entry.index, entry.term, last.term));
        }
        last = Point { index: entry.index, term: entry.term };
        entries.push(wire::entry_in(entry).map_err(|reason| Unusable::Damaged(format!("entry {}: {reason}", entry.index)))?);
    }
    Ok(entries)
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("what is in memory can be addressed")
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let conf_state = self.applied.as_ref().map(wire::conf_state).unwrap_or_default();
        Ok(RaftState::new(self.hard_state.clone(), conf_state))
    }

    fn entries(&self, low: u64, high: u64, max_size: impl Into<Option<u64>>, _context: GetEntriesContext) -> raft::Result<Vec<Entry>> {
        if low <= self.before.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let offset = self.before.index + 1;
        let mut entries = self.entries[position(low - offset)..position(high - offset)].to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.index {
            return Ok(self.before.term);
        }
        if index < self.before.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(position(index - self.before.index - 1));
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// Made on the spot from the applied state, so that a node that has just been added finds itself in it.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        match &self.applied {
            Some(image) if image.index >= request_index => Ok(wire::snapshot_in(image)),
            _ => Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}
