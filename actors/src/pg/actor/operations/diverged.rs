//! Keeps aside what an old primary wrote past the point where its successor's timeline begins (D3).

use super::durable::{FileFailure, failing, replace, sync_folder};
use super::lock::OperationLock;
use super::position::{EndOfWal, controldata};
use super::{Failure, Site};
use crate::model::{Lsn, Position, SystemIdentifier, Timeline};
use crate::pg::wal::Geometry;
use crate::tree::clock::wall;
use nix::sys::statvfs::{Statvfs, statvfs};
use serde::Serialize;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What stays free on the file system, whatever has to be left out: so many bytes, and such a part of it. The Raft log lives there, too.
const STAYS_FREE: u64 = 256 << 20;
const PART_STAYS_FREE: u64 = 10;
const SUMMARY: &str = "summary.json";

/// What was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preserved {
    /// In this folder.
    pub folder: PathBuf,
    /// So many bytes of log lie past the fork.
    pub diverged_bytes: u64,
    /// The files that were copied.
    pub kept: Vec<String>,
    /// Those for which there was no room, or that could not be read.
    pub left_out: Vec<String>,
}

/// The summary beside the files.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    system_identifier: SystemIdentifier,
    kept_at_ms: u64,
    fork_timeline: Timeline,
    fork: Lsn,
    end_timeline: Timeline,
    end: Lsn,
    diverged_bytes: u64,
    kept: &'a [String],
    left_out: &'a [String],
}

/// Copies the log past the fork, with a summary, into a folder of its own under `diverged` in Witch's folder. What does not fit is left
/// out and named in the summary: keeping never blocks a return, and never leaves less than a tenth of the file system free. What is kept there
/// is an operator's to remove. The same divergence is kept once.
///
/// # Errors
/// The summary cannot be written.
pub async fn preserve_diverged(site: &Site, fork: Position, end: EndOfWal) -> Result<Preserved, Failure> {
    let lock = OperationLock::take(site).await?;
    let control = controldata(site).await?;
    let geometry = control.geometry();
    let job = Job {
        wal: site.data_dir().join("pg_wal"),
        all: site.state_dir().join("diverged"),
        geometry,
        fork,
        end,
        system_identifier: control.system_identifier,
    };
    Ok(lock.blocking(move || job.keep()).await?)
}

struct Job {
    wal: PathBuf,
    all: PathBuf,
    geometry: Geometry,
    fork: Position,
    end: EndOfWal,
    system_identifier: SystemIdentifier,
}

impl Job {
    fn keep(&self) -> Result<Preserved, FileFailure> {
        let folder = self.folder()?;
        let mut kept = Vec::new();
        let mut left_out = Vec::new();
        for name in self.files()? {
            match copy_if_room(&self.wal.join(&name), &folder.join(&name)) {
                Ok(true) => kept.push(name),
                Ok(false) => left_out.push(name),
                Err(failure) => {
                    tracing::warn!(%failure, "a file of the diverged log is not kept");
                    left_out.push(name);
                }
            }
        }
        let diverged_bytes = self.end.lsn.ahead_of(self.fork.lsn);
        let summary = Summary {
            system_identifier: self.system_identifier,
            kept_at_ms: wall().0,
            fork_timeline: self.fork.timeline,
            fork: self.fork.lsn,
            end_timeline: self.end.timeline,
            end: self.end.lsn,
            diverged_bytes,
            kept: &kept,
            left_out: &left_out,
        };
        let text = serde_json::to_string_pretty(&summary).expect("numbers and texts always become JSON");
        replace(&folder.join(SUMMARY), format!("{text}\n"), 0o600)?;
        sync_folder(&folder)?;
        if left_out.is_empty() {
            tracing::info!(folder = %folder.display(), diverged_bytes, files = kept.len(), "the diverged log is kept aside");
        } else {
            tracing::warn!(folder = %folder.display(), diverged_bytes, ?left_out, "the diverged log is kept aside, but not all of it");
        }
        Ok(Preserved { folder, diverged_bytes, kept, left_out })
    }

    /// The folder for this divergence: numbered in the order of time, and the same again if the return is tried again.
    fn folder(&self) -> Result<PathBuf, FileFailure> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true).create(&self.all).map_err(failing("create", &self.all))?;
        let entries = fs::read_dir(&self.all).map_err(failing("list", &self.all))?;
        let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let plain = |lsn: Lsn| lsn.to_string().replace('/', "-");
        let what = format!("tl{}-{}-to-{}", self.fork.timeline, plain(self.fork.lsn), plain(self.end.lsn));
        if let Some(same) = names.iter().find(|name| name.split_once('-').is_some_and(|(_, rest)| rest == what)) {
            return Ok(self.all.join(same));
        }
        let last = names.iter().filter_map(|name| name.split_once('-')?.0.parse::<u32>().ok()).max().unwrap_or_default();
        let folder = self.all.join(format!("{:04}-{what}", last + 1));
        builder.create(&folder).map_err(failing("create", &folder))?;
        sync_folder(&self.all)?;
        Ok(folder)
    }

    /// The segments with log past the fork, the oldest first, and the histories of their timelines.
    fn files(&self) -> Result<Vec<String>, FileFailure> {
        let entries = fs::read_dir(&self.wal).map_err(failing("list", &self.wal))?;
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| self.concerns(name)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn concerns(&self, name: &str) -> bool {
        let timelines = self.fork.timeline..=self.end.timeline;
        if let Some(number) = name.strip_suffix(".history") {
            return u32::from_str_radix(number, 16).is_ok_and(|number| timelines.contains(&Timeline(number)));
        }
        self.geometry.parse_file_name(name.trim_end_matches(".partial")).is_some_and(|(timeline, begin)| {
            timelines.contains(&timeline) && begin < self.end.lsn && begin.0 + self.geometry.segment > self.fork.lsn.0
        })
    }
}

/// Copies and flushes a file. False: there is no room.
fn copy_if_room(from: &Path, to: &Path) -> Result<bool, FileFailure> {
    let bytes = fs::metadata(from).map_err(failing("look at", from))?.len();
    if fs::metadata(to).is_ok_and(|there| there.len() == bytes) {
        return Ok(true);
    }
    let in_bytes = |blocks, vfs: &Statvfs| blocks * vfs.fragment_size();
    let file_system = statvfs(to.parent().unwrap_or(to));
    if !file_system.is_ok_and(|vfs| has_room(in_bytes(vfs.blocks_available(), &vfs), in_bytes(vfs.blocks(), &vfs), bytes)) {
        return Ok(false);
    }
    fs::copy(from, to).map_err(failing("copy", from))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failing("flush", to))?;
    Ok(true)
}

/// Whether a file of that size fits, with `free` of `total` bytes left before it.
fn has_room(free: u64, total: u64, bytes: u64) -> bool {
    free >= bytes.saturating_add(STAYS_FREE.max(total / PART_STAYS_FREE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_leaves_a_tenth_of_the_file_system_free_and_never_fills_a_small_one() {
        const GB: u64 = 1 << 30;
        assert!(has_room(12 * GB, 100 * GB, GB));
        assert!(!has_room(10 * GB + 1, 100 * GB, 16 << 20));
        assert!(!has_room(STAYS_FREE, GB, 16 << 20));
    }
}
