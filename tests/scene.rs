//! What nearly every test begins and ends with: a healthy cluster with clients on it, and the judgement of what they saw.

use actors::machine::Timestamp;
use anyhow::{Context, Result, ensure};
use chaos::ledger::{Reconciled, Write};
use chaos::live::{Builder, Cluster, HostShim, Network, Programs, SplitBrainWatch, Writer};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The program under test.
pub(crate) const WITCH: &str = env!("CARGO_BIN_EXE_witch");
/// Within this a cluster must have healed by itself, on a busy machine and with a re-clone on the way.
pub(crate) const HEAL: Duration = Duration::from_secs(60);
/// Within this a successor must accept writes: several times what the bench shows, because two clusters share two cores here.
pub(crate) const TAKE_OVER: Duration = Duration::from_secs(20);

/// Two clusters of three nodes are what two cores can carry without spoiling each other's time.
static SEATS: Semaphore = Semaphore::const_new(2);

/// The programs on this machine.
pub(crate) fn programs() -> Result<Programs> {
    Programs::find(Path::new(WITCH))
}

/// The usual cluster: three nodes, default settings.
pub(crate) fn cluster() -> Result<Builder> {
    Ok(Cluster::builder(programs()?))
}

/// Leave to run a cluster; it is handed back by the drop.
pub(crate) async fn seat() -> SemaphorePermit<'static> {
    SEATS.acquire().await.expect("nobody closes the semaphore")
}

/// A healthy cluster with clients on it.
pub(crate) struct Scene {
    // In this order they are dropped: the clients first.
    pub(crate) writer: Writer,
    pub(crate) watch: SplitBrainWatch,
    pub(crate) cluster: Cluster,
    _seat: SemaphorePermit<'static>,
}

/// How much may be lost of what was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// Nothing.
    None,
    /// Asynchronous replication: nothing that was older than a second when the fault came. (D1 bounds it in bytes; a busy standby is
    /// some milliseconds behind.)
    AroundTheFault(Timestamp),
}

impl Scene {
    /// Three nodes on loopback with default settings.
    pub(crate) async fn open() -> Result<Self> {
        Self::of(cluster()?).await
    }

    /// Three nodes with hosts of their own. None, with the reason told, where this machine does not let us make them.
    pub(crate) async fn on_hosts() -> Result<Option<Self>> {
        match Network::create(3) {
            Ok(network) => Ok(Some(Self::of(cluster()?.on(network)).await?)),
            // A machine that is meant to run these tests says so, and then a skip is a failure.
            Err(error) if std::env::var_os("WITCH_TEST_REQUIRE_NETWORK").is_none() => {
                eprintln!("not run: {error:#}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Three nodes on loopback, of which the first is the primary and has a time of day and disks of its own: the shim sets them.
    pub(crate) async fn with_a_shimmed_primary() -> Result<(Self, HostShim)> {
        let seat = seat().await;
        let mut cluster = cluster()?.prepare()?;
        // The first node is the first primary.
        let shim = cluster.node_mut(0).equip()?;
        for node in cluster.nodes() {
            node.start()?;
        }
        let primary = cluster.await_settled(HEAL).await?;
        ensure!(primary == 0, "n{} became the first primary", primary + 1);
        Ok((Self::on(cluster, seat).await?, shim))
    }

    /// Any cluster.
    pub(crate) async fn of(builder: Builder) -> Result<Self> {
        let seat = seat().await;
        let cluster = builder.start().await?;
        Self::on(cluster, seat).await
    }

    /// A cluster that runs already.
    pub(crate) async fn on(cluster: Cluster, seat: SemaphorePermit<'static>) -> Result<Self> {
        let writer = Writer::start(cluster.targets()).await?;
        let watch = SplitBrainWatch::start(cluster.targets()).await?;
        writer.acknowledged_after(chaos::live::now(), TAKE_OVER).await?;
        Ok(Self { writer, watch, cluster, _seat: seat })
    }

    /// Waits for a write that begins from now on to be acknowledged by a node.
    pub(crate) async fn await_write_on(&self, node: usize) -> Result<Write> {
        let id = self.cluster.node(node).id();
        let begun = chaos::live::now();
        let what = format!("a write acknowledged by node {id}");
        self.cluster.wait_until(&what, TAKE_OVER, async || self.write_since(begun, |by| by == id)).await
    }

    /// Waits for a write that began after `instant` to be acknowledged by another node than this.
    pub(crate) async fn await_successor(&self, old: usize, instant: Timestamp) -> Result<usize> {
        let old = self.cluster.node(old).id();
        let what = format!("a write acknowledged by a successor of node {old}");
        let write = self.cluster.wait_until(&what, TAKE_OVER, async || self.write_since(instant, |by| by != old)).await?;
        self.cluster.index_of(write.acknowledgement.node)
    }

    fn write_since(&self, instant: Timestamp, wanted: impl Fn(actors::model::NodeId) -> bool) -> Result<Write> {
        let ledger = self.writer.ledger();
        let write = ledger.last().filter(|write| write.acknowledgement.began > instant).context("no write was acknowledged since")?;
        ensure!(wanted(write.acknowledgement.node), "the last write was acknowledged by node {}", write.acknowledgement.node);
        Ok(write)
    }

    /// Asserts what must hold after every fault, once all nodes are back.
    pub(crate) async fn finish(self, loss: Loss) -> Result<Reconciled> {
        self.cluster.await_settled(HEAL).await?;
        self.writer.acknowledged_after(chaos::live::now(), TAKE_OVER).await?;
        self.watch.verdict()?;
        for node in self.cluster.nodes() {
            // Only Witch's statements name the catalogue's schema everywhere.
            let log = std::fs::read(node.witch_directory().join("postgres.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let failed =
                log.lines().find(|line| line.contains("ERROR:") && line.contains("pg_catalog.") && line.contains("does not exist"));
            ensure!(failed.is_none(), "a statement of Witch fails on {}: {}", node.name(), failed.unwrap_or_default());
        }
        let reconciled = self.writer.reconcile().await?;
        ensure!(reconciled.duplicated == 0, "{} writes are there more than once", reconciled.duplicated);
        let forbidden: Vec<_> = match loss {
            Loss::None => reconciled.lost.clone(),
            Loss::AroundTheFault(fault) => {
                let old = fault - Duration::from_secs(1);
                reconciled.lost.iter().filter(|write| write.acknowledgement.ended < old).copied().collect()
            }
        };
        if !forbidden.is_empty() {
            let (count, first) = (forbidden.len(), forbidden[0]);
            anyhow::bail!("{count} acknowledged writes are lost, the first is {first:?}\n{}", self.cluster.describe().await);
        }
        Ok(reconciled)
    }
}
