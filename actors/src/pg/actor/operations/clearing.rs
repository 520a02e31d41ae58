//! Empties a data directory and keeps the directory itself, which may be a mount point.

use super::durable::{FileFailure, failing, sync_folder};
use super::lock::OperationLock;
use super::{Site, blocking};
use std::fs;
use std::path::Path;

/// Removes everything in the data directory, and what its tablespaces hold outside of it.
pub(super) async fn clear(site: &Site, lock: &OperationLock) -> Result<(), FileFailure> {
    let data_dir = site.data_dir();
    lock.blocking(move || clear_folder(&data_dir)).await
}

fn clear_folder(data_dir: &Path) -> Result<(), FileFailure> {
    clear_tablespaces(data_dir)?;
    for entry in fs::read_dir(data_dir).map_err(failing("list", data_dir))?.flatten() {
        remove(&entry.path())?;
    }
    sync_folder(data_dir)
}

/// Removes a folder that is no database of this node any more, but nothing that it links to.
pub(super) async fn remove_folder(folder: &Path, lock: &OperationLock) -> Result<(), FileFailure> {
    let folder = folder.to_owned();
    lock.blocking(move || if folder.exists() { remove(&folder) } else { Ok(()) }).await
}

/// The same for a folder that no operation uses, so that it needs no lock.
pub(super) async fn remove_unwatched(folder: &Path) -> Result<(), FileFailure> {
    let folder = folder.to_owned();
    blocking(move || if folder.exists() { remove(&folder) } else { Ok(()) }).await
}

/// `pg_basebackup` wants the folders of tablespaces empty. A tablespace has a folder `PG_<version>_<catalogue>` in there; what else lies
/// there is somebody else's.
fn clear_tablespaces(data_dir: &Path) -> Result<(), FileFailure> {
    for link in fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten() {
        if !link.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        for entry in fs::read_dir(link.path()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("PG_") {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), FileFailure> {
    let is_folder = fs::symlink_metadata(path).map_err(failing("look at", path))?.is_dir();
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(failing("remove", path))
}

/// Whether tablespaces lie outside of the data directory.
pub(super) fn has_tablespaces(data_dir: &Path) -> bool {
    fs::read_dir(data_dir.join("pg_tblspc")).is_ok_and(|mut links| links.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_is_emptied_with_its_tablespaces_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, outside) = (folder.path().join("data"), folder.path().join("space"));
        for path in [data_dir.join("pg_tblspc"), data_dir.join("base/1"), outside.join("PG_15_202209061/5"), outside.join("mine")] {
            fs::create_dir_all(path).unwrap();
        }
        symlink(&outside, data_dir.join("pg_tblspc/16384")).unwrap();
        assert!(has_tablespaces(&data_dir));
        clear_folder(&data_dir).unwrap();
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
        assert!(outside.join("mine").exists() && !outside.join("PG_15_202209061").exists());
    }
}
