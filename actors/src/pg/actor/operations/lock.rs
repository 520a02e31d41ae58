//! One operation at a time in a data directory, even across daemons.
//!
//! The programs that fill the directory outlive a daemon that is killed. So each of them holds a locked file as its standard input, which
//! its children inherit; as long as one of them lives, the next daemon's operation waits.

use super::durable::failing;
use super::{Failure, Site};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A program whose daemon is gone ends at its next line of progress, when nobody reads it any more.
const PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(100);

/// The right to fill the data directory. Given to a program as [`OperationLock::share`]; it ends with the last holder.
#[derive(Debug)]
pub(super) struct OperationLock(Flock<File>);

impl OperationLock {
    pub(super) async fn take(site: &Site) -> Result<Self, Failure> {
        let path = site.state_dir().join("operation.lock");
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failing("open", &path));
        let deadline = Instant::now() + PATIENCE;
        let mut file = open()?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self(lock)),
                Err((unlocked, _)) if Instant::now() < deadline => file = unlocked,
                Err(_) => {
                    return Err(Failure::Busy { path: site.settings.data_dir.clone(), lock: path.display().to_string() });
                }
            }
            sleep(STEP).await;
        }
    }

    /// The same lock for a program to hold.
    pub(super) fn share(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }
}
