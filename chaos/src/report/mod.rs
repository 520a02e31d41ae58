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
        lost(history).map_or_else(|| "an unknown number".to_owned(), |lost| lost.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::script::{at, end, history, inserted};
    use crate::live::Part;
    use crate::nemesis::{Fault, Step, Who};
    use actors::model::NodeId;
    use std::time::Duration;

    fn step(at_ms: u64, part: Part) -> Step {
        Step { at_ms, lasts_ms: 1000, fault: Fault::Kill { who: Who::Primary, part } }
    }

    fn inflicted(step: usize, began: u64, fault: &Fault) -> Event {
        Event::Inflicted { step, title: fault.title(), began: at(began), nodes: vec![NodeId(1)], remark: Some("<&>".to_owned()) }
    }

    /// Two faults: after the first the client waits for two seconds, after the second for one.
    fn run() -> History {
        let steps = vec![step(1000, Part::Server), step(5000, Part::Everything)];
        let mut events = vec![inflicted(0, 1000, &steps[0].fault), inflicted(1, 5000, &steps[1].fault)];
        for (id, began) in [(1, 900), (2, 2900), (3, 4000), (4, 4990), (5, 5990)] {
            events.push(inserted(id, (1, 1), began, 10));
        }
        events.push(Event::Ended(Box::new(end(&[1, 2, 3, 4, 5], &[(1, 0)]))));
        let mut history = history(events);
        history.setting.schedule.steps = steps;
        history
    }

    #[test]
    fn a_wait_counts_for_the_fault_that_caused_it() {
        let waits = outages::by_step(&run());
        assert_eq!(waits.values().map(Duration::as_millis).collect::<Vec<_>>(), [2000, 1000]);
        let kinds: Vec<String> = by_fault(&run()).into_iter().map(|kind| kind.title).collect();
        assert_eq!(kinds, ["server killed, of the primary", "node killed, of the primary"]);
    }

    #[test]
    fn the_page_shows_faults_and_broken_claims_and_asks_the_network_for_nothing() {
        let broken = Verdict { claim: "a claim", rules: "S1", checked: 1, violations: vec!["two <writers>".to_owned()] };
        let page = page::write(&run(), &[broken], &picture::draw(&run()));
        for wanted in ["1 of 1 claims are broken", "two &lt;writers&gt;", "server killed: n1", "node killed: n1", "2.0 s", "&lt;&amp;&gt;"]
        {
            assert!(page.contains(wanted), "`{wanted}` is not on the page");
        }
        assert!(!page.contains("<script") && page.replace("http://www.w3.org/2000/svg", "").find("http").is_none());
    }

    #[test]
    fn the_closing_counts_count() {
        let counts = closing_counts(&run());
        assert!(counts.starts_with("2 of 2 faults done; 5 changes acknowledged, 0 of them lost"), "{counts}");
    }
}
