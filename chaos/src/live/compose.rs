//! Hosts that are containers: the second back end of the chaos harness.
//!
//! Each node is a container of the image that `deploy/docker` makes, brought up by Compose from `chaos/compose/compose.yaml`. Process 1 of a
//! container is not the daemon but stands for the host, so that a daemon can die alone as it can below systemd; all at once is the container.
//! Cables are cut by a bridge table of nftables beside the engine, and signals go to the containers' processes as this host sees them: so this
//! needs root, an engine on this machine, and this process on the engine's own network. `scripts/docker-engine` sees to the last two.

mod container;
mod engine;
#[cfg(test)]
mod tests;
mod wiring;

use super::cluster::{API_TOKEN, LONG_TOKEN, PASSWORD, USER, client};
use super::host_shim::{HostShim, Places};
use super::hosts::{Disk, Door, Folder, Hosts, Part, Place, Pressure, Slowness, Verb, Way};
use super::node::LOOK_AGAIN;
use super::pressure::Work;
use super::scratch::Scratch;
use super::{Builder, ConfigFile, Identity, Target};
use actors::model::NodeId;
use anyhow::{Context, Result, anyhow, ensure};
use container::Container;
use engine::Project;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use wiring::Wiring;

/// The compose file has so many services.
const NODES_MAX: usize = 5;
/// The number of the user `postgres` in the image.
const OWNER: Identity = Identity::numbered(999);
/// Where the image has things.
const DATABASE: &str = "/var/lib/postgresql/witch";
const WITCH: &str = "/var/lib/witch";
/// The node's own folder, which this machine has below the cluster's.
const INSIDE: &str = "/node";
/// For a daemon to appear after its start, and to leave on SIGUSR1.
const DAEMON_DEADLINE: Duration = Duration::from_secs(10);

/// A cluster whose hosts are containers.
#[derive(Debug)]
pub struct ComposeHosts {
    // In this order they are dropped: what presses on the nodes, the containers, the cables, the files.
    work: Mutex<BTreeMap<usize, Work>>,
    slowed: Mutex<BTreeMap<usize, Slowness>>,
    nodes: Vec<Container>,
    doors: Vec<Door>,
    /// Or why there are none.
    shims: Result<Vec<HostShim>, String>,
    /// Why cables cannot be slowed here.
    no_slowness: Option<String>,
    _project: Project,
    wiring: Wiring,
    scratch: Scratch,
}

/// A thread that panicked while it held a lock must still be able to clean up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn called(node: usize) -> String {
    format!("n{}", node + 1)
}

impl ComposeHosts {
    /// Builds the image and brings the containers up; no daemon runs yet.
    pub fn prepare(builder: &Builder, nodes: usize) -> Result<Self> {
        ensure!(geteuid().is_root(), "the faults in containers need root: signals to their processes, and nftables");
        ensure!((1..=NODES_MAX).contains(&nodes), "the compose file has {NODES_MAX} nodes; ask for one to {NODES_MAX}");
        let scratch = Scratch::create(None, false)?;
        let subnet = wiring::free_subnet()?;
        let wiring = Wiring::create(subnet)?;
        let doors = (0..nodes).map(|node| door(&wiring, node)).collect::<Result<Vec<_>>>()?;
        for node in 0..nodes {
            furnish(scratch.path(), builder, &doors, node)?;
        }
        let project = Project::build(scratch.path(), &builder.programs().witch, subnet)?;
        let services: Vec<String> = (0..nodes).map(called).collect();
        project.up(&services)?;
        let containers =
            services.into_iter().map(|name| Ok(Container::new(project.container(&name)?, name))).collect::<Result<Vec<_>>>()?;
        let shims =
            (0..nodes).map(|node| shim(&scratch.path().join(called(node)))).collect::<Result<_>>().map_err(|error| format!("{error:#}"));
        let mut hosts = Self {
            work: Mutex::default(),
            slowed: Mutex::default(),
            nodes: containers,
            doors,
            shims,
            no_slowness: None,
            _project: project,
            wiring,
            scratch,
        };
        hosts.no_slowness = hosts.try_slowness().err().map(|error| format!("{error:#}"));
        Ok(hosts)
    }

