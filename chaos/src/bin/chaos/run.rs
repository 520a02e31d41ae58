//! One run: hosts, clients, nemesis, and then the judgement.

use crate::conclude;
use anyhow::{Context, Result, bail};
use chaos::history::{Event, History, Recorder, SCHEMA, Setting};
use chaos::live::{Cluster, ComposeHosts, Hosts, NamespaceHosts, Programs, Verb, rootless};
use chaos::nemesis::{Nemesis, Schedule, statuses};
use chaos::workload::{self, Workload};
use clap::{Args, ValueEnum};
use rand::Rng;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// For the birth of the cluster, and for its healing when all is repaired: a machine that is busy with other things is no violation.
const BIRTH_DEADLINE: Duration = Duration::from_secs(180);
const HEAL_DEADLINE: Duration = Duration::from_secs(180);
/// After the healing, for the clients to meet a quiet cluster.
const CALM: Duration = Duration::from_secs(3);

/// What decides the schedule.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    /// How long the clients work.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Everything that is left to chance is drawn from this; a random one unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Play this schedule instead of drawing one: a file as `chaos plan` prints it, or a saved history.
    #[arg(long)]
    replay: Option<PathBuf>,
}

impl Plan {
    fn schedule(&self, lacking: &[Verb]) -> Result<Schedule> {
        if let Some(path) = &self.replay {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let saved = History::parse(&text).map(|history| history.setting.schedule);
            return saved
                .or_else(|_| serde_json::from_str(&text))
                .with_context(|| format!("{} is neither a schedule nor a history", path.display()));
        }
        if !(self.minutes > 0.0 && self.minutes < 10_000.0 && (3..=9).contains(&self.nodes)) {
            bail!("--minutes must be above 0 and below 10000, and --nodes 3 to 9");
        }
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(1..1_000_000));
        let length = Duration::from_secs_f64(self.minutes * 60.0);
        Ok(Schedule::draw(seed, self.nodes, u64::try_from(length.as_millis())?, lacking))
    }

    /// Shows it.
    pub(crate) fn print(&self) -> Result<bool> {
        println!("{}", serde_json::to_string_pretty(&self.schedule(&[])?)?);
        Ok(true)
    }
}

/// What the hosts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Network namespaces of this machine.
    Namespaces,
    /// Containers; run this below `scripts/docker-engine`.
    Compose,
}

impl Backend {
    fn prepare(self, programs: &Programs, nodes: usize) -> Result<Arc<dyn Hosts>> {
        let builder = Cluster::builder(programs.clone());
        Ok(match self {
            Self::Namespaces => Arc::new(NamespaceHosts::prepare(builder, nodes)?),
            Self::Compose => Arc::new(ComposeHosts::prepare(&builder, nodes)?),
        })
    }
}

/// A run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// What the hosts are made of.
    #[arg(long, value_enum, default_value = "namespaces")]
    backend: Backend,
    /// The program to hurt.
    #[arg(long)]
    witch: PathBuf,
    #[command(flatten)]
    plan: Plan,
    /// The results go into a folder below this one, named by the seed.
    #[arg(long, default_value = "target/chaos")]
    out: PathBuf,
    /// Where this machine does not let us make the hosts, say so and succeed, unless WITCH_TEST_REQUIRE_NETWORK is set.
    #[arg(long)]
    skip_without_network: bool,
}

