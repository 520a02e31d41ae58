//! `make bench`: the table "Numbers to hold" of the design, measured.
//!
//! A client with a URI of many hosts writes all the time; what is measured is the gap in its acknowledgements. Every row is measured in
//! several runs on real clusters of three local nodes with default settings, and told with its median and its spread.
#![forbid(unsafe_code)]

mod measure;
mod row;

use anyhow::{Context, Result, ensure};
use chaos::live::{Network, Programs};
use clap::Parser;
use measure::Bench;
use nix::unistd::{SysconfVar, sysconf};
use row::{Row, table};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures how long clients have to wait for Witch.
#[derive(Debug, Parser)]
struct Args {
    /// The program to measure; a release build, or the numbers mean little.
    #[arg(long)]
    witch: PathBuf,
    /// How many runs of each row.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Write the results as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    ensure!(args.runs > 0, "--runs must be at least 1");
    let programs = Programs::find(&args.witch)?;
    let cores = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.unwrap_or(1);
    let settings = format!("defaults; {} runs a row; {cores} cores; three nodes on this machine", args.runs);
    println!("{}\n{}\n{settings}", programs.witch_version()?, programs.postgres_version()?);
    let bench = Bench { programs: programs.clone(), runs: args.runs };
    let mut rows: Vec<Row> = Vec::new();
    let mut skipped = Vec::new();
    for (name, wants_network) in measure::NAMES {
        if !name.contains(&args.only) {
            continue;
        }
        if wants_network && let Err(error) = Network::create(1) {
            skipped.push(format!("{name}: not measured: {error:#}"));
            continue;
        }
        eprintln!("measuring: {name}");
        rows.extend(bench.measure(name).await.with_context(|| format!("cannot measure `{name}`"))?);
    }
    println!("{}", table(&rows));
    for line in &skipped {
        println!("{line}");
    }
    if let Some(path) = args.json {
        let results = json!({
            "witch": programs.witch_version()?,
            "postgres": programs.postgres_version()?,
            "settings": settings,
            "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "skipped": skipped,
        });
        std::fs::write(&path, serde_json::to_string_pretty(&results)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
