//! A cluster on this machine: its folder, its configuration files, its daemons; and waiting for it.

use super::http::Answer;
use super::network::Network;
use super::node::{LOOK_AGAIN, Node};
use super::scratch::Scratch;
use super::{ConfigFile, Identity, Programs, Target, ports};
use actors::model::{NodeId, Status};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use toml_edit::Value;

/// How long the birth of a cluster may take on a busy machine: an initdb, two clones.
const BIRTH_DEADLINE: Duration = Duration::from_secs(90);
/// How late a healthy node may be with its answer on a busy machine.
const LATE_ANSWER: Duration = Duration::from_secs(10);
/// How long a switchover may take before its asker gives up.
const SWITCHOVER_DEADLINE: Duration = Duration::from_secs(30);
/// The superuser that Witch and the test's clients use.
pub(super) const USER: &str = "witch";
pub(super) const PASSWORD: &str = "a database password";
/// The secret of the nodes where only this host can reach them.
pub(super) const TOKEN: &str = "a-token-that-every-node-knows";
/// And where others can, which has to be longer.
pub(super) const LONG_TOKEN: &str = "a-token-that-every-node-of-this-network-knows";
/// What commands over the network show.
pub(super) const API_TOKEN: &str = "a-token-that-only-those-who-command-know";

/// How a cluster shall be.
#[derive(Debug)]
pub struct Builder {
    programs: Programs,
    nodes: usize,
    /// A key and its value, on one node (from 0) or on all.
    settings: Vec<(Option<usize>, String, Value)>,
    network: Option<Network>,
    within: Option<PathBuf>,
    keep: bool,
}

impl Builder {
    /// What the nodes run.
    pub(super) const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The keys that are set on one node beside what every node needs.
    pub(super) fn settings_of(&self, node: usize) -> impl Iterator<Item = (&str, &Value)> {
        let here = self.settings.iter().filter(move |(only, ..)| only.is_none_or(|only| only == node));
        here.map(|(_, key, value)| (key.as_str(), value))
    }

    /// How many nodes; three unless told otherwise.
    #[must_use]
    pub const fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Sets a key of every configuration file, such as `failover.lease_ttl_ms`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.push((None, key.to_owned(), value.into()));
        self
    }

    /// Sets a key of one node's configuration file; nodes count from 0.
    #[must_use]
    pub fn set_on(mut self, node: usize, key: &str, value: impl Into<Value>) -> Self {
        self.settings.push((Some(node), key.to_owned(), value.into()));
        self
    }

    /// Sets a parameter of PostgreSQL on every node.
    #[must_use]
    pub fn parameter(self, name: &str, value: &str) -> Self {
        self.set(&format!("postgres.parameters.{name}"), value)
    }

    /// Gives each node a host of its own on this network.
    #[must_use]
    pub fn on(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Puts the cluster's folder into this one instead of the folder for temporary files.
    #[must_use]
    pub fn within(mut self, folder: Option<PathBuf>) -> Self {
        self.within = folder;
        self
    }

    /// Leaves the files behind for whoever wants to look at them.
    #[must_use]
    pub const fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Makes folders and files, and starts nothing.
    pub fn prepare(self) -> Result<Cluster> {
        let identity = Identity::choose()?;
        let scratch = Scratch::create(self.within.as_deref(), self.keep)?;
        let programs = within_reach(self.programs, &identity, scratch.path())?;
        let mut nodes = Vec::new();
        for index in 0..self.nodes {
            let number = index + 1;
            let name = format!("n{number}");
            let home = scratch.path().join(&name);
            fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
            let (host, port, database_port) = match &self.network {
                None => ("127.0.0.1".to_owned(), ports::free()?, ports::free()?),
                Some(network) => (network.address_of(index), 7000, 5432),
            };
            let id = NodeId(u64::try_from(number)?);
            let config = client(&host, database_port);
            nodes.push(Node {
                id,
                name,
                host,
                port,
                database_port,
                token: API_TOKEN.to_owned(),
                identity,
                programs: programs.clone(),
                namespace: self.network.as_ref().map(|network| network.namespace_of(index)),
                environment: Vec::new(),
                target: Target { node: id, config },
                config: Mutex::new(ConfigFile::new(home.join("witch.toml"))),
                daemon: Mutex::new(None),
                home,
            });
        }
        for (index, node) in nodes.iter().enumerate() {
            identity.own(&node.home)?;
            node.reconfigure(|config| {
                describe(config, node, &nodes);
                for (_, key, value) in self.settings.iter().filter(|(only, ..)| only.is_none_or(|only| only == index)) {
                    config.set(key, value.clone());
                }
            })?;
        }
        Ok(Cluster { nodes, network: self.network, programs, scratch })
    }

    /// Starts every daemon and waits until one database accepts writes and all others stream from it.
    pub async fn start(self) -> Result<Cluster> {
        let cluster = self.prepare()?;
        for node in &cluster.nodes {
            node.start()?;
        }
        cluster.await_birth().await?;
        Ok(cluster)
    }
}

