//! Where the log lies, and that only one process has it.

use super::error::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

fn place<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Place { action, path: path.to_owned(), source }
}

/// Makes the folder if it is not there, and locks it for this process. The lock is the kernel's: it ends with the process, however it ends.
pub(super) fn claim(folder: &Path) -> Result<File, StoreError> {
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(place("create", folder))?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
    }
    let lock = File::open(folder).map_err(place("open", folder))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(place("lock", folder)(source)),
    }
}

/// Makes a file aside and moves it into its place when it is whole, so that a crash in the middle leaves no half log behind. An empty log that
/// vanishes in a power cut would forget votes, so the folder is synced, too.
pub(super) fn create(folder: &Path, file: &Path, fill: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let unfinished = file.with_extension("redb.unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(place("remove", &unfinished)(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(place("create", &unfinished))?;
    fill(&unfinished)?;
    sync(&unfinished)?;
    fs::rename(&unfinished, file).map_err(place("create", file))?;
    sync(folder)
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|opened| opened.sync_all()).map_err(place("sync", path))
}
