//! A disk for the Raft log: what is ordered to it is there a millisecond later, and told then.

use actors::raft::actor::log_thread::Persisted;
use actors::raft::{Batch, Stored};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(1);

/// One node's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    stored: Stored,
    life: u64,
    queue: VecDeque<Box<Batch>>,
}

/// What one life of the actor writes with.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Disk,
    life: u64,
}

impl Disk {
    /// Begins a life: what an earlier one has queued is dropped unwritten.
    pub(crate) fn begin_life(&self) -> (Writer, Stored) {
        let mut content = self.content();
        content.life += 1;
        content.queue.clear();
        (Writer { disk: self.clone(), life: content.life }, content.stored.clone())
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the oldest batch, if it is still wanted.
    fn write(&self, life: u64) -> Option<u64> {
        let mut content = self.content();
        if content.life != life {
            return None;
        }
        let batch = content.queue.pop_front().expect("one is queued for each write");
        let number = batch.number;
        put(&mut content.stored, *batch);
        Some(number)
    }
}

impl Writer {
    pub(crate) fn write(&self, batch: Box<Batch>, persisted: Persisted) {
        let (disk, life) = (self.disk.clone(), self.life);
        disk.content().queue.push_back(batch);
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            if let Some(number) = disk.write(life) {
                persisted(number);
            }
        });
    }
}

/// What a store does with a batch.
fn put(stored: &mut Stored, batch: Batch) {
    let Batch { number: _, reset, identity, snapshot, entries, hard_state, may_wait: _ } = batch;
    if reset {
        *stored = Stored::default();
    }
    if identity.is_some() {
        stored.identity = identity;
    }
    if let Some(image) = snapshot {
        stored.entries.retain(|entry| entry.index > image.index);
        stored.snapshot = Some(image);
    }
    if let Some(first) = entries.first() {
        stored.entries.retain(|entry| entry.index < first.index);
        stored.entries.extend(entries);
    }
    if let Some(hard_state) = hard_state {
        stored.hard_state = hard_state;
    }
}
