//! Keeps aside what an old primary wrote past the point where its successor's timeline begins (D3).

use super::{EndOfWal, Failure, Site};
use crate::model::Position;
use std::path::PathBuf;

/// What was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preserved {
    /// In this folder.
    pub folder: PathBuf,
    /// From here on.
    pub fork: Position,
    /// Up to here.
    pub end: EndOfWal,
    /// So many bytes of log lie past the fork.
    pub diverged_bytes: u64,
    /// The files of the log that were copied.
    pub kept: Vec<String>,
    /// Those for which there was no room.
    pub left_out: Vec<String>,
}

/// Copies the log past the fork, with a summary, into a folder of its own under `diverged` in Witch's folder. What does not fit is left
/// out and named in the summary: keeping never blocks a return.
///
/// # Errors
/// The summary cannot be written.
pub async fn preserve_diverged(site: &Site, fork: Position, end: EndOfWal) -> Result<Preserved, Failure> {
    let _ = (site, fork, end);
    unimplemented!()
}