/// A program below root's home is of no use to another user: such a user gets a copy.
fn within_reach(mut programs: Programs, identity: &Identity, folder: &Path) -> Result<Programs> {
    if !identity.reaches(&programs.witch) {
        let copy = folder.join("witch");
        fs::copy(&programs.witch, &copy).with_context(|| format!("cannot copy {} to {}", programs.witch.display(), copy.display()))?;
        programs.witch = copy;
    }
    ensure!(
        identity.reaches(&programs.postgres_bin.join("postgres")),
        "the user that runs the servers cannot execute the programs in {}; install PostgreSQL where everybody can read it",
        programs.postgres_bin.display()
    );
    Ok(programs)
}

/// How a client gets into the database at that place.
pub(super) fn client(host: &str, port: u16) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(port).user(USER).password(PASSWORD).dbname("postgres").application_name("chaos");
    config
}

/// Writes a node's view of the cluster, as an operator would.
fn describe(config: &mut ConfigFile, node: &Node, nodes: &[Node]) {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let number = |node: &Node| i64::try_from(node.id.0).expect("a cluster has few nodes");
    config
        .set("cluster.name", "live")
        .set("cluster.node_id", number(node))
        .set("cluster.node_name", node.name.as_str())
        .set("cluster.bind_host", node.host.as_str())
        .set("cluster.bind_port", i64::from(node.port))
        .set("cluster.advertise_host", node.host.as_str())
        .set("cluster.data_dir", text(&node.witch_directory()))
        .set("cluster.token", if node.namespace.is_some() { LONG_TOKEN } else { TOKEN })
        .set("api.token", API_TOKEN)
        .set("database.kind", "postgres")
        .set("database.host", node.host.as_str())
        .set("database.port", i64::from(node.database_port))
        .set("database.user", USER)
        .set("database.password", PASSWORD)
        .set("postgres.bin_dir", text(&node.programs.postgres_bin))
        .set("postgres.data_dir", text(&node.database_directory()))
        .set("postgres.listen", node.host.as_str())
        .set("postgres.replication_user", "replicator")
        .set("postgres.replication_password", "a replication password")
        // Six servers and a build share a test machine.
        .set("postgres.parameters.shared_buffers", "16MB");
    for peer in nodes.iter().filter(|peer| peer.id != node.id) {
        config.peer([
            ("node_id", number(peer).into()),
            ("name", peer.name.as_str().into()),
            ("host", peer.host.as_str().into()),
            ("port", i64::from(peer.port).into()),
            ("db_host", peer.host.as_str().into()),
            ("db_port", i64::from(peer.database_port).into()),
        ]);
    }
}

/// Running daemons and their databases. All of it is gone after the drop.
#[derive(Debug)]
pub struct Cluster {
    // In this order they are dropped: processes, then their network, then their files.
    nodes: Vec<Node>,
    network: Option<Network>,
    programs: Programs,
    scratch: Scratch,
}

