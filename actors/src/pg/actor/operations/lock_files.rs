//! The lock files that a server leaves behind when it is killed: `postmaster.pid` in the data directory, and one beside its Unix socket.
//!
//! PostgreSQL refuses to start while the number in one of them belongs to any living process of its user, a thread of ours included. After a
//! boot that is a rare accident. In a container, where numbers begin anew with every start, it is likely and stays so for as long as we live.

use super::durable::{FileFailure, failing, read_if_exists};
use super::sockets::{is_same, lock_of, sockets};
use super::{Failure, Site, blocking, user_files};
use crate::guard;
use std::fs;
use std::path::{Path, PathBuf};

/// Removes the lock files of servers that are gone. Only one daemon and one guard exist for a data directory, and every process of a server
/// works in it: a number that none of those has is stale, whoever else has it by now.
///
/// # Errors
/// A lock file cannot be read or removed, or the processes of the machine cannot be seen.
pub async fn remove_stale_locks(site: &Site) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    let socket = site.settings.socket_dir().map(|folder| lock_of(site, Path::new(folder)));
    let locks: Vec<PathBuf> = [data_dir.join("postmaster.pid")].into_iter().chain(socket).collect();
    let site = site.clone();
    let removed = blocking(move || {
        let residents = guard::residents(&data_dir).map_err(failing("look for servers in", &data_dir))?;
        // The user's folders are shared with others: there only what names this directory is ours.
        let said = user_files::read(&site).unwrap_or_default().said;
        let shared = sockets(&site, &said).shared.into_iter().map(|folder| lock_of(&site, &folder));
        let ours = shared.filter(|lock| is_of(lock, &data_dir));
        locks.into_iter().chain(ours).try_for_each(|lock| remove_if_stale(&lock, &residents))
    });
    Ok(removed.await?)
}

/// Whether the lock file beside a socket was made by a server of that directory.
fn is_of(lock: &Path, data_dir: &Path) -> bool {
    let text = fs::read_to_string(lock).unwrap_or_default();
    text.lines().nth(1).is_some_and(|theirs| is_same(Path::new(theirs), data_dir))
}

fn remove_if_stale(lock: &Path, residents: &[u32]) -> Result<(), FileFailure> {
    let Some(text) = read_if_exists(lock)? else { return Ok(()) };
    // A server in single-user mode writes its own number negated.
    let holder = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).map(i32::unsigned_abs);
    if holder.is_some_and(|holder| residents.contains(&holder)) {
        // Whoever it is: PostgreSQL itself refuses to start beside it, and says so.
        return Ok(());
    }
    tracing::info!(lock = %lock.display(), ?holder, "removing the lock file of a server that is gone");
    fs::remove_file(lock).map_err(failing("remove", lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_if_its_number_belongs_to_somebody_else_by_now_and_stays_with_a_server() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("postmaster.pid");
        let ours = std::process::id();
        fs::write(&lock, format!("{ours}\n/data\n")).unwrap();
        remove_if_stale(&lock, &[ours]).unwrap();
        assert!(lock.exists(), "a server with this number works in the directory");
        remove_if_stale(&lock, &[ours + 1]).unwrap();
        assert!(!lock.exists(), "we live, and are no server");
        remove_if_stale(&lock, &[]).unwrap();
        fs::write(&lock, format!("-{ours}\n")).unwrap();
        remove_if_stale(&lock, &[ours]).unwrap();
        assert!(lock.exists(), "a server in single-user mode");
    }
}
