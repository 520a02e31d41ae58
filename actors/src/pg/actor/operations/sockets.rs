//! The folders of the server's Unix sockets: Witch's own, and those that the user wants beside it.

use super::Site;
use crate::pg::conf;
use crate::pg::said::{Said, folders};
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest path that a Unix socket can have.
const SOCKET_PATH_MAX: usize = 107;

/// What becomes of the folders that the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sockets {
    /// The value of `unix_socket_directories`.
    pub(super) value: String,
    /// The user's folders that are of use.
    pub(super) shared: Vec<PathBuf>,
    /// Those that are not, and why: a server does not start with a folder in which it cannot make its socket.
    pub(super) unusable: Vec<String>,
}

/// It waits for the disk.
pub(super) fn sockets(site: &Site, said: &Said) -> Sockets {
    let settings = &site.settings;
    let mut all: Vec<String> = settings.socket_dir().map(str::to_owned).into_iter().collect();
    let mut sockets = Sockets::default();
    for folder in settings.wanted("unix_socket_directories", said).map(folders).unwrap_or_default() {
        if all.contains(&folder) {
            continue;
        }
        // A socket without a file.
        if folder.starts_with('@') {
            all.push(folder);
            continue;
        }
        let path = site.data_dir().join(&folder);
        match fault(site, &path) {
            None => {
                all.push(folder);
                sockets.shared.push(path);
            }
            Some(fault) => sockets.unusable.push(format!("{}: {fault}", path.display())),
        }
    }
    sockets.value = conf::list(all.iter().map(String::as_str));
    sockets
}

/// Where the lock file beside a socket lies.
pub(super) fn lock_of(site: &Site, folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{}.lock", site.settings.port))
}

fn fault(site: &Site, folder: &Path) -> Option<String> {
    let socket = folder.join(format!(".s.PGSQL.{}", site.settings.port));
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Some("its path is too long for a socket".to_owned());
    }
    if !folder.is_dir() {
        return Some("it does not exist".to_owned());
    }
    if let Err(error) = access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Some(format!("it cannot be written to ({error})"));
    }
    let lock = fs::read_to_string(lock_of(site, folder)).ok()?;
    let holder: u32 = lock.lines().next()?.trim().parse().ok()?;
    let theirs = lock.lines().nth(1).map(PathBuf::from)?;
    let lives = fs::read_to_string(format!("/proc/{holder}/comm")).is_ok_and(|name| name.trim() == "postgres");
    let other = lives && !is_same(&theirs, &site.data_dir());
    other.then(|| format!("the server of {} has its socket there (process {holder})", theirs.display()))
}

/// Whether both paths lead to one folder.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other || fs::canonicalize(one).ok().is_some_and(|one| fs::canonicalize(other).ok() == Some(one))
}
