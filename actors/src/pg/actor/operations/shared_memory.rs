//! The shared memory that a killed server leaves behind: a segment of System V, and files in `/dev/shm`.
//!
//! PostgreSQL releases it with the next start in the same directory, which it knows by its inode. A directory that is put aside for a copy is
//! not started again, and its memory would be lost until the host is: a megabyte each time, and one of the 4096 segments that the kernel allows.

use super::lock::OperationLock;
use super::lock_files::remove_stale_locks;
use super::program::Patience;
use super::{Failure, Site, server_arguments};
use std::time::Duration;

/// It reads the configuration and the lock file, and no data.
const PATIENCE: Duration = Duration::from_secs(20);
/// Little enough for a host whose memory another server fills.
const SMALL: [&str; 2] = ["shared_buffers=128kB", "huge_pages=off"];

/// What makes `postgres` of that major version only release what the last server of a directory left, and end: the mode in which `initdb` tries
/// whether settings work opens shared memory and closes it.
#[must_use]
pub const fn releasing_mode(major: u32) -> &'static [&'static str] {
    if major < 15 { &["--boot", "-x0"] } else { &["--check"] }
}

/// Makes PostgreSQL release what its last server left; none may run.
pub(super) async fn release(site: &Site, lock: &OperationLock) -> Result<(), Failure> {
    remove_stale_locks(site).await?;
    let mode = releasing_mode(site.installation.major());
    let mut postgres = site.installation.run("postgres", Patience::Total(PATIENCE)).holding(lock.share());
    postgres = postgres.args(mode).args(server_arguments(site).await);
    for setting in SMALL {
        postgres = postgres.args(["-c", setting]);
    }
    Ok(postgres.run(|_, _| ()).await?)
}
