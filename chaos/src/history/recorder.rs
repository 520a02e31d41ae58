//! Writes a history as it happens.

use super::{Event, Record};
use crate::live::now;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// An open history.
#[derive(Debug)]
pub struct Recorder {
    file: Mutex<BufWriter<File>>,
    /// What went wrong first.
    trouble: Mutex<Option<io::Error>>,
}

impl Recorder {
    /// Begins a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the history {}", path.display()))?;
        Ok(Self { file: Mutex::new(BufWriter::new(file)), trouble: Mutex::default() })
    }

    /// Writes one line. What cannot be written shows at the end, by `close`; a client is not troubled with it.
    pub fn record(&self, event: Event) {
        let line = serde_json::to_string(&Record { at: now(), event }).expect("every event has a JSON form");
        if let Err(error) = writeln!(self.file.lock().unwrap_or_else(PoisonError::into_inner), "{line}") {
            self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// Sees to it that all of it is in the file.
    pub fn close(&self) -> Result<()> {
        let flushed = self.file.lock().unwrap_or_else(PoisonError::into_inner).flush();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        trouble.map_or(flushed, Err).context("the history could not be written; is the disk full?")
    }
}