impl Run {
    /// Whether no violation was found and the cluster came back.
    pub(crate) fn begin(&self) -> Result<bool> {
        if self.backend == Backend::Namespaces
            && let Err(error) = rootless::enter()
        {
            return self.without_hosts(error);
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?.block_on(self.run())
    }

    /// What a machine that cannot make the hosts means for the run.
    fn without_hosts(&self, error: anyhow::Error) -> Result<bool> {
        if self.skip_without_network && std::env::var_os("WITCH_TEST_REQUIRE_NETWORK").is_none() {
            println!("not run: {error:#}");
            return Ok(true);
        }
        Err(error)
    }

    async fn run(&self) -> Result<bool> {
        let programs = Programs::find(&self.witch)?;
        let drawn = self.plan.schedule(&[])?;
        let hosts = match self.backend.prepare(&programs, drawn.nodes) {
            Ok(hosts) => hosts,
            Err(error) => return self.without_hosts(error),
        };
        let (lacking, reasons) = lacking(&*hosts);
        // Drawn again from the same seed, without what these hosts cannot do.
        let schedule = if lacking.is_empty() || self.plan.replay.is_some() {
            drawn
        } else {
            Plan { seed: Some(drawn.seed), ..self.plan.clone() }.schedule(&lacking)?
        };
        let folder = self.out.join(schedule.seed.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        println!(
            "seed {}, {} faults in {} s on {}; results in {}",
            schedule.seed,
            schedule.steps.len(),
            schedule.length_ms / 1000,
            hosts.kind(),
            folder.display()
        );
        for reason in &reasons {
            println!("left out: {reason}");
        }
        let history_path = folder.join("history.jsonl");
        let recorder = Arc::new(Recorder::create(&history_path)?);
        let nemesis = Nemesis::new(Arc::clone(&hosts), Arc::clone(&recorder));
        let setting = Setting {
            schema: SCHEMA,
            witch: programs.witch_version()?,
            postgres: programs.postgres_version()?,
            hosts: hosts.kind().to_owned(),
            nodes: hosts.doors().into_iter().map(|door| (door.id, door.name)).collect(),
            total: workload::TOTAL,
            max_replication_lag: 1_048_576,
            lacking: reasons,
            schedule: schedule.clone(),
        };
        let played = tokio::select! {
            played = play(&hosts, &nemesis, &recorder, setting, &schedule) => played,
            signal = interrupted() => Err(signal),
        };
        recorder.close()?;
        // The logs are worth most when something went wrong.
        save_evidence(&hosts, &folder).await;
        drop(nemesis);
        drop(hosts);
        played?;
        conclude(&History::read(&history_path)?, &folder)
    }
}

/// From the birth to the last look.
async fn play(hosts: &Arc<dyn Hosts>, nemesis: &Nemesis, recorder: &Arc<Recorder>, setting: Setting, schedule: &Schedule) -> Result<()> {
    let doors = hosts.doors();
    for node in 0..doors.len() {
        let hosts = Arc::clone(hosts);
        tokio::task::spawn_blocking(move || hosts.start(node)).await??;
    }
    nemesis.await_whole(BIRTH_DEADLINE).await.map_err(|missing| anyhow::anyhow!("the cluster was not born: {missing}"))?;
    workload::create(&doors).await?;
    let setting = Setting { max_replication_lag: allowed_lag(hosts).await.unwrap_or(setting.max_replication_lag), ..setting };
    recorder.record(Event::Began(Box::new(setting)));
    let clients = Workload::start(&doors, recorder);
    let unhealed = tokio::select! {
        unhealed = hurt_and_heal(nemesis, schedule) => unhealed,
        () = nemesis.revive() => None,
    };
    clients.stop().await?;
    match workload::read_end(&doors, unhealed.clone()).await {
        Ok(end) => recorder.record(Event::Ended(Box::new(end))),
        // The checkers miss the end; the reason is told here.
        Err(error) => eprintln!("chaos: the databases could not be read in the end: {error:#}; {}", unhealed.unwrap_or_default()),
    }
    Ok(())
}

/// What is missing when all is repaired and long enough has passed.
async fn hurt_and_heal(nemesis: &Nemesis, schedule: &Schedule) -> Option<String> {
    nemesis.run(schedule).await;
    if let Err(error) = nemesis.repair_everything().await {
        return Some(format!("something could not be repaired: {error:#}"));
    }
    if let Err(missing) = nemesis.await_whole(HEAL_DEADLINE).await {
        return Some(missing);
    }
    tokio::time::sleep(CALM).await;
    // And not for an instant only.
    nemesis.await_whole(HEAL_DEADLINE).await.err()
}

async fn allowed_lag(hosts: &Arc<dyn Hosts>) -> Option<u64> {
    let said = statuses(&hosts.doors()).await;
    said.iter().flatten().find_map(|status| status.state.as_ref()).map(|state| state.settings.max_replication_lag)
}

/// What these hosts cannot do, and why.
fn lacking(hosts: &dyn Hosts) -> (Vec<Verb>, Vec<String>) {
    let verbs = [Verb::Cut, Verb::Slow, Verb::SetClock, Verb::SetDisk, Verb::Press];
    let missing = verbs.into_iter().filter_map(|verb| Some((verb, hosts.lacks(verb)?)));
    missing.map(|(verb, why)| (verb, format!("{verb:?}: {why}"))).unzip()
}

async fn save_evidence(hosts: &Arc<dyn Hosts>, folder: &Path) {
    let (hosts, folder) = (Arc::clone(hosts), folder.to_owned());
    let saved = tokio::task::spawn_blocking(move || hosts.save_logs(&folder)).await;
    if let Err(error) = saved.map_err(anyhow::Error::from).and_then(|saved| saved) {
        eprintln!("chaos: the logs could not be saved: {error:#}");
    }
}

/// Ends the run in an orderly way, so that nothing of it stays.
async fn interrupted() -> anyhow::Error {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return anyhow::anyhow!("cannot listen to signals");
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anyhow::anyhow!("interrupted; everything that was started is being ended")
}
