//! The node's word that an epoch is over, on disk (S8).
//!
//! One number in one file: the last epoch that this node has released. It is written before the release is proposed, so whatever dies in
//! between, no later life of this daemon asks for that epoch again.

use crate::model::Epoch;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReleasedError {
    /// Input or output failed.
    #[error("cannot {action} {path}; see that the disk is well and that Witch's user owns the folder")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file does not hold a number.
    #[error(
        "{path} is damaged: it should hold the number of the last epoch that this node released. If the node's disk was damaged, stop \
         witch, move this file and raft.redb out of the folder, and start it again: the node joins the cluster anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The record of one node.
#[derive(Clone, Debug)]
pub struct Released {
    directory: PathBuf,
    /// Held by whoever writes: a try that was given up may still be under way.
    writing: Arc<Mutex<()>>,
}

impl Released {
    /// The record in this folder.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), writing: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("released")
    }

    /// The last epoch that is on record; zero before the first.
    ///
    /// # Errors
    /// The file is there and cannot be read or understood: then nothing is known, and the node must not go on.
    pub fn read(&self) -> Result<Epoch, ReleasedError> {
        let path = self.path();
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Epoch).map_err(|_| ReleasedError::Damaged { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Epoch(0)),
            Err(source) => Err(ReleasedError::Io { action: "read", path, source }),
        }
    }

    /// Records `epoch`, unless a later one is on record. When this returns, it is on disk.
    ///
    /// # Errors
    /// It may or may not be on disk.
    pub fn write(&self, epoch: Epoch) -> Result<(), ReleasedError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read()? > epoch {
            return Ok(());
        }
        let path = self.path();
        let temporary = self.directory.join("released.new");
        let error = |action| {
            let path = path.clone();
            move |source| ReleasedError::Io { action, path, source }
        };
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(error("create"))?;
        writeln!(file, "{epoch}").map_err(error("write"))?;
        file.sync_all().map_err(error("sync"))?;
        std::fs::rename(&temporary, &path).map_err(error("rename"))?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(error("sync the folder of"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let released = Released::new(directory.path());
        assert_eq!(released.read().unwrap(), Epoch(0));
        released.write(Epoch(7)).unwrap();
        released.write(Epoch(8)).unwrap();
        assert_eq!(released.read().unwrap(), Epoch(8));
        released.write(Epoch(5)).unwrap();
        assert_eq!(released.read().unwrap(), Epoch(8), "a late word of an earlier epoch");
        std::fs::write(directory.path().join("released"), "seven").unwrap();
        assert!(matches!(released.read(), Err(ReleasedError::Damaged { .. })));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_record() {
        let directory = tempfile::tempdir().unwrap();
        let released = Released::new(directory.path());
        released.write(Epoch(7)).unwrap();
        std::fs::write(directory.path().join("released.new"), "").unwrap();
        assert_eq!(released.read().unwrap(), Epoch(7));
    }
}
