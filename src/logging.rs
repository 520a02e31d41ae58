//! The daemon's log on standard error: text for people, JSON for machines.

mod queue;

use crate::config::Log;
use queue::Queue;
pub(crate) use queue::Rest;
use std::io::IsTerminal;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Takes the log into use, for the rest of the process. What is still on its way is written when the answer is dropped.
pub(crate) fn set_up(log: &Log) -> anyhow::Result<Rest> {
    let filter: Targets = log.filter.parse()?;
    let (queue, rest) = Queue::start(std::io::stderr(), if log.json { lost_in_json } else { lost_in_text })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(move || queue.clone());
    let filtered = tracing_subscriber::registry().with(filter);
    let outcome = match log.json {
        true => filtered.with(lines.json().flatten_event(true)).try_init(),
        false => filtered.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
    };
    outcome.map_err(|error| anyhow::anyhow!(error).context("cannot set up the log"))?;
    Ok(rest)
}

fn lost_in_text(lines: u64) -> String {
    format!("WARN {lines} lines of the log are lost, since standard error took none for a while\n")
}

fn lost_in_json(lines: u64) -> String {
    format!(
        "{{\"level\":\"WARN\",\"message\":\"lines of the log are lost, since standard error took none for a while\",\"lost\":{lines}}}\n"
    )
}
