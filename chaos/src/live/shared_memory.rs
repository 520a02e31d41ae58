//! The shared memory of servers that were killed and that nobody starts again: a segment of System V and a megabyte in `/dev/shm` for each.
//! PostgreSQL releases it when it begins anew in the same directory; after that the directory may be removed.

use actors::pg::actor::operations::releasing_mode;
use nix::unistd::geteuid;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::park_timeout;
use std::time::Duration;

/// It takes some 60 ms.
const RELEASE_MAX: Duration = Duration::from_secs(20);

/// Releases what servers left whose directories lie in the nodes' folders in `folder`. None of them may live.
pub(super) fn release(folder: &Path) {
    for home in entries(folder) {
        for data_dir in entries(&home) {
            release_one(&data_dir);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Does nothing where no server was started, and what it can elsewhere.
fn release_one(data_dir: &Path) -> Option<()> {
    let mut started_with = File::open(data_dir.join("postmaster.opts")).ok()?;
    // Whoever wrote the name of the program is the one to run it: root does so as that user, and others trust only themselves.
    let owner = started_with.metadata().ok()?;
    let (we, root) = (geteuid(), geteuid().is_root());
    if !root && owner.uid() != we.as_raw() {
        return None;
    }
    let mut words = String::new();
    started_with.read_to_string(&mut words).ok()?;
    let program = words.split(" \"").next()?;
    let major: u32 = fs::read_to_string(data_dir.join("PG_VERSION")).ok()?.trim().parse().ok()?;
    // It would be taken for the one of a living server if its number belongs to anybody by now.
    drop(fs::remove_file(data_dir.join("postmaster.pid")));
    let mut postgres = Command::new(program);
    postgres.args(releasing_mode(major)).arg("-D").arg(data_dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if root {
        postgres.uid(owner.uid()).gid(owner.gid());
    }
    let mut postgres = postgres.spawn().ok()?;
    let deadline = super::now() + RELEASE_MAX;
    while postgres.try_wait().ok()?.is_none() {
        if super::now() > deadline {
            return postgres.kill().ok();
        }
        park_timeout(Duration::from_millis(2));
    }
    Some(())
}
