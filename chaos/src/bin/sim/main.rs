//! The simulator: whole clusters in virtual time, thousands of stories a minute.
//!
//! Exit codes: 0 every rule held; 1 a rule was broken; 2 wrong usage, or a file that cannot be read.

mod batch;

use anyhow::{Context, Result};
use chaos::sim::{Story, run, shrink};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// So many runs are spent on making a failing schedule small.
const SHRINK_MAX: usize = 400;

/// Runs simulated clusters under faults and checks every rule of docs/safety.md after every step.
#[derive(Debug, Parser)]
#[command(version, after_help = "Exit codes: 0 every rule held; 1 a rule was broken; 2 wrong usage, or a file that cannot be read.")]
struct Arguments {
    /// One seed.
    #[arg(long, conflicts_with_all = ["seeds", "minutes", "replay"])]
    seed: Option<u64>,
    /// A range of seeds, such as 0..2000; the end is not part of it.
    #[arg(long, value_parser = range, conflicts_with_all = ["minutes", "replay"])]
    seeds: Option<(u64, u64)>,
    /// Seeds from --from on, for so many minutes.
    #[arg(long, conflicts_with = "replay")]
    minutes: Option<u64>,
    /// The first seed of --minutes.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// A story that was kept.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Tell the story: who believed what when. With --seed or --replay.
    #[arg(long)]
    explain: bool,
    /// Clocks outside of rho and frozen guests: broken rules are counted, and nothing is demanded.
    #[arg(long)]
    beyond: bool,
    /// So many threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Go on after a seed that breaks a rule.
    #[arg(long)]
    keep_going: bool,
    /// Leave a failing schedule as it is.
    #[arg(long)]
    no_shrink: bool,
    /// Where failing stories are kept.
    #[arg(long, default_value = "target/sim")]
    keep: PathBuf,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let parse = |number: &str| number.trim().parse::<u64>().map_err(|error| format!("`{number}` is no seed: {error}"));
    let (from, to) = text.split_once("..").ok_or("a range is written like 0..2000")?;
    let (from, to) = (parse(from)?, parse(to)?);
    if from < to { Ok((from, to)) } else { Err("the range is empty".to_owned()) }
}

fn main() -> ExitCode {
    match simulate(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True: every rule held.
fn simulate(arguments: &Arguments) -> Result<bool> {
    println!("commit {}", option_env!("WITCH_COMMIT").unwrap_or("unknown"));
    if let Some(file) = &arguments.replay {
        let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let story = serde_json::from_slice(&text).with_context(|| format!("understand {} as a story", file.display()))?;
        return tell(arguments, &story);
    }
    if let Some(seed) = arguments.seed {
        return tell(arguments, &Story::of(seed, arguments.beyond));
    }
    let (from, to) = arguments.seeds.unwrap_or((arguments.from, u64::MAX));
    let seconds = match (arguments.minutes, arguments.seeds) {
        (Some(minutes), _) => Some(minutes * 60),
        (None, Some(_)) => None,
        (None, None) => Some(60),
    };
    let summary = batch::run_seeds(from, to, seconds, arguments.threads.max(1), arguments.beyond, arguments.keep_going);
    print!("{}", summary.describe(arguments.beyond));
    let Some(story) = summary.failed else { return Ok(true) };
    tell(arguments, &story)
}

/// One story, and, if it fails, a smaller one that does, too.
fn tell(arguments: &Arguments, story: &Story) -> Result<bool> {
    let outcome = batch::guarded(story, arguments.explain);
    for line in &outcome.lines {
        println!("{line}");
    }
    let Some(violation) = outcome.violation else {
        let after = outcome.writable_after.map_or_else(|| "unasked".to_owned(), |micros| format!("{} ms", micros / 1000));
        println!("seed {}: every rule held; digest {:016x}, core writable after {after}", story.seed, outcome.digest);
        for (rule, count) in &outcome.beyond {
            println!("{count:>10}  {rule} broken beyond the promises");
        }
        return Ok(true);
    };
    println!("seed {}: {violation}", story.seed);
    if arguments.no_shrink || violation.rule == batch::PANIC {
        return Ok(false);
    }
    let small = shrink(story, violation.rule, SHRINK_MAX);
    std::fs::create_dir_all(&arguments.keep).with_context(|| format!("make {}", arguments.keep.display()))?;
    let file = arguments.keep.join(format!("{}-{}.json", violation.rule, story.seed));
    std::fs::write(&file, serde_json::to_vec_pretty(&small)?).with_context(|| format!("write {}", file.display()))?;
    if let Some(violation) = run(&small, false).violation {
        println!("with {} of {} faults: {violation}", small.faults.len(), story.faults.len());
    }
    for timed in &small.faults {
        println!("  {:>6} ms  {:?}", timed.at, timed.fault);
    }
    println!("kept in {}; read it with: sim --replay {} --explain", file.display(), file.display());
    Ok(false)
}
