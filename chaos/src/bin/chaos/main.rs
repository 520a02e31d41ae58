//! Real daemons and real PostgreSQL under a seeded schedule of real faults, judged by what their clients were promised.

mod run;

use anyhow::{Context, Result, ensure};
use chaos::checkers::{Verdict, judge};
use chaos::history::History;
use chaos::report;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hurt a cluster for some minutes, and judge what its clients saw.
    Run(run::Run),
    /// Print the schedule that a seed gives, as JSON.
    Plan(run::Plan),
    /// Judge a saved history again, and make its report anew.
    Check {
        /// The `history.jsonl` of a run.
        history: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(run) => run.begin(),
        Command::Plan(plan) => plan.print(),
        Command::Check { history } => check(&history),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the history holds no violation.
fn check(path: &std::path::Path) -> Result<bool> {
    let history = History::read(path)?;
    let folder = path.parent().context("a file lies in a folder")?;
    conclude(&history, folder)
}

/// Judges, writes the report beside the history, and tells it.
fn conclude(history: &History, folder: &std::path::Path) -> Result<bool> {
    let verdicts = judge(history);
    ensure!(!verdicts.is_empty(), "nothing was judged");
    for verdict in &verdicts {
        println!("{}  {} ({} checked)", if verdict.holds() { "holds " } else { "BROKEN" }, verdict.claim, verdict.checked);
        for violation in &verdict.violations {
            println!("        {violation}");
        }
    }
    println!("{}", report::closing_counts(history));
    println!("report: {}", report::write(history, &verdicts, folder)?.display());
    Ok(verdicts.iter().all(Verdict::holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_can_be_called() {
        Args::command().debug_assert();
    }
}
