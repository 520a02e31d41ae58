//! Files that are either the old or the new after a power failure, and errors that name the path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file or folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}{}", remedy(source))]
pub struct FileFailure {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: String,
    /// Why it failed. It stands in the message, since that is of little use without.
    pub source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; check that the user that runs Witch owns it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on that file system",
        io::ErrorKind::ReadOnlyFilesystem => "; the file system is mounted read-only, often after an I/O error: see the kernel's log",
        _ => "",
    }
}

/// Names the action and the path in an error.
pub(super) fn failing<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileFailure + use<'a> {
    move |source| FileFailure { action, path: path.display().to_string(), source }
}

/// The text of a file. None: there is no such file.
pub(super) fn read_if_exists(path: &Path) -> Result<Option<String>, FileFailure> {
    let text = read_bytes_if_exists(path)?.map(String::from_utf8).transpose();
    text.map_err(|error| failing("read", path)(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// The bytes of a file. None: there is no such file.
pub(super) fn read_bytes_if_exists(path: &Path) -> Result<Option<Vec<u8>>, FileFailure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failing("read", path)(error)),
    }
}

/// Writes a file beside its place, flushes it and moves it there. Does nothing if the file says that already.
pub(super) fn replace(path: &Path, text: impl AsRef<[u8]>, mode: u32) -> Result<(), FileFailure> {
    let text = text.as_ref();
    if fs::read(path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let beside = beside(path);
    // A file that a crash left there may have another mode.
    remove_if_exists(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failing("create", &beside))?;
    file.write_all(text).map_err(failing("write", &beside))?;
    file.sync_all().map_err(failing("flush", &beside))?;
    fs::rename(&beside, path).map_err(failing("put in place", path))?;
    sync_parent(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".witch-new");
    PathBuf::from(name)
}

/// Removes a file if it is there.
pub(super) fn remove_if_exists(path: &Path) -> Result<bool, FileFailure> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failing("remove", path)(error)),
    }
}

/// Makes what happened to the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), FileFailure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failing("flush", folder))
}

/// Makes what happened to the name of a file durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), FileFailure> {
    path.parent().map_or(Ok(()), sync_folder)
}
