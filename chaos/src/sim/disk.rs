//! The disk of the Raft log, written as the log thread writes it: in groups, in order, each whole or not at all.

use super::event::{Chore, Event, Mail};
use super::world::World;
use actors::model::{Epoch, RaftId};
use actors::raft::{self, Batch, Stored};
use std::collections::{BTreeSet, VecDeque};

/// So many batches go to disk together.
const GROUP_MAX: usize = 64;
/// So long a batch that may wait does.
const WAIT_MAX: u64 = 500_000;
/// So long a new life of the actor waits for a write of an earlier one.
const SETTLE_MAX: u64 = 1_000_000;

/// The daemon's folder on one host.
#[derive(Debug, Default)]
pub(super) struct LogDisk {
    /// What is on it for certain.
    pub(super) stored: Stored,
    /// S8's record.
    pub(super) released: Epoch,
    queue: VecDeque<(u64, Batch)>,
    writing: Option<Write>,
    writes: u64,
    waits: bool,
    pub(super) slow: (u64, u64),
    pub(super) full_until: u64,
    /// Raft ids whose log was lost (S13).
    pub(super) lost: BTreeSet<RaftId>,
}

#[derive(Debug)]
struct Write {
    number: u64,
    group: Vec<(u64, Batch)>,
    done_at: u64,
}

impl LogDisk {
    fn keep(&mut self, group: Vec<(u64, Batch)>) {
        for (_, batch) in group {
            write(&mut self.stored, batch);
        }
    }

    /// The process is gone. What was being written may have arrived; what was queued has not.
    pub(super) fn abandon(&mut self, arrives: bool) {
        self.queue.clear();
        self.waits = false;
        if let Some(write) = self.writing.take()
            && arrives
        {
            self.keep(write.group);
        }
    }

    /// The folder is gone.
    pub(super) fn lose(&mut self) {
        self.abandon(false);
        if let Some(identity) = &self.stored.identity {
            self.lost.insert(identity.raft_id);
        }
        (self.stored, self.released) = (Stored::default(), Epoch(0));
    }

    /// A new life of the actor reads what is there. None: the write of an earlier one takes too long.
    pub(super) fn begin_life(&mut self, now: u64) -> Option<Stored> {
        self.queue.clear();
        if self.writing.as_ref().is_some_and(|write| write.done_at > now + SETTLE_MAX) {
            return None;
        }
        self.abandon(true);
        Some(self.stored.clone())
    }
}

impl World {
    pub(super) fn persist(&mut self, node: usize, batch: Batch) {
        let host = &mut self.hosts[node];
        if let Some(identity) = &batch.identity
            && host.disk.lost.contains(&identity.raft_id)
        {
            let text = format!("node {} takes up the Raft id {} again, whose log it has lost", node + 1, identity.raft_id);
            self.violate("S13", text);
            return;
        }
        let life = host.daemon.as_ref().map_or(0, |daemon| daemon.raft_life);
        host.disk.queue.push_back((life, batch));
        self.write_log(node, false);
    }

    fn write_log(&mut self, node: usize, at_once: bool) {
        let (now, usual) = (self.now, self.setting.disk);
        let roll = self.dice.between(usual);
        let host = &mut self.hosts[node];
        let (Some(daemon), disk) = (&host.daemon, &mut host.disk) else { return };
        let daemon = daemon.life;
        if disk.writing.is_some() || disk.queue.is_empty() {
            return;
        }
        if !at_once && disk.queue.iter().all(|(_, batch)| batch.may_wait) {
            if !disk.waits {
                disk.waits = true;
                self.schedule(now + WAIT_MAX, Event::Chore(node, daemon, Chore::WriteNow));
            }
            return;
        }
        disk.waits = false;
        let count = disk.queue.len().min(GROUP_MAX);
        let group = disk.queue.drain(..count).collect();
        let (until, slow) = disk.slow;
        disk.writes += 1;
        let done_at = now + if now < until { slow } else { roll };
        disk.writing = Some(Write { number: disk.writes, group, done_at });
        let number = disk.writes;
        self.schedule(done_at, Event::Chore(node, daemon, Chore::Written(number)));
    }

    pub(super) fn write_now(&mut self, node: usize) {
        if self.hosts[node].disk.waits {
            self.write_log(node, true);
        }
    }

    pub(super) fn written(&mut self, node: usize, number: u64) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let (Some(daemon), disk) = (&host.daemon, &mut host.disk) else { return };
        let (life, raft_life) = (daemon.life, daemon.raft_life);
        let Some(done) = disk.writing.take_if(|write| write.number == number) else { return };
        if now < disk.full_until {
            self.tell_story(|| format!("node {}: the disk of the Raft log is full, so the daemon ends", node + 1));
            self.end_daemon(node);
            self.start_later(node, 1_000_000);
            return;
        }
        let newest = done.group.iter().rev().find(|(life, _)| *life == raft_life).map(|(_, batch)| batch.number);
        disk.keep(done.group);
        if let Some(number) = newest {
            self.mail(node, life, Mail::Raft(Box::new(raft::Input::Persisted { number })));
        }
        self.write_log(node, false);
    }
}

/// What a store does with a batch.
fn write(stored: &mut Stored, batch: Batch) {
    if batch.reset {
        *stored = Stored::default();
    }
    if let Some(identity) = batch.identity {
        stored.identity = Some(identity);
    }
    if let Some(image) = batch.snapshot {
        stored.entries.retain(|entry| entry.index > image.index);
        stored.snapshot = Some(image);
    }
    if let Some(first) = batch.entries.first() {
        stored.entries.retain(|entry| entry.index < first.index);
        stored.entries.extend(batch.entries);
    }
    if let Some(hard_state) = batch.hard_state {
        stored.hard_state = hard_state;
    }
}
