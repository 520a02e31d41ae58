//! The marker `unfinished` in Witch's own folder: an operation began to fill the data directory and has not ended.
//!
//! It is durable before the first file is touched, and gone only after the last one is durable. `PG_VERSION` says nothing of the kind:
//! it is among the first files of a copy.

use super::durable::{FileFailure, read_if_exists, remove_if_exists, replace, sync_parent};
use super::{Failure, Site, blocking};
use crate::tree::clock::wall;
use std::path::PathBuf;

/// What has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A copy of the primary.
    Clone,
    /// The founding of the cluster's database.
    Found,
    /// A rewind that had begun to change files.
    Rewind,
}

impl Unfinished {
    const ALL: [Self; 3] = [Self::Clone, Self::Found, Self::Rewind];

    const fn word(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Found => "found",
            Self::Rewind => "rewind",
        }
    }
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// What has not ended. None: the marker is unreadable, which proves no less that something has not.
    pub what: Option<Unfinished>,
    /// When it began, in milliseconds since 1970, for people.
    pub since: Option<u64>,
}

fn path(site: &Site) -> PathBuf {
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
    let Some(text) = read_if_exists(&path(site))? else { return Ok(None) };
    let mut words = text.split_whitespace();
    let word = words.next().unwrap_or_default();
    let what = Unfinished::ALL.into_iter().find(|what| what.word() == word);
    Ok(Some(Marker { what, since: words.next().and_then(|since| since.parse().ok()) }))
}

pub(super) async fn set(site: &Site, what: Unfinished) -> Result<(), FileFailure> {
    let path = path(site);
    let text = format!("{} {}\n", what.word(), wall().0);
    blocking(move || replace(&path, &text, 0o600)).await
}

pub(super) async fn clear(site: &Site) -> Result<(), FileFailure> {
    let path = path(site);
    blocking(move || if remove_if_exists(&path)? { sync_parent(&path) } else { Ok(()) }).await
}
