//! What a person looks at after a run: one picture of all that happened, and one page around it. Made from the history alone.

mod deeds;
mod outages;
mod page;
mod picture;
mod scale;

use crate::checkers::Verdict;
use crate::history::History;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

pub use outages::{Distribution, Outage, by_fault};

/// Writes `timeline.svg` and `report.html` into a folder; where the page is.
pub fn write(history: &History, verdicts: &[Verdict], folder: &Path) -> Result<PathBuf> {
    let picture = picture::draw(history);
    let page = page::write(history, verdicts, &picture);
    let path = folder.join("report.html");
    fs::write(folder.join("timeline.svg"), picture).context("cannot write the picture")?;
    fs::write(&path, page).context("cannot write the report")?;
    Ok(path)
}
