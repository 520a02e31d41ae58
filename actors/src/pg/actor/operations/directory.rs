//! What lies in the data directory, and who else uses it.

use super::{Failure, Site};
use crate::model::Directory;

/// A server runs on the data directory that Witch's guard did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its postmaster.
    pub pid: u32,
    /// What it is and how to stop it.
    pub advice: String,
}

/// Looks at the data directory. Never fails: what is in the way is the reason of [`Directory::Unusable`].
#[must_use]
pub fn inspect_directory(site: &Site) -> Directory {
    let _ = site;
    unimplemented!()
}

/// Makes the data directory if it is missing.
///
/// # Errors
/// Its parent is missing or not writable.
pub fn create(site: &Site) -> Result<(), Failure> {
    let _ = site;
    unimplemented!()
}

/// The postmaster that works on the data directory, unless it is `ours`: the guard's child.
#[must_use]
pub fn foreign_server(site: &Site, ours: Option<u32>) -> Option<Stranger> {
    let _ = (site, ours);
    unimplemented!()
}