impl Cluster {
    /// Describes one that does not exist yet.
    #[must_use]
    pub const fn builder(programs: Programs) -> Builder {
        Builder { programs, nodes: 3, settings: Vec::new(), network: None, within: None, keep: false }
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node; they count from 0.
    #[must_use]
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The same, to change what it is started with.
    pub fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// The network, if the nodes have hosts of their own.
    pub fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("this cluster lives on loopback, where no cable can be cut")
    }

    /// The programs it runs.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The folder that holds it all.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// How clients reach the databases, in the order of the nodes: what a URI with many hosts holds.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        self.nodes.iter().map(|node| node.target.clone()).collect()
    }

    /// The place of a node in the list of nodes.
    pub fn index_of(&self, id: NodeId) -> Result<usize> {
        self.nodes.iter().position(|node| node.id == id).with_context(|| format!("there is no node {id}"))
    }

    /// What every node says, None where nobody answers.
    pub async fn statuses(&self) -> Vec<Option<Status>> {
        let mut statuses = Vec::new();
        for node in &self.nodes {
            // A stopped daemon accepts the connection and never answers.
            statuses.push(timeout(Duration::from_millis(500), node.status()).await.ok().and_then(Result::ok));
        }
        statuses
    }

    /// The node that says now that it accepts writes under a lease.
    pub async fn primary_now(&self) -> Result<usize> {
        let statuses = self.statuses().await;
        let writable = |status: &Option<Status>| status.as_ref().is_some_and(|status| status.writable);
        statuses.iter().position(writable).context("no node says that it accepts writes")
    }

    /// The same; on a busy machine a healthy node may be late with its answer.
    pub async fn primary(&self) -> Result<usize> {
        self.wait_until("a node that accepts writes", LATE_ANSWER, async || self.primary_now().await).await
    }

    /// Fails if any node has heard of the appointment of another primary than this one. That nobody answers is no failure.
    pub async fn nobody_else_is_appointed(&self, node: usize) -> Result<()> {
        let expected = self.node(node).id;
        for status in self.statuses().await.into_iter().flatten() {
            let appointed = status.state.and_then(|state| state.primary).map(|primary| primary.node);
            ensure!(appointed == Some(expected), "{} says that {appointed:?} is appointed, not {expected}", status.name);
        }
        Ok(())
    }

    /// A node that is not the primary.
    pub async fn standby(&self) -> Result<usize> {
        let primary = self.primary().await?;
        (0..self.nodes.len()).find(|&index| index != primary).context("there is no other node")
    }

    /// The Raft leader, as most nodes see it.
    pub async fn raft_leader(&self) -> Result<usize> {
        let statuses = self.statuses().await;
        let leaders = statuses.iter().flatten().filter_map(|status| status.leader);
        let most = leaders.clone().max_by_key(|candidate| leaders.clone().filter(|leader| leader == candidate).count());
        self.index_of(most.context("no node knows a Raft leader")?)
    }

    /// Asks a node for a planned change of primary, and waits for the answer.
    pub async fn switchover(&self, asked: usize, to: Option<&str>) -> Result<Answer> {
        let body = json!({ "to": to }).to_string();
        self.node(asked).request_within("POST", "/switchover", &body, SWITCHOVER_DEADLINE).await
    }

    /// Waits until one database accepts writes and all others stream from it, by their own word and by Witch's.
    pub async fn await_settled(&self, deadline: Duration) -> Result<usize> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.await_settled_among(&all, deadline).await
    }

    /// The same for some of the nodes, while the others are down.
    pub async fn await_settled_among(&self, nodes: &[usize], deadline: Duration) -> Result<usize> {
        self.wait_until("one primary and all others streaming from it", deadline, async || self.check_settled(nodes).await).await
    }

    /// Waits until the cluster that was just started is settled. A daemon that ends in the meantime has said why.
    pub async fn await_birth(&self) -> Result<usize> {
        tokio::select! {
            settled = self.await_settled(BIRTH_DEADLINE) => settled,
            () = self.any_exit() => bail!("a daemon ended while the cluster was being born\n{}", self.describe().await),
        }
    }

    async fn any_exit(&self) {
        while self.nodes.iter().all(|node| node.daemon_exit().is_none()) {
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn check_settled(&self, nodes: &[usize]) -> Result<usize> {
        let mut facts = Vec::new();
        for &index in nodes {
            let node = self.node(index);
            facts.push((index, node.facts().await.with_context(|| format!("the database of {}", node.name))?));
        }
        let primaries: Vec<_> = facts.iter().filter(|(_, facts)| !facts.in_recovery).collect();
        let &[&(primary, of_primary)] = primaries.as_slice() else { bail!("{} databases are writable", primaries.len()) };
        for &(index, of_standby) in facts.iter().filter(|(index, _)| *index != primary) {
            ensure!(
                of_standby.timeline == of_primary.timeline,
                "{} does not stream timeline {:?}",
                self.node(index).name,
                of_primary.timeline
            );
        }
        for &index in nodes {
            let status = self.node(index).status().await?;
            let agreed = status.state.as_ref().and_then(|state| state.primary.as_ref());
            let agreed = agreed.with_context(|| format!("{} knows no primary", status.name))?;
            ensure!(agreed.node == self.node(primary).id, "{} says that node {} is the primary", status.name, agreed.node);
            ensure!(agreed.promoted.is_some() && agreed.released.is_none(), "{} does not know of the promotion", status.name);
            ensure!(status.writable == (index == primary), "{} has a wrong idea of whether it is writable", status.name);
            ensure!(status.readable != (index == primary), "{} has a wrong idea of whether it is readable", status.name);
            if status.leader == Some(self.node(index).id) {
                let standbys = nodes.iter().filter(|&&other| other != primary).map(|&other| self.node(other));
                for standby in standbys {
                    let known = status.members.iter().find(|member| member.node == standby.id).and_then(|member| member.report.as_ref());
                    let streams = known.and_then(|report| report.database.as_ref()).is_some_and(|database| database.streaming);
                    ensure!(streams, "{}, which leads Raft, has not heard that {} streams", status.name, standby.name);
                }
            }
        }
        Ok(primary)
    }

    /// Tries a condition again and again. Its error says why it does not hold yet; past the deadline all that is known of the cluster is told.
    pub async fn wait_until<T>(&self, what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let end = Instant::now() + deadline;
        loop {
            let why_not = match timeout(deadline, condition()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("looking took longer than the deadline"),
            };
            if Instant::now() > end {
                bail!("waited {deadline:?} for: {what}\nnot yet because: {why_not:#}\n{}", self.describe().await);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Looks again and again for a while, and fails at the first look that shows the condition broken.
    pub async fn holds_for(&self, what: &str, period: Duration, mut condition: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        let end = Instant::now() + period;
        while Instant::now() < end {
            if let Err(error) = condition().await {
                bail!("this did not hold for {period:?}: {what}\nbecause: {error:#}\n{}", self.describe().await);
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Everything that helps to understand a failure.
    pub async fn describe(&self) -> String {
        let mut text = String::new();
        for (node, status) in self.nodes.iter().zip(self.statuses().await) {
            let status = status.map_or_else(|| "no answer".to_owned(), |status| serde_json::to_string_pretty(&status).unwrap_or_default());
            let (daemon, guard, server) = (node.daemon_pid(), node.guard_pid(), node.postmaster_pid());
            writeln!(text, "--- {}: daemon {daemon:?} guard {guard:?} server {server:?}\n{status}", node.name).expect("a string takes all");
            writeln!(text, "--- the end of the log of {}\n{}", node.name, node.log_tail()).expect("a string takes all");
        }
        text
    }
}
