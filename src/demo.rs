//! `witch demo`: failover to look at, on a real cluster of this machine.
//!
//! The cluster, the faults and the clients are those of the black-box tests (`chaos::live`), so what people see is what the tests check.
//! With `--script` the faults come one after the other and the exit code is the verdict; without, a terminal shows it all and keys do the
//! damage. Whichever way it ends, also by Ctrl-C or an error, the cluster is dropped, and with it every process and file.

mod account;
mod live;
mod screen;
mod script;

use crate::cli::DemoArgs;
use crate::exit::{Exit, Failure};
use anyhow::{Context, anyhow};
use chaos::live::{Cluster, Fault, Programs, SplitBrainWatch, Writer};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the first write may take.
const FIRST_WRITE: Duration = Duration::from_secs(10);

/// A cluster with clients on it.
struct Stage {
    // In this order they are dropped: the clients first.
    writer: Writer,
    watch: SplitBrainWatch,
    cluster: Cluster,
}

/// Runs the demo until its script is over, somebody quits, or a signal ends it.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let faults = args.script.iter().map(|word| word.parse::<Fault>()).collect::<Result<Vec<_>, _>>();
    let faults = faults.map_err(|error| Failure { exit: Exit::Usage, cause: error.into() })?;
    if faults.is_empty() && !std::io::stdout().is_terminal() {
        let cause = anyhow!("the live view needs a terminal; without one, use --script, for example --script crash,kill,freeze,switchover");
        return Err(Failure { exit: Exit::Usage, cause });
    }
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        outcome = play(args, &faults) => outcome,
        // The future is dropped, and the cluster with it.
        _ = interrupted.recv() => Err(anyhow!("interrupted; every process and file of the demo is gone").into()),
        _ = terminated.recv() => Err(anyhow!("told to end; every process and file of the demo is gone").into()),
    }
}

async fn play(args: &DemoArgs, faults: &[Fault]) -> Result<(), Failure> {
    let stage = build(args).await?;
    if faults.is_empty() {
        live::show(&stage).await?;
        return farewell(stage);
    }
    let verdict = script::play(&stage, faults).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdict).context("cannot write the verdict as JSON")?);
    } else {
        print!("{}", verdict.in_words());
    }
    if verdict.ok { Ok(()) } else { Err(anyhow!("the cluster did not keep its promises").into()) }
}

/// What it came to; then the nodes are stopped, which takes a few seconds, and the folder is removed.
fn farewell(stage: Stage) -> Result<(), Failure> {
    let acknowledged = stage.writer.ledger().writes().len();
    let violations = stage.watch.violations();
    for violation in &violations {
        eprintln!("{violation}");
    }
    let times = if violations.is_empty() { "never".to_owned() } else { format!("{} times", violations.len()) };
    eprintln!("acknowledged writes: {acknowledged}; two databases accepting writes at once: {times}");
    eprintln!("stopping the nodes in {}", stage.cluster.folder().display());
    drop(stage);
    if violations.is_empty() { Ok(()) } else { Err(anyhow!("the cluster did not keep its promises").into()) }
}

/// Starts everything, and tells on standard error how it goes.
async fn build(args: &DemoArgs) -> anyhow::Result<Stage> {
    let programs = Programs::find(&std::env::current_exe().context("cannot find this program's own file")?)?;
    eprintln!("PostgreSQL: {} in {}", programs.postgres_version()?, programs.postgres_bin.display());
    let cluster = Cluster::builder(programs).nodes(usize::from(args.nodes)).within(args.dir.clone()).keep(args.keep).prepare()?;
    eprintln!("starting {} nodes in {}", args.nodes, cluster.folder().display());
    for node in cluster.nodes() {
        node.start()?;
    }
    let born = chaos::live::now();
    let primary = cluster.await_birth().await?;
    let took = chaos::live::now().since(born).as_secs_f64();
    eprintln!("{} is the primary, and all others stream from it, after {took:.1} s", cluster.node(primary).name());
    let writer = Writer::start(cluster.targets()).await?;
    let watch = SplitBrainWatch::start(cluster.targets()).await?;
    writer.acknowledged_after(chaos::live::now(), FIRST_WRITE).await?;
    Ok(Stage { writer, watch, cluster })
}