    fn try_slowness(&self) -> Result<()> {
        self.slow(0, Some(Slowness { kbit_per_second: 1000, queue_ms: 100 }))?;
        self.slow(0, None)
    }

    fn node(&self, node: usize) -> Result<&Container> {
        self.nodes.get(node).with_context(|| format!("there is no node at place {node}"))
    }

    fn home(&self, node: usize) -> PathBuf {
        self.scratch.path().join(called(node))
    }

    fn shim(&self, node: usize) -> Result<&HostShim> {
        let shims = self.shims.as_ref().map_err(|why| anyhow!("{why}"))?;
        shims.get(node).with_context(|| format!("there is no node at place {node}"))
    }

    /// Waits until the daemon of a node is there, or is not.
    fn await_daemon(&self, node: usize, up: bool) -> Result<()> {
        let come = async {
            while self.is_up(node) != up {
                sleep(LOOK_AGAIN).await;
            }
        };
        let wanted = if up { "start" } else { "end" };
        Handle::current()
            .block_on(async { timeout(DAEMON_DEADLINE, come).await })
            .with_context(|| format!("the daemon of {} does not {wanted} within {DAEMON_DEADLINE:?}", called(node)))
    }
}

fn door(wiring: &Wiring, node: usize) -> Result<Door> {
    let (id, host) = (NodeId(u64::try_from(node + 1)?), wiring.address_of(Place::Node(node))?);
    let config = client(&host, 5432);
    Ok(Door { id, name: called(node), http: (host, 7000), token: API_TOKEN.to_owned(), target: Target { node: id, config } })
}

/// Makes the folders that the container of a node gets from this machine, and its configuration, as an operator would.
fn furnish(folder: &Path, builder: &Builder, doors: &[Door], node: usize) -> Result<()> {
    let home = folder.join(called(node));
    for (below, mode) in [("", 0o755), ("witch", 0o700), ("postgresql", 0o755), ("postgresql/witch", 0o700)] {
        let path = home.join(below);
        let make = || {
            fs::create_dir(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))
        };
        make().with_context(|| format!("cannot make {}", path.display()))?;
    }
    OWNER.own(&home).with_context(|| format!("cannot give {} to the image's user", home.display()))?;
    let number = |door: &Door| i64::try_from(door.id.0).expect("a cluster has few nodes");
    let own = &doors[node];
    let mut config = ConfigFile::new(home.join("witch.toml"));
    config
        .set("cluster.name", "live")
        .set("cluster.node_id", number(own))
        .set("cluster.node_name", own.name.as_str())
        .set("cluster.advertise_host", own.http.0.as_str())
        .set("cluster.token", LONG_TOKEN)
        .set("api.token", API_TOKEN)
        .set("database.user", USER)
        .set("database.password", PASSWORD)
        .set("postgres.replication_password", "a replication password")
        .set("postgres.parameters.shared_buffers", "16MB");
    for peer in doors.iter().filter(|peer| peer.id != own.id) {
        config.peer([("node_id", number(peer).into()), ("name", peer.name.as_str().into()), ("host", peer.http.0.as_str().into())]);
    }
    for (key, value) in builder.settings_of(node) {
        config.set(key, value.clone());
    }
    config.save(&OWNER)
}

fn shim(home: &Path) -> Result<HostShim> {
    let places = Places { home, home_inside: Path::new(INSIDE), database: Path::new(DATABASE), witch: Path::new(WITCH) };
    HostShim::build(&places)
}

