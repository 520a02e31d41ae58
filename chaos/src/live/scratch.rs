//! The folder of one cluster. Its name holds our process id, so that a later run can tell what a killed run left behind.

use super::process::{self, Pid};
use super::shared_memory;
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "witch-live-";
/// Those that somebody wanted to keep are not swept.
const PREFIX_KEPT: &str = "witch-kept-";

/// A folder of our own; it and every process that lives in it are gone after the drop.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes the folder, and sweeps away those of processes that are gone. `keep` leaves the files, never the processes.
    pub(super) fn create(within: Option<&Path>, keep: bool) -> Result<Self> {
        sweep();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}{}-{}", if keep { PREFIX_KEPT } else { PREFIX }, Pid::this(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = within.map_or_else(env::temp_dir, Path::to_owned).join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("cannot open our folder to the servers' user")?;
        Ok(Self { path, keep })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        end(&self.path);
        if !self.keep {
            remove(&self.path);
        }
    }
}

/// Ends everything that was started in or from `folder`.
fn end(folder: &Path) {
    process::end_all(|| {
        let mut left = process::witches_of(folder);
        left.extend(process::working_in(folder));
        left
    });
}

/// What cannot be removed now is swept by the next run.
fn remove(folder: &Path) {
    shared_memory::release(folder);
    drop(fs::remove_dir_all(folder));
}

/// Ends and removes what runs that are gone left behind.
pub(super) fn sweep() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_some_and(|owner| !process::is_alive(Pid::from_raw(owner))) {
            end(&entry.path());
            remove(&entry.path());
        }
    }
}
