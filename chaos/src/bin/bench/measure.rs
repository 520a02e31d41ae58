//! How each row is measured.

use crate::row::Row;
use actors::machine::Timestamp;
use anyhow::{Context, Result, ensure};
use chaos::live::{Cluster, Fault, Incident, Network, Programs, SplitBrainWatch, Writer, now};
use std::time::Duration;
use tokio::time::sleep;

/// Within this a cluster must have healed, or the bench is over.
const HEAL: Duration = Duration::from_secs(120);
/// Between two runs, and before the first.
const CALM: Duration = Duration::from_secs(3);
/// Over which an idle node is observed.
const IDLE: Duration = Duration::from_secs(30);
/// A server that dies for the third time within ten minutes is not restarted in place any more, so no cluster serves for more runs than
/// its nodes can take with the primary going round.
const RUNS_MAX: usize = 5;

const CRASH: &str = "server killed";
const KILL: &str = "host killed";
const CUT: &str = "primary cut off";
const SWITCHOVER: &str = "planned switchover";
const HANG: &str = "server hangs";
const REJOIN: &str = "node back without divergence";
const REWIND: &str = "node back with a rewind";
const IDLE_NODE: &str = "idle node";

/// Every row by name, and whether it needs hosts whose cables can be cut.
pub(crate) const NAMES: [(&str, bool); 8] =
    [(CRASH, false), (KILL, false), (CUT, true), (SWITCHOVER, false), (HANG, false), (REJOIN, false), (REWIND, false), (IDLE_NODE, false)];

/// What is measured, and how often.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) runs: usize,
}

/// A cluster with clients on it.
struct Stage {
    writer: Writer,
    watch: SplitBrainWatch,
    cluster: Cluster,
}

impl Bench {
    pub(crate) async fn measure(&self, name: &str) -> Result<Vec<Row>> {
        Ok(match name {
            CRASH => vec![self.outage(name, Fault::Crash, 1000.0).await?],
            KILL => vec![self.outage(name, Fault::Kill, 3500.0).await?],
            CUT => vec![self.outage(name, Fault::Cut, 3500.0).await?],
            SWITCHOVER => vec![self.outage(name, Fault::Switchover, 500.0).await?],
            HANG => vec![self.outage(name, Fault::Freeze, 5000.0).await?],
            REJOIN => vec![self.rejoin(name, false, 3000.0).await?],
            REWIND => vec![self.rejoin(name, true, 8000.0).await?],
            _ => self.idle().await?,
        })
    }

    async fn stage(&self, on_hosts: bool) -> Result<Stage> {
        let mut builder = Cluster::builder(self.programs.clone());
        if on_hosts {
            builder = builder.on(Network::create(3)?);
        }
        let cluster = builder.start().await?;
        let writer = Writer::start(cluster.targets()).await?;
        let watch = SplitBrainWatch::start(cluster.targets()).await?;
        sleep(CALM).await;
        Ok(Stage { writer, watch, cluster })
    }

    /// The client's wait after a fault of the primary.
    async fn outage(&self, name: &str, fault: Fault, target: f64) -> Result<Row> {
        let mut incidents = Vec::new();
        while incidents.len() < self.runs {
            let stage = self.stage(fault == Fault::Cut).await?;
            for _ in 0..RUNS_MAX.min(self.runs - incidents.len()) {
                incidents.push(stage.incident(fault).await?);
                stage.go_round(fault).await?;
                sleep(CALM).await;
            }
            stage.watch.verdict()?;
        }
        let samples = incidents.iter().filter_map(|incident| incident.outage.map(millis)).collect();
        Ok(Row { name: name.to_owned(), unit: "ms", target: Some(target), samples, remark: remark(&incidents) })
    }

    /// From the start of a node's daemon until its database streams.
    async fn rejoin(&self, name: &str, diverged: bool, target: f64) -> Result<Row> {
        let mut samples = Vec::new();
        while samples.len() < self.runs {
            let stage = self.stage(false).await?;
            for _ in 0..RUNS_MAX.min(self.runs - samples.len()) {
                let node = if diverged { stage.lose_a_diverged_primary().await? } else { stage.lose_a_standby().await? };
                let begun = now();
                stage.cluster.node(node).start()?;
                stage.cluster.await_settled(HEAL).await?;
                samples.push(millis(now().since(begun)));
                sleep(CALM).await;
            }
            stage.watch.verdict()?;
        }
        Ok(Row {
            name: name.to_owned(),
            unit: "ms",
            target: Some(target),
            samples,
            remark: "from the start of its daemon until it streams".to_owned(),
        })
    }