impl Hosts for ComposeHosts {
    fn kind(&self) -> &'static str {
        "docker-compose"
    }

    fn doors(&self) -> Vec<Door> {
        self.doors.clone()
    }

    fn lacks(&self, verb: Verb) -> Option<String> {
        match verb {
            Verb::Cut | Verb::Press => None,
            Verb::Slow => self.no_slowness.clone(),
            Verb::SetClock | Verb::SetDisk => self.shims.as_ref().err().cloned(),
        }
    }

    fn start(&self, node: usize) -> Result<()> {
        ensure!(!self.is_up(node), "the daemon of {} runs already", called(node));
        let container = self.node(node)?;
        let slowness = lock(&self.slowed).get(&node).copied();
        if container.boot()? && slowness.is_some() {
            // The cable was new.
            self.slow(node, slowness)?;
        }
        let preload = self.shim(node).ok().map(|shim| format!("LD_PRELOAD={}", shim.library().display()));
        let variables: Vec<String> = preload.into_iter().collect();
        container.run_beside(&variables, &["sh", "-c", "exec witch run >>/node/witch.log 2>&1"])?;
        self.await_daemon(node, true)
    }

    fn kill(&self, node: usize, part: Part) -> Result<()> {
        let container = self.node(node)?;
        match part {
            Part::Everything => container.cut_power(),
            part => container.signal(part, Signal::SIGKILL),
        }
    }

    fn stop(&self, node: usize, part: Part) -> Result<()> {
        self.node(node)?.signal(part, Signal::SIGSTOP)
    }

    fn resume(&self, node: usize, part: Part) -> Result<()> {
        // Gone meanwhile, if that is an error.
        drop(self.node(node)?.signal(part, Signal::SIGCONT));
        Ok(())
    }

    fn restart_daemon(&self, node: usize) -> Result<()> {
        self.node(node)?.signal(Part::Daemon, Signal::SIGUSR1)?;
        self.await_daemon(node, false)?;
        self.start(node)
    }

    fn empty(&self, node: usize, folder: Folder) -> Result<()> {
        let running = self.node(node)?.processes_of(Part::Everything)?;
        ensure!(running.is_empty(), "something of {} runs; its folders are emptied only while it is down", called(node));
        let folder = self.home(node).join(match folder {
            Folder::Database => "postgresql/witch",
            Folder::Witch => "witch",
        });
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot look into {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn cut(&self, ways: &[Way]) -> Result<()> {
        self.wiring.sever(ways)
    }

    fn mend(&self) -> Result<()> {
        self.wiring.heal()
    }

    fn slow(&self, node: usize, slowness: Option<Slowness>) -> Result<()> {
        match slowness {
            Some(slowness) => lock(&self.slowed).insert(node, slowness),
            None => lock(&self.slowed).remove(&node),
        };
        // A container that is down has no cable; it gets a slow one when it starts.
        match self.node(node)?.init()? {
            Some(init) => wiring::slow(init, slowness),
            None => Ok(()),
        }
    }

    fn set_clock(&self, node: usize, seconds: i64) -> Result<()> {
        self.shim(node)?.set_clock(seconds)
    }

    fn set_disk(&self, node: usize, folder: Folder, disk: Disk) -> Result<()> {
        self.shim(node)?.set_disk(folder, disk)
    }

    fn press(&self, node: usize, pressure: Pressure) -> Result<()> {
        let work = Work::begin(pressure)?;
        lock(&self.work).insert(node, work);
        Ok(())
    }

    fn relieve(&self, node: usize) -> Result<()> {
        lock(&self.work).remove(&node);
        Ok(())
    }

    fn is_up(&self, node: usize) -> bool {
        self.node(node).and_then(|container| container.processes_of(Part::Daemon)).is_ok_and(|daemons| !daemons.is_empty())
    }

    fn save_logs(&self, folder: &Path) -> Result<()> {
        for (node, container) in self.nodes.iter().enumerate() {
            let mut said = String::new();
            for log in ["witch.log", "witch/guard.log", "witch/postgres.log"] {
                let text = fs::read(self.home(node).join(log)).unwrap_or_default();
                write!(said, "--- {log}\n{}", String::from_utf8_lossy(&text))?;
            }
            fs::write(folder.join(format!("{}.log", container.name())), said)
                .with_context(|| format!("cannot save the log of {}", container.name()))?;
        }
        Ok(())
    }
}
