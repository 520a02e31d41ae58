//! The daemon's own fence, for the case that the guard is dead, stopped or silent (S6).
//!
//! Every process of a server has the data directory as its working directory, whoever its parent is. The postmaster goes first, so that it
//! starts nobody anew; then the guard, so that it starts nothing behind our back; then everybody else, until two looks in a row find nobody.

use super::children::processes;
use super::settle::open_lock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getpid};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why somebody may be left.
#[derive(Debug, thiserror::Error)]
pub enum NotSwept {
    /// There was not enough time.
    #[error("processes {survivors:?} in {} are still there after {within:?}; a disk that hangs may hold them", pgdata.display())]
    Survivors {
        /// The data directory.
        pgdata: PathBuf,
        /// Who is left.
        survivors: Vec<i32>,
        /// How long was tried.
        within: Duration,
    },
    /// The guard's lock is held, and nobody can be found who holds it.
    #[error("a guard holds {} and cannot be killed within {within:?}", lock.display())]
    Guarded {
        /// The lock file.
        lock: PathBuf,
        /// How long was tried.
        within: Duration,
    },
    /// We cannot look.
    #[error("the sweep cannot look at {}; without a look nobody is proven gone", path.display())]
    Blind {
        /// What it is about.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Kills every process of our user whose working directory is `pgdata`, and the guard that holds `lock`. Returns when nobody is left.
///
/// # Errors
/// If somebody is left, or might be.
pub async fn sweep(pgdata: &Path, lock: &Path, within: Duration) -> Result<(), NotSwept> {
    let deadline = Instant::now() + within;
    let blind = |path: &Path| {
        let path = path.to_owned();
        move |source| NotSwept::Blind { path, source }
    };
    let directory = fs::metadata(pgdata).map_err(blind(pgdata))?;
    let inhabitants = || inhabitants(&directory).map_err(blind(Path::new("/proc")));
    if let Some(postmaster) = recorded_postmaster(pgdata)
        && inhabitants()?.contains(&postmaster)
    {
        end(postmaster);
    }
    // Held until the end, so that no new guard starts a server meanwhile.
    let guard = open_lock(lock).map_err(blind(lock))?;
    let mut looks_without_anybody = 0;
    while looks_without_anybody < 2 {
        let alone = guard.try_lock().is_ok();
        if !alone && let Some(holder) = recorded_guard(lock) {
            end(holder);
        }
        let survivors = inhabitants()?;
        survivors.iter().copied().for_each(end);
        looks_without_anybody = if alone && survivors.is_empty() { looks_without_anybody + 1 } else { 0 };
        if Instant::now() > deadline {
            let survivors: Vec<_> = survivors.into_iter().map(Pid::as_raw).collect();
            return Err(if survivors.is_empty() {
                NotSwept::Guarded { lock: lock.to_owned(), within }
            } else {
                NotSwept::Survivors { pgdata: pgdata.to_owned(), survivors, within }
            });
        }
        sleep(LOOK_EVERY).await;
    }
    drop::<File>(guard);
    Ok(())
}

fn end(process: Pid) {
    // One that is gone already needs no killing; one that is not ours shows up as a survivor.
    let _ = kill(process, Signal::SIGKILL);
}

/// Every process of our user, but ourselves, that works in this directory. The dead that nobody has reaped work nowhere.
fn inhabitants(directory: &fs::Metadata) -> io::Result<Vec<Pid>> {
    let user = geteuid().as_raw();
    let lives_here = |pid: &Pid| {
        let is_ours = || fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == user);
        let is_here =
            || fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (directory.dev(), directory.ino()));
        *pid != getpid() && is_ours() && is_here()
    };
    Ok(processes()?.filter(lives_here).collect())
}

/// The postmaster, as its own lock file says. It counts only if it works in the directory: the file may be older than the number's owner.
fn recorded_postmaster(pgdata: &Path) -> Option<Pid> {
    first_number(&pgdata.join("postmaster.pid"))
}

/// The guard, as its lock file says. Valid while the lock is held.
fn recorded_guard(lock: &Path) -> Option<Pid> {
    first_number(lock)
}

fn first_number(path: &Path) -> Option<Pid> {
    let number: i32 = fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()?;
    // Not 0 or less, which would be whole groups, nor init.
    (number > 1).then(|| Pid::from_raw(number))
}
