//! The daemon's own fence, for the case that the guard is dead, stopped or silent (S6).
//!
//! Every process of a server has the data directory as its working directory, whoever its parent is. The postmaster goes first, so that it
//! starts nobody anew; then the guard, so that it starts nothing behind our back; then everybody else, until two looks in a row find nobody.
//! Each look is taken aside, since a disk that hangs would hold up whoever takes it.

use super::children::parent;
use super::residents::residents_of;
use super::settle::open_lock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

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

/// Kills every process of a server of our user whose working directory is `pgdata`, and the guard that holds `lock`. Returns when nobody is
/// left.
///
/// # Errors
/// If somebody is left, or might be.
pub async fn sweep(pgdata: &Path, lock: &Path, within: Duration) -> Result<(), NotSwept> {
    Sweep { pgdata: pgdata.to_owned(), lock: Some(lock.to_owned()), spared: None }.within(within).await
}

/// The same, but the guard, which answers and has no server, is left alone: what is there is no child of it. Another guard of the directory, whose
/// child it is, goes with it: Witch's folder was emptied under that one, so that nobody can reach it any more.
///
/// # Errors
/// If somebody is left, or might be.
pub async fn sweep_orphans(pgdata: &Path, guard: u32, within: Duration) -> Result<(), NotSwept> {
    Sweep { pgdata: pgdata.to_owned(), lock: None, spared: Some(guard) }.within(within).await
}

/// The guard of that data directory whose child the process is.
#[must_use]
pub fn guard_of(process: u32, pgdata: &Path) -> Option<u32> {
    let guard = parent(Pid::from_raw(process.cast_signed()))?;
    let directory = fs::metadata(pgdata).ok()?;
    is_guard_of(guard, &directory).then_some(guard.as_raw().cast_unsigned())
}

struct Sweep {
    pgdata: PathBuf,
    lock: Option<PathBuf>,
    /// The guard that is left alone.
    spared: Option<u32>,
}

/// Who was found.
#[derive(Debug, Default)]
struct Found {
    guard: bool,
    survivors: Vec<Pid>,
}

impl Sweep {
    async fn within(self, within: Duration) -> Result<(), NotSwept> {
        let deadline = Instant::now() + within;
        let sweep = Arc::new(self);
        // Held until the end, so that no new guard starts a server meanwhile.
        let mut lock = None;
        let mut last = Found::default();
        let mut looks_without_anybody = 0;
        while looks_without_anybody < 2 {
            let round = {
                let sweep = Arc::clone(&sweep);
                spawn_blocking(move || {
                    let found = sweep.round(&mut lock);
                    (found, lock)
                })
            };
            let Ok(round) = timeout_at(deadline, round).await else { return Err(sweep.unfinished(&last, within)) };
            let (found, held) = round.map_err(|died| NotSwept::Blind { path: sweep.pgdata.clone(), source: io::Error::other(died) })?;
            (last, lock) = (found?, held);
            looks_without_anybody = if last.guard || !last.survivors.is_empty() { 0 } else { looks_without_anybody + 1 };
            if Instant::now() > deadline {
                return Err(sweep.unfinished(&last, within));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Kills whoever is there.
    fn round(&self, lock: &mut Option<File>) -> Result<Found, NotSwept> {
        let blind = |path: &Path| {
            let path = path.to_owned();
            move |source| NotSwept::Blind { path, source }
        };
        let directory = fs::metadata(&self.pgdata).map_err(blind(&self.pgdata))?;
        let residents = || residents_of(&directory).map_err(blind(Path::new("/proc")));
        let first = residents()?;
        // Before its child: it would be left behind otherwise, since nobody could be found by whom it is known.
        let spared = |guard: &Pid| self.spared == Some(guard.as_raw().cast_unsigned());
        let guards = first.iter().filter_map(|process| parent(*process)).filter(|guard| is_guard_of(*guard, &directory) && !spared(guard));
        guards.collect::<BTreeSet<_>>().into_iter().for_each(end);
        if let Some(postmaster) = recorded_postmaster(&self.pgdata).filter(|postmaster| first.contains(postmaster)) {
            end(postmaster);
        }
        let mut guard = false;
        if let Some(path) = &self.lock {
            let file = match lock {
                Some(file) => file,
                None => lock.insert(open_lock(path).map_err(blind(path))?),
            };
            guard = file.try_lock().is_err();
            if guard && let Some(holder) = recorded_guard(path, &directory) {
                end(holder);
            }
        }
        let survivors = residents()?;
        survivors.iter().copied().for_each(end);
        Ok(Found { guard, survivors })
    }

    fn unfinished(&self, last: &Found, within: Duration) -> NotSwept {
        match &self.lock {
            Some(lock) if last.guard && last.survivors.is_empty() => NotSwept::Guarded { lock: lock.clone(), within },
            _ => {
                let survivors = last.survivors.iter().copied().map(Pid::as_raw).collect();
                NotSwept::Survivors { pgdata: self.pgdata.clone(), survivors, within }
            }
        }
    }
}

fn end(process: Pid) {
    // One that is gone already needs no killing; one that is not ours shows up as a survivor.
    let _ = kill(process, Signal::SIGKILL);
}

/// The postmaster, as its own lock file says. It counts only if it works in the directory: the file may be older than the number's owner.
fn recorded_postmaster(pgdata: &Path) -> Option<Pid> {
    first_number(&pgdata.join("postmaster.pid"))
}

/// The guard, as its lock file says. It counts only if that process is a guard of this directory: the lock may be held by another sweep, and
/// the number may be older than its owner.
fn recorded_guard(lock: &Path, directory: &fs::Metadata) -> Option<Pid> {
    first_number(lock).filter(|holder| is_guard_of(*holder, directory))
}

/// By its command line, and by its user, who alone may end it.
fn is_guard_of(process: Pid, directory: &fs::Metadata) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    let is_guard = words.next() == Some(b"guard");
    let Some(pgdata) = words.skip_while(|word| *word != b"--pgdata").nth(1) else { return false };
    let ours = fs::metadata(format!("/proc/{process}")).is_ok_and(|process| process.uid() == geteuid().as_raw());
    let theirs = fs::metadata(Path::new(OsStr::from_bytes(pgdata)));
    is_guard && ours && theirs.is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (directory.dev(), directory.ino()))
}

fn first_number(path: &Path) -> Option<Pid> {
    let number: i32 = fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()?;
    // Not 0 or less, which would be whole groups, nor init.
    (number > 1).then(|| Pid::from_raw(number))
}