    /// Memory and processor time of daemon and guard while nobody writes.
    async fn idle(&self) -> Result<Vec<Row>> {
        let cluster = Cluster::builder(self.programs.clone()).start().await?;
        sleep(CALM).await;
        let (mut resident, mut proportional, mut processor) = (Vec::new(), Vec::new(), Vec::new());
        let usages = || cluster.nodes().iter().map(chaos::live::Node::usage).collect::<Result<Vec<_>>>();
        for _ in 0..self.runs {
            let (before, begun) = (usages()?, now());
            sleep(IDLE).await;
            let (after, passed) = (usages()?, now().since(begun));
            for (before, after) in before.iter().zip(&after) {
                resident.push(kib_to_mb(after.resident_kib));
                proportional.push(kib_to_mb(after.proportional_kib));
                processor.push(100.0 * (after.processor - before.processor).as_secs_f64() / passed.as_secs_f64());
            }
        }
        let row = |name: &str, unit, target, samples, remark: &str| Row {
            name: format!("{IDLE_NODE}: {name}"),
            unit,
            target,
            samples,
            remark: remark.to_owned(),
        };
        Ok(vec![
            row("resident memory", "MB", Some(15.0), resident, "daemon and guard together; pages of the program count twice"),
            row("its proportional share", "MB", None, proportional, "shared pages are divided among those who map them"),
            row("processor", "% of a core", Some(0.5), processor, "daemon and guard together"),
        ])
    }
}

impl Stage {
    /// One fault of the primary, followed until all is well again.
    async fn incident(&self, fault: Fault) -> Result<Incident> {
        let mut incident = Incident::cause(&self.cluster, fault).await?;
        incident.follow(&self.cluster, &self.writer, HEAL).await?;
        self.cluster.await_settled(HEAL).await?;
        Ok(incident)
    }

    /// Moves the primary on after a crash, so that no server dies too often.
    async fn go_round(&self, fault: Fault) -> Result<()> {
        if fault == Fault::Crash {
            let primary = self.cluster.primary().await?;
            let next = self.cluster.node((primary + 1) % self.cluster.nodes().len());
            let answer = self.cluster.switchover(primary, Some(next.name())).await?;
            ensure!(answer.status == 200, "the switchover between two runs was refused: {}", answer.body);
            self.cluster.await_settled(HEAL).await?;
        }
        Ok(())
    }

    async fn lose_a_standby(&self) -> Result<usize> {
        let standby = self.cluster.standby().await?;
        self.cluster.node(standby).kill_node()?;
        sleep(CALM).await;
        Ok(standby)
    }

    /// Kills a primary that has written what nobody else has.
    async fn lose_a_diverged_primary(&self) -> Result<usize> {
        let primary = self.cluster.primary().await?;
        let standbys: Vec<_> =
            self.cluster.nodes().iter().enumerate().filter(|(index, _)| *index != primary).map(|(_, node)| node).collect();
        for standby in &standbys {
            standby.stop_server()?;
        }
        for _ in 0..20 {
            self.writer.acknowledged_after(now(), CALM).await?;
        }
        let killed = now();
        self.cluster.node(primary).kill_node()?;
        for standby in &standbys {
            standby.continue_server();
        }
        self.successor_writes(killed).await?;
        Ok(primary)
    }

    async fn successor_writes(&self, killed: Timestamp) -> Result<()> {
        self.writer.acknowledged_after(killed, HEAL).await.context("nobody took over")?;
        Ok(())
    }
}

/// An instant of an incident.
type Phase = fn(&Incident) -> Option<Duration>;

/// Where the time went: the medians of the phases; and in how many runs the old primary was gone before the new one was promoted.
fn remark(incidents: &[Incident]) -> String {
    let median = |phase: Phase| {
        let samples: Vec<f64> = incidents.iter().filter_map(phase).map(millis).collect();
        let row = Row { name: String::new(), unit: "", target: None, samples, remark: String::new() };
        (!row.samples.is_empty()).then(|| row.median())
    };
    let phases: [(&str, Phase); 4] = [
        ("fenced", |incident| incident.fenced),
        ("appointed", |incident| incident.appointed),
        ("promoted", |incident| incident.promoted),
        ("rejoined", |incident| incident.rejoined),
    ];
    let mut words: Vec<String> = phases.iter().filter_map(|(name, phase)| Some(format!("{name} {:.0}", median(*phase)?))).collect();
    let promoted: Vec<_> = incidents.iter().filter_map(|incident| Some((incident.fenced?, incident.promoted?))).collect();
    if !promoted.is_empty() {
        let first = promoted.iter().filter(|(fenced, promoted)| fenced <= promoted).count();
        words.push(format!("fenced first in {first} of {}", promoted.len()));
    }
    words.join(", ")
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn kib_to_mb(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1024.0 / 1e6
}
