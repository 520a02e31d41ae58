//! Empties a data directory and keeps the directory itself, which may be a mount point.

use super::durable::{FileFailure, failing, sync_folder};
use super::lock::OperationLock;
use super::marker::{self, Marker};
use super::{Site, blocking};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What belongs to a database and lies outside of its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Where the log is, if `pg_wal` is a link: a copy puts it there again.
    #[serde(default)]
    pub pg_wal: Option<PathBuf>,
    /// Where tablespaces are.
    #[serde(default)]
    pub tablespaces: Vec<PathBuf>,
}

impl Outside {
    /// What the links in the directory and the marker of a copy that was broken off say. Other links are named: they do not come back.
    pub(super) async fn of(site: &Site) -> Result<Self, FileFailure> {
        let site = site.clone();
        blocking(move || {
            let data_dir = site.data_dir();
            let mut outside = match marker::read(&site)? {
                Some(Marker::Of(note)) if Marker::Of(note.clone()).is_about(&data_dir).unwrap_or(false) => note.outside,
                _ => Self::default(),
            };
            outside.add_links(&data_dir);
            for link in other_links(&data_dir) {
                tracing::warn!(link = %link.display(), "a link in the data directory is replaced by what the primary has there");
            }
            Ok(outside)
        })
        .await
    }

    /// The same with places of tablespaces that a copy is about to fill. One that holds anything is somebody else's, and the copy refuses it: on
    /// a host of its own nobody would have it but this node.
    pub(super) async fn with_new(mut self, places: &[PathBuf]) -> Self {
        let places = places.to_vec();
        blocking(move || {
            let is_free = |place: &PathBuf| fs::read_dir(place).map_or(!place.exists(), |mut entries| entries.next().is_none());
            let new: Vec<PathBuf> = places.into_iter().filter(|place| is_free(place) && !self.tablespaces.contains(place)).collect();
            self.tablespaces.extend(new);
            self
        })
        .await
    }

    fn add_links(&mut self, data_dir: &Path) {
        if let Ok(target) = fs::read_link(data_dir.join("pg_wal")) {
            self.pg_wal = Some(data_dir.join(target));
        }
        for link in fs::read_dir(data_dir.join("pg_tblspc")).into_iter().flatten().flatten() {
            if let Ok(target) = fs::read_link(link.path())
                && !self.tablespaces.contains(&target)
            {
                self.tablespaces.push(target);
            }
        }
    }
}

/// Links that somebody has put into the directory.
fn other_links(data_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()) && entry.file_name() != "pg_wal");
    links.map(|entry| entry.path()).collect()
}

/// Removes everything in the data directory, and what its tablespaces and its log hold outside of it.
pub(super) async fn clear(site: &Site, outside: &Outside, lock: &OperationLock) -> Result<(), FileFailure> {
    let (data_dir, outside) = (site.data_dir(), outside.clone());
    lock.blocking(move || clear_folder(&data_dir, &outside)).await
}

fn clear_folder(data_dir: &Path, outside: &Outside) -> Result<(), FileFailure> {
    clear_tablespaces(outside)?;
    for entry in outside.pg_wal.iter().flat_map(fs::read_dir).flatten().flatten() {
        // The root of a file system has this, and it is nobody's log.
        if entry.file_name() != "lost+found" {
            remove(&entry.path())?;
        }
    }
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
fn clear_tablespaces(outside: &Outside) -> Result<(), FileFailure> {
    for place in &outside.tablespaces {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
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
    fn a_directory_is_emptied_with_what_belongs_to_it_elsewhere_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, space, log) = (folder.path().join("data"), folder.path().join("space"), folder.path().join("log"));
        let lost = folder.path().join("lost");
        let made = [
            data_dir.join("pg_tblspc"),
            data_dir.join("base/1"),
            space.join("PG_15_202209061/5"),
            space.join("mine"),
            log.join("lost+found"),
        ];
        for path in made.iter().chain([&lost.join("PG_15_202209061")]) {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(log.join("000000010000000000000001"), "x").unwrap();
        symlink(&space, data_dir.join("pg_tblspc/16384")).unwrap();
        symlink("../log", data_dir.join("pg_wal")).unwrap();
        symlink("/etc/hostname", data_dir.join("mine")).unwrap();
        assert!(has_tablespaces(&data_dir));
        assert_eq!(other_links(&data_dir), [data_dir.join("mine")]);
        // A copy that was broken off had begun another, of which no link tells any more.
        let mut outside = Outside { pg_wal: None, tablespaces: vec![lost.clone()] };
        outside.add_links(&data_dir);
        assert_eq!(outside.tablespaces, [lost.clone(), space.clone()]);
        clear_folder(&data_dir, &outside).unwrap();
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
        assert!(space.join("mine").exists() && !space.join("PG_15_202209061").exists() && !lost.join("PG_15_202209061").exists());
        assert_eq!(fs::read_dir(&log).unwrap().count(), 1, "the link is kept in mind, and the log is gone");
    }
}
