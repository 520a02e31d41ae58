//! The folder of one cluster. Its name holds our process id, so that a later run can tell what a killed run left behind.

use super::process::{self, Pid};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "witch-live-";

/// A folder of our own; it and every process that lives in it are gone after the drop.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder, and sweeps away those of processes that are gone.
    pub(super) fn create() -> Result<Self> {
        sweep();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", Pid::this(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("cannot open our folder to the servers' user")?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        clear(&self.path);
    }
}

/// Ends everything that was started in or from `folder`, and removes it.
fn clear(folder: &Path) {
    // A guard or a daemon may start one more process between the look and the kill, so look until nobody is left.
    for _ in 0..100 {
        let mut left = process::witches_of(folder);
        left.extend(process::working_in(folder));
        if left.is_empty() {
            break;
        }
        for pid in left {
            process::signal(pid, Signal::SIGKILL);
        }
        std::thread::yield_now();
    }
    if env::var_os("WITCH_KEEP").is_none() {
        // What cannot be removed now is swept by the next run.
        drop(fs::remove_dir_all(folder));
    }
}

fn sweep() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_some_and(|owner| !process::is_alive(Pid::from_raw(owner))) {
            clear(&entry.path());
        }
    }
}
