//! One operation at a time in a data directory, even across daemons.
//!
//! The programs that fill the directory outlive a daemon that is killed. So each of them holds a locked file as its standard input, which
//! its children inherit; as long as one of them lives, the next daemon's operation waits.
//!
//! A thread that clears or copies cannot be cancelled either: it goes on when the operation that began it is dropped. So it holds the lock as
//! well, see [`OperationLock::blocking`].

use super::durable::{FileFailure, failing};
use super::{Failure, Site, blocking};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A program whose daemon is gone ends at its next line of progress, when nobody reads it any more.
const PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(100);

/// The right to fill the data directory. Given to a program as [`OperationLock::share`]; it ends with the last holder.
///
/// The lock belongs to the open file, so it is never released by a call, which would end it for every holder, but only by closing.
#[derive(Debug)]
pub(super) struct OperationLock(Arc<File>);

impl OperationLock {
    pub(super) async fn take(site: &Site) -> Result<Self, Failure> {
        let path = path(site);
        let lock = Self::acquire(&path, PATIENCE).await?;
        lock.ok_or_else(|| Failure::Busy { path: site.settings.data_dir.clone(), lock: path.display().to_string() })
    }

    /// None: somebody else has it.
    pub(super) async fn take_if_free(site: &Site) -> Result<Option<Self>, FileFailure> {
        Self::acquire(&path(site), Duration::ZERO).await
    }

    /// None: somebody else holds it for all that time.
    async fn acquire(path: &Path, patience: Duration) -> Result<Option<Self>, FileFailure> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failing("open", path))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(Arc::new(file)))),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(STEP).await,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failing("lock", path)(error)),
            }
        }
    }

    /// The same lock for a program to hold.
    pub(super) fn share(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }

    /// Does what may wait for a disk on a thread that may wait, and keeps the lock for as long as that takes, whoever still waits for it.
    pub(super) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let held = Arc::clone(&self.0);
        blocking(move || {
            let done = work();
            drop(held);
            done
        })
        .await
    }
}

fn path(site: &Site) -> PathBuf {
    site.state_dir().join("operation.lock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn a_dropped_operation_holds_the_lock_until_its_thread_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (begun, has_begun) = channel();
        let (end, may_end) = channel::<()>();
        let lock = OperationLock::acquire(&path, PATIENCE).await.unwrap().expect("nobody has it");
        let operation = tokio::spawn(async move {
            lock.blocking(move || {
                begun.send(()).unwrap();
                may_end.recv().unwrap();
            })
            .await;
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        operation.abort();
        assert!(operation.await.unwrap_err().is_cancelled());
        assert!(OperationLock::acquire(&path, Duration::from_millis(200)).await.unwrap().is_none(), "the thread is still at work");
        end.send(()).unwrap();
        assert!(OperationLock::acquire(&path, PATIENCE).await.unwrap().is_some());
    }
}
