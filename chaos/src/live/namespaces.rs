//! Hosts that are network namespaces of this machine: the first back end of the chaos harness.
//!
//! Each node has an address of its own on a switch whose cables can be cut (`Network`) and slowed by the kernel's token bucket (`tc ... tbf`),
//! and a library that is preloaded into all its processes gives it a time of day and disks of its own (`host_shim.c`). Killing, stopping and
//! emptying are signals and changes to files.

use super::host_shim::HostShim;
use super::hosts::{Disk, Door, Folder, Hosts, Part, Pressure, Slowness, Verb, Way};
use super::pressure::Work;
use super::{Builder, Cluster, Network, Node};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// For a daemon to leave on SIGUSR1.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);

/// A cluster whose hosts are namespaces.
#[derive(Debug)]
pub struct NamespaceHosts {
    // In this order they are dropped: what presses on the nodes ends before them.
    work: Mutex<BTreeMap<usize, Work>>,
    cluster: Cluster,
    /// Or why there are none.
    shims: Result<Vec<HostShim>, String>,
    /// Why cables cannot be slowed here.
    no_slowness: Option<String>,
}

impl NamespaceHosts {
    /// Lays the network and prepares the nodes; no daemon runs yet.
    pub fn prepare(builder: Builder, nodes: usize) -> Result<Self> {
        let network = Network::create(nodes)?;
        let no_slowness = network.try_slowness().err().map(|error| format!("{error:#}"));
        let mut cluster = builder.nodes(nodes).on(network).prepare()?;
        let shims = equip(&mut cluster).map_err(|error| format!("{error:#}"));
        Ok(Self { work: Mutex::default(), cluster, shims, no_slowness })
    }

    /// The cluster on these hosts.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn node(&self, node: usize) -> &Node {
        self.cluster.node(node)
    }

    fn shim(&self, node: usize) -> Result<&HostShim> {
        let shims = self.shims.as_ref().map_err(|why| anyhow!("{why}"))?;
        shims.get(node).with_context(|| format!("there is no node at place {node}"))
    }
}

/// Every node gets a shim of its own.
fn equip(cluster: &mut Cluster) -> Result<Vec<HostShim>> {
    let nodes = cluster.nodes().len();
    (0..nodes).map(|node| cluster.node_mut(node).equip()).collect()
}

impl Hosts for NamespaceHosts {
    fn kind(&self) -> &'static str {
        "network namespaces"
    }

    fn doors(&self) -> Vec<Door> {
        self.cluster.nodes().iter().map(Node::door).collect()
    }

    fn lacks(&self, verb: Verb) -> Option<String> {
        match verb {
            Verb::Cut | Verb::Press => None,
            Verb::Slow => self.no_slowness.clone(),
            Verb::SetClock | Verb::SetDisk => self.shims.as_ref().err().cloned(),
        }
    }

    fn start(&self, node: usize) -> Result<()> {
        self.node(node).start()
    }

    fn kill(&self, node: usize, part: Part) -> Result<()> {
        let node = self.node(node);
        match part {
            Part::Backend => node.kill_backend(),
            Part::Server => node.kill_server(),
            Part::Daemon => node.kill_daemon(),
            Part::Guard => node.kill_guard(),
            Part::Everything => node.kill_node(),
        }
    }

    fn stop(&self, node: usize, part: Part) -> Result<()> {
        let node = self.node(node);
        match part {
            Part::Backend => bail!("a backend is only ever killed"),
            Part::Server => node.stop_server(),
            Part::Daemon => node.stop_daemon(),
            Part::Guard => node.stop_guard(),
            Part::Everything => node.stop_node(),
        }
    }

    fn resume(&self, node: usize, part: Part) -> Result<()> {
        let node = self.node(node);
        match part {
            Part::Backend => {}
            Part::Server => node.continue_server(),
            // Gone meanwhile, if that is an error.
            Part::Daemon => drop(node.continue_daemon()),
            Part::Guard => drop(node.continue_guard()),
            Part::Everything => node.continue_node(),
        }
        Ok(())
    }

    fn restart_daemon(&self, node: usize) -> Result<()> {
        let node = self.node(node);
        node.usr1()?;
        Handle::current().block_on(node.await_exit(LEAVE_DEADLINE))?;
        node.start()
    }

    fn empty(&self, node: usize, folder: Folder) -> Result<()> {
        ensure!(!self.is_up(node), "the daemon of {} runs; its folders are emptied only while it is down", self.node(node).name());
        match folder {
            Folder::Database => self.node(node).empty_database_directory(),
            Folder::Witch => self.node(node).empty_witch_directory(),
        }
    }

    fn cut(&self, ways: &[Way]) -> Result<()> {
        self.cluster.network()?.sever(ways)
    }

    fn mend(&self) -> Result<()> {
        self.cluster.network()?.heal()
    }

    fn slow(&self, node: usize, slowness: Option<Slowness>) -> Result<()> {
        self.cluster.network()?.slow(node, slowness)
    }

    fn set_clock(&self, node: usize, seconds: i64) -> Result<()> {
        self.shim(node)?.set_clock(seconds)
    }

    fn set_disk(&self, node: usize, folder: Folder, disk: Disk) -> Result<()> {
        self.shim(node)?.set_disk(folder, disk)
    }

    fn press(&self, node: usize, pressure: Pressure) -> Result<()> {
        let work = Work::begin(pressure)?;
        self.work.lock().unwrap_or_else(PoisonError::into_inner).insert(node, work);
        Ok(())
    }

    fn relieve(&self, node: usize) -> Result<()> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
        Ok(())
    }

    fn is_up(&self, node: usize) -> bool {
        self.node(node).daemon_pid().is_some()
    }

    fn save_logs(&self, folder: &Path) -> Result<()> {
        for node in self.cluster.nodes() {
            fs::write(folder.join(format!("{}.log", node.name())), node.log())
                .with_context(|| format!("cannot save the log of {}", node.name()))?;
        }
        if self.cluster.nodes().is_empty() {
            bail!("there is no node whose log could be saved");
        }
        Ok(())
    }
}
