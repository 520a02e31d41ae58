//! The thread that waits for the disk, so that the actor never does.
//!
//! One thread for the life of the process. What has queued up while it was writing goes to disk in one transaction (group commit), in order.
//! A write that fails ends the process: after a failed fsync nobody knows what is on disk. A batch that nobody waits for lets the disk be for
//! a while: written at once, the commit index of one decision would keep the next one waiting for two more fsyncs, on every node.
//!
//! An actor may die with batches queued. Its next life must neither read the log while those are on their way, nor hear of them
//! afterwards. So each life has a number: what is queued by an earlier life is dropped unwritten (nothing was built upon it, since nobody was told that
//! it persisted), and the next life begins only after the thread has said that the write in progress is over.

use super::halt::Halt;
use super::store::{Store, StoreError};
use crate::raft::{Batch, Stored};
use crate::tree::clock::boottime;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

/// So many batches may wait for the disk. Raft stops sending to itself long before; more is a disk that is gone for minutes.
const QUEUE_MAX: usize = 1024;
/// So many are written in one transaction.
const GROUP_MAX: usize = 64;
/// So long a batch that may wait is held back, if nothing takes it along sooner.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// How long a new life waits for the write of an earlier one. It blocks the supervisor, and so the node, so it is short.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Hears the number of a batch that is on disk with all before it.
pub type Persisted = Arc<dyn Fn(u64) + Send + Sync>;

/// Why the log thread cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Could not be started.
    #[error("cannot start the thread that writes the Raft log: the host is out of threads or memory")]
    Start(#[source] std::io::Error),
    /// The disk does not keep up at all.
    #[error("{QUEUE_MAX} batches wait for the disk of the Raft log: the disk is stalled, look at it")]
    Overflow,
    /// The thread has ended, with a reason that was given to [`Halt`].
    #[error("the thread that writes the Raft log has ended")]
    Ended,
    /// A write has been going on for too long.
    #[error("the disk of the Raft log has not answered for {} ms: it is stalled, look at it", SETTLE_MAX.as_millis())]
    Stalled,
    /// The log cannot be read again.
    #[error("cannot read the Raft log again")]
    Load(#[source] StoreError),
}

enum Job {
    Write {
        life: u64,
        batch: Box<Batch>,
        persisted: Persisted,
    },
    /// Answered when everything before it is on disk or dropped.
    Settle(SyncSender<()>),
}

impl Job {
    fn may_wait(&self) -> bool {
        matches!(self, Self::Write { batch, .. } if batch.may_wait)
    }
}

/// The handle that outlives the actor. The thread ends when the last handle and the last writer are gone, after what they queued.
#[derive(Clone)]
pub struct LogThread {
    store: Store,
    queue: SyncSender<Job>,
    life: Arc<AtomicU64>,
}

impl std::fmt::Debug for LogThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogThread(life {}, {:?})", self.life.load(Ordering::SeqCst), self.store)
    }
}

impl LogThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The host has no thread left.
    pub fn start(store: Store, halt: Halt) -> Result<Self, LogError> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let life = Arc::new(AtomicU64::new(0));
        let thread = Thread { store: store.clone(), jobs, life: Arc::clone(&life), halt };
        std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || thread.run()).map_err(LogError::Start)?;
        Ok(Self { store, queue, life })
    }

    /// Begins a life of the actor: outdates the writers of all earlier ones, waits for the write in progress, and reads the log.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn begin_life(&self, persisted: Persisted) -> Result<(LogWriter, Stored), LogError> {
        let life = self.life.fetch_add(1, Ordering::SeqCst) + 1;
        let (settle, settled) = sync_channel(1);
        enqueue(&self.queue, Job::Settle(settle))?;
        settled.recv_timeout(SETTLE_MAX).map_err(|error| match error {
            std::sync::mpsc::RecvTimeoutError::Timeout => LogError::Stalled,
            std::sync::mpsc::RecvTimeoutError::Disconnected => LogError::Ended,
        })?;
        let stored = self.store.load().map_err(LogError::Load)?;
        Ok((LogWriter { queue: self.queue.clone(), life, persisted }, stored))
    }
}

/// What one life of the actor writes with.
pub struct LogWriter {
    queue: SyncSender<Job>,
    life: u64,
    persisted: Persisted,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogWriter(life {})", self.life)
    }
}

impl LogWriter {
    /// Queues a batch. Never waits.
    ///
    /// # Errors
    /// The batch is lost, and with it the order of the log: the process must end.
    pub fn write(&self, batch: Box<Batch>) -> Result<(), LogError> {
        enqueue(&self.queue, Job::Write { life: self.life, batch, persisted: Arc::clone(&self.persisted) })
    }
}

fn enqueue(queue: &SyncSender<Job>, job: Job) -> Result<(), LogError> {
    queue.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => LogError::Overflow,
        TrySendError::Disconnected(_) => LogError::Ended,
    })
}

struct Thread {
    store: Store,
    jobs: Receiver<Job>,
    life: Arc<AtomicU64>,
    halt: Halt,
}

impl Drop for Thread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.halt.order("the thread that writes the Raft log panicked; see the log above for its cause".to_owned());
        }
    }
}

impl Thread {
    fn run(self) {
        while let Ok(first) = self.jobs.recv() {
            if let Err(error) = self.write_group(self.gather(first)) {
                return self.halt.order(with_causes(&error));
            }
        }
    }

    /// What has queued up. While all of it may wait, it does.
    fn gather(&self, first: Job) -> Vec<Job> {
        let until = boottime() + WAIT_MAX;
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let next = match self.jobs.try_recv() {
                Err(TryRecvError::Empty) if group.iter().all(Job::may_wait) => self.jobs.recv_timeout(until.since(boottime())).ok(),
                next => next.ok(),
            };
            let Some(job) = next else { break };
            group.push(job);
        }
        group
    }

    fn write_group(&self, group: Vec<Job>) -> Result<(), StoreError> {
        let mut batches = Vec::new();
        let mut settled = Vec::new();
        let mut tell = None;
        for job in group {
            match job {
                Job::Write { life, batch, persisted } if life == self.life.load(Ordering::SeqCst) => {
                    tell = Some((persisted, batch.number));
                    batches.push(batch);
                }
                Job::Write { .. } => {}
                Job::Settle(answer) => settled.push(answer),
            }
        }
        if let Some((persisted, number)) = tell {
            self.store.write(batches.iter().map(AsRef::as_ref))?;
            persisted(number);
        }
        for answer in settled {
            // Whoever asked may have given up waiting.
            let _ = answer.try_send(());
        }
        Ok(())
    }
}

/// An error with all its causes, on one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
