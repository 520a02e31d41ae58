//! The marker `unfinished` in Witch's own folder: an operation began to fill the data directory and has not ended.
//!
//! It is durable before the first file is touched, and gone only after the last one is durable. `PG_VERSION` says nothing of the kind:
//! it is among the first files of a copy.
//!
//! It names the directory that it is about. Of any other one, such as a database that an operator has put in the place of a half copy, or to
//! which `postgres.data_dir` was turned since, it says nothing, and nothing is cleared on its word.

use super::clearing::Outside;
use super::durable::{FileFailure, failing, read_if_exists, remove_if_exists, replace, sync_parent};
use super::lock::OperationLock;
use super::{Failure, Site, blocking};
use crate::tree::clock::wall;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unfinished {
    /// A copy of the primary.
    Clone,
    /// The founding of the cluster's database.
    Found,
    /// A rewind that had begun to change files.
    Rewind,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clone => "clone",
            Self::Found => "founding",
            Self::Rewind => "rewind",
        })
    }
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// This has not ended.
    Of(Note),
    /// It cannot be understood, which proves no less that something has not ended, but not where.
    Unreadable,
}

/// What was noted when the operation began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What has not ended.
    pub what: Unfinished,
    /// When it began, in milliseconds since 1970, for people.
    pub since: u64,
    /// Where the directory was, for people.
    pub path: PathBuf,
    /// What belongs to it and lies elsewhere.
    #[serde(default)]
    pub outside: Outside,
    place: Place,
}

/// A directory, whatever it is called. Its file system may have another number after a reboot, and a new directory may get the number of
/// one that was removed, but hardly at the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    device: u64,
    inode: u64,
    /// When the directory was made, where the file system tells.
    born: Option<SystemTime>,
}

impl Place {
    fn of(directory: &Path) -> io::Result<Self> {
        let status = fs::metadata(directory)?;
        Ok(Self { device: status.dev(), inode: status.ino(), born: status.created().ok() })
    }

    fn is(&self, other: &Self) -> bool {
        self.inode == other.inode && self.born == other.born && (self.born.is_some() || self.device == other.device)
    }
}

impl Marker {
    /// Whether it is about this directory.
    pub(super) fn is_about(&self, directory: &Path) -> io::Result<bool> {
        match self {
            Self::Of(note) => Ok(note.place.is(&Place::of(directory)?)),
            Self::Unreadable => Ok(false),
        }
    }
}

pub(super) fn path(site: &Site) -> PathBuf {
    site.state_dir().join("unfinished")
}

/// The marker, if there is one.
///
/// # Errors
/// The file is there and cannot be read.
pub async fn marker(site: &Site) -> Result<Option<Marker>, Failure> {
    let site = site.clone();
    Ok(blocking(move || read(&site)).await?)
}

pub(super) fn read(site: &Site) -> Result<Option<Marker>, FileFailure> {
    let text = read_if_exists(&path(site))?;
    Ok(text.map(|text| serde_json::from_str(&text).map_or(Marker::Unreadable, Marker::Of)))
}

/// Marks the data directory, which has to be there.
pub(super) async fn set(site: &Site, what: Unfinished, outside: Outside, lock: &OperationLock) -> Result<(), FileFailure> {
    let (path, data_dir) = (path(site), site.data_dir());
    lock.blocking(move || {
        let place = Place::of(&data_dir).map_err(failing("look at", &data_dir))?;
        let known_as = fs::canonicalize(&data_dir).map_err(failing("look at", &data_dir))?;
        let note = Note { what, since: wall().0, path: known_as, outside, place };
        let text = serde_json::to_string(&note).expect("numbers and texts always become JSON");
        replace(&path, format!("{text}\n"), 0o600)
    })
    .await
}

pub(super) async fn clear(site: &Site, lock: &OperationLock) -> Result<(), FileFailure> {
    let path = path(site);
    lock.blocking(move || if remove_if_exists(&path)? { sync_parent(&path) } else { Ok(()) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_took_the_place_of_another_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        let half = Place::of(&data_dir).unwrap();
        let moved = folder.path().join("moved");
        fs::rename(&data_dir, &moved).unwrap();
        fs::create_dir(&data_dir).unwrap();
        assert!(half.is(&Place::of(&moved).unwrap()), "whatever it is called");
        assert!(!half.is(&Place::of(&data_dir).unwrap()));
        let after_a_reboot = Place { device: half.device + 1, ..half };
        assert!(half.born.is_none() || half.is(&after_a_reboot));
    }
}
