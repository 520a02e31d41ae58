//! What a person looks at after a run: one picture of all that happened, and one page around it. Made from the history alone.

mod deeds;
mod outages;
mod page;
mod picture;
mod scale;

use crate::checkers::{Verdict, lost};
use crate::history::{Event, History};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

pub use outages::{Distribution, Outage, by_fault};

/// The run in one line.
#[must_use]
pub fn closing_counts(history: &History) -> String {
    let count = |wanted: fn(&Event) -> bool| history.records.iter().filter(|record| wanted(&record.event)).count();
    let done = deeds::deeds(history).iter().filter(|deed| deed.was_done()).count();
    let outages = outages::outages(history);
    let longest = outages.iter().map(Outage::duration).max().unwrap_or_default();
    format!(
        "{done} of {} faults done; {} changes acknowledged, {} of them lost, {} of unknown fate; {} outages above half a second, the longest {:.1} s",
        history.setting.schedule.steps.len(),
        count(|event| matches!(event, Event::Acknowledged { .. })),
        lost(history),
        count(|event| matches!(event, Event::Unsure { .. })),
        outages.len(),
        longest.as_secs_f64()
    )
}

/// Writes `timeline.svg` and `report.html` into a folder; where the page is.
pub fn write(history: &History, verdicts: &[Verdict], folder: &Path) -> Result<PathBuf> {
    let picture = picture::draw(history);
    let page = page::write(history, verdicts, &picture);
    let path = folder.join("report.html");
    fs::write(folder.join("timeline.svg"), picture).context("cannot write the picture")?;
    fs::write(&path, page).context("cannot write the report")?;
    Ok(path)
}
