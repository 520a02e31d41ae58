//! A node with an adapter, a guard and a lease, and the words in which the tests speak of it.

use crate::ports::free_port;
use crate::shared_memory;
use actors::guard::{Arguments, Options, sweep};
use actors::machine::Timestamp;
use actors::model::{Directory, Endpoint, Epoch, NodeId, Promotion, SystemIdentifier};
use actors::pg::actor::operations::{Installation, Site};
use actors::pg::actor::{Held, PgHands, Surroundings, Tether};
use actors::pg::{Input, Machine, Order, Reported, Secret, Settings, Timing, Upstream};
use actors::tree::clock::{Clock, boottime};
use actors::tree::restart::RestartPolicy;
use actors::tree::{Address, Child, Life, Tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Config, NoTls};

/// Long enough for a busy machine; nothing here takes so long when it works.
const SOON: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(3);

static FOLDERS: Mutex<Vec<(TempDir, Options)>> = Mutex::new(Vec::new());

/// What the lease keeper is told of the guard's lease, in order.
type Leases = Arc<Mutex<Vec<Option<(Epoch, Timestamp)>>>>;

pub(crate) struct Node {
    site: Site,
    pub(crate) tether: Tether,
    found: Leases,
    address: Address<Input>,
    tree: Tree,
    reported: Arc<Mutex<Option<Reported>>>,
    number: AtomicU64,
    /// Only reports on this order or a later one count.
    counts_from: AtomicU64,
    leased: Arc<AtomicU64>,
    renewals: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.renewals.abort();
        self.tree.stop();
    }
}

impl Node {
    /// An empty node, whose adapter watches.
    pub(crate) async fn new(number: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("adapter").tempdir_in("/tmp").expect("a folder under /tmp");
        let site = site(number, &folder).await;
        let state = site.state_dir();
        let arguments = Arguments {
            socket: state.join("guard.sock"),
            pgdata: site.data_dir(),
            kill_margin: Duration::from_millis(500),
            lock: state.join("guard.lock"),
        };
        let options = Options { arguments, log: state.join("guard.log") };
        FOLDERS.lock().expect("nobody panics with it").push((folder, options.clone()));
        Self::of(site, options).await
    }

    /// The daemon of this node begins anew; the guard and the server are as they were.
    pub(crate) async fn begin_anew(self) -> Self {
        let (site, options) = (self.site.clone(), self.tether.options().clone());
        drop(self);
        Self::of(site, options).await
    }

    async fn of(site: Site, options: Options) -> Self {
        let address = Address::vacant();
        let found = Leases::default();
        let tether = Tether::start(options, address.clone(), {
            let found = Arc::clone(&found);
            Arc::new(move |held: Held| found.lock().expect("nobody panics with it").push(held.lease))
        });
        let reported = Arc::new(Mutex::new(None));
        let told = Arc::clone(&reported);
        let surroundings = Surroundings {
            site: site.clone(),
            tether: tether.clone(),
            data_nodes: Arc::new(|| [NodeId(1), NodeId(2), NodeId(3)].into()),
            successor: Arc::new(|| None),
            report: Arc::new(move |report| *told.lock().expect("nobody panics with it") = Some(report)),
        };
        let make = move || {
            let (machine, hands) = (Machine::new(Timing::default()), PgHands::new(surroundings.clone()));
            Ok(Life::new(machine, hands))
        };
        let child = Child::new("pg", Clock::Boot, address.clone(), make);
        let tree = Tree::start(Clock::Boot, RestartPolicy::default(), vec![child]).await.expect("the tree starts");
        until("the actor lives", async || address.tell(Input::Woken)).await;
        let leased = Arc::new(AtomicU64::new(0));
        let renewals = tokio::spawn(renew(tether.clone(), Arc::clone(&leased)));
        let (number, counts_from) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { site, tether, found, address, tree, reported, number, counts_from, leased, renewals }
    }

    pub(crate) fn order(&self, order: Order) {
        self.tell(order, false);
    }

    pub(crate) fn hurry(&self, order: Order) {
        self.tell(order, true);
    }

    fn tell(&self, order: Order, hurry: bool) {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts_from.store(number, Ordering::SeqCst);
        assert!(self.address.tell(Input::Ordered { number, order, hurry }), "the actor lives");
    }

    /// Gets a lease for the epoch, and then the order.
    pub(crate) async fn lead(&self, epoch: u64) {
        self.lease(epoch).await;
        self.order_to_lead(epoch);
    }

    pub(crate) async fn lease(&self, epoch: u64) {
        self.leased.store(epoch, Ordering::SeqCst);
        until("the guard has the lease", async || {
            let Some(client) = self.tether.client() else { return false };
            client
                .status(SOON)
                .await
                .is_ok_and(|status| status.lease.is_some_and(|lease| lease.epoch == Epoch(epoch) && lease.end > boottime()))
        })
        .await;
    }

    pub(crate) fn order_to_lead(&self, epoch: u64) {
        let Directory::Database { system_identifier, .. } = self.last().database.directory else { panic!("there is no database to lead") };
        self.order(Order::Lead { epoch: Epoch(epoch), system_identifier, least: None });
    }

    pub(crate) async fn drop_lease(&self, epoch: u64) {
        self.leased.store(0, Ordering::SeqCst);
        self.tether.client().expect("a guard").drop_lease(Epoch(epoch), SOON).await.expect("the lease is dropped");
    }

    /// The last report.
    pub(crate) fn last(&self) -> Reported {
        self.reported.lock().expect("nobody panics with it").clone().expect("something was reported")
    }

    /// What was reported until now does not count.
    pub(crate) fn forget(&self) {
        self.counts_from.store(0, Ordering::SeqCst);
        *self.reported.lock().expect("nobody panics with it") = None;
    }

    /// Waits for a report.
    pub(crate) async fn until(&self, what: &str, fact: impl Fn(&Reported) -> bool) -> Reported {
        let deadline = Instant::now() + SOON;
        loop {
            let last = self.reported.lock().expect("nobody panics with it").clone();
            match last {
                Some(report) if report.order >= self.counts_from.load(Ordering::SeqCst) && fact(&report) => return report,
                other => assert!(Instant::now() < deadline, "still not reported: {what}; the last: {other:#?}"),
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets this much time pass; whatever is reported meanwhile is like this.
    pub(crate) async fn stays(&self, what: &str, period: Duration, fact: impl Fn(&Reported) -> bool) {
        let end = Instant::now() + period;
        while Instant::now() < end {
            let last = self.reported.lock().expect("nobody panics with it").clone();
            assert!(last.as_ref().is_none_or(&fact), "no longer reported: {what}; the last: {last:#?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn as_upstream(&self, epoch: u64, system_identifier: SystemIdentifier, promotion: Option<Promotion>) -> Upstream {
        let database = Endpoint { host: "127.0.0.1".into(), port: self.site.settings.port };
        Upstream { node: self.site.settings.node, epoch: Epoch(epoch), database, system_identifier, promotion }
    }

    pub(crate) fn kill_the_actor(&self) {
        self.tree.kill("pg");
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.site.state_dir()
    }

    pub(crate) fn postmaster(&self) -> u32 {
        let text = fs::read_to_string(self.site.data_dir().join("postmaster.pid")).expect("a server runs");
        text.lines().next().expect("the file has lines").trim().parse().expect("the first is a number")
    }

    /// The process of the guard; after the end of one it is the next one.
    pub(crate) async fn guard(&self) -> u32 {
        until("there is a guard", async || self.tether.client().is_some()).await;
        self.tether.client().expect("a guard").identity().pid
    }

    /// What was told of the guard's lease until now.
    pub(crate) fn found(&self) -> Vec<Option<(Epoch, Timestamp)>> {
        self.found.lock().expect("nobody panics with it").clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.site.settings.port
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.site.data_dir()
    }

    pub(crate) fn guard_options(&self) -> Options {
        self.tether.options().clone()
    }

    /// Everybody who works in the data directory.
    pub(crate) fn residents(&self) -> Vec<u32> {
        let Ok(home) = fs::metadata(self.site.data_dir()) else { return Vec::new() };
        let processes = fs::read_dir("/proc").expect("/proc is there").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let here = |pid: &u32| fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (home.dev(), home.ino()));
        processes.filter(here).collect()
    }

    pub(crate) async fn connect(&self) -> Option<tokio_postgres::Client> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.site.settings.port).user("witch").password("secret").dbname("postgres");
        let (client, connection) = timeout(Duration::from_secs(5), config.connect(NoTls)).await.ok()?.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    pub(crate) async fn sql(&self, statement: &str) {
        let client = self.connect().await.expect("a connection");
        client.batch_execute(statement).await.expect("the statement succeeds");
    }

    /// Waits until the question has this answer.
    pub(crate) async fn has(&self, question: &str, answer: &str) {
        until(question, async || {
            let Some(client) = self.connect().await else { return false };
            let Ok(rows) = client.simple_query(question).await else { return false };
            rows.iter().any(|row| matches!(row, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some(answer)))
        })
        .await;
    }
}

async fn site(number: u64, folder: &TempDir) -> Site {
    let within = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(folder.path().join("state")).expect("a folder");
    let settings = Settings {
        node: NodeId(number),
        cluster: "adapter".into(),
        bin_dir: std::env::var("WITCH_TEST_BIN_DIR").ok(),
        data_dir: within("data"),
        state_dir: within("state"),
        listen: "127.0.0.1".into(),
        port: free_port(),
        user: "witch".into(),
        password: Some(Secret::new("secret".into())),
        replication_user: "replicator".into(),
        replication_password: Some(Secret::new("another".into())),
        pg_hba: Vec::new(),
        initdb: Vec::new(),
        parameters: BTreeMap::from([("shared_buffers".to_owned(), "16MB".to_owned())]),
    };
    let installation = Installation::discover(settings.bin_dir.as_deref().map(Path::new)).await.expect("PostgreSQL is installed");
    Site { settings, installation }
}

/// What the lease keeper does.
async fn renew(tether: Tether, leased: Arc<AtomicU64>) {
    loop {
        let epoch = leased.load(Ordering::SeqCst);
        if epoch != 0
            && let Some(client) = tether.client()
        {
            // A guard that is gone takes none; the next one does.
            let _ = client.lease(Epoch(epoch), boottime() + TTL, Duration::from_secs(1)).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Ends everything that a test has left, and removes it.
pub(crate) async fn sweep_all(explain: bool) {
    let folders = std::mem::take(&mut *FOLDERS.lock().expect("nobody panics with it"));
    // The trees of the test end, and with them whoever would start a guard anew.
    sleep(Duration::from_millis(300)).await;
    for (folder, options) in folders {
        if explain {
            for file in ["guard.log", "postgres.log"] {
                let text = fs::read_to_string(folder.path().join("state").join(file)).unwrap_or_default();
                eprintln!("--- {} {file}\n{text}", folder.path().display());
            }
        }
        fs::create_dir_all(&options.arguments.pgdata).expect("the data directory's place");
        sweep(&options.arguments.pgdata, &options.arguments.lock, SOON).await.expect("nobody is left");
        shared_memory::release(&options.arguments.pgdata);
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("the process is there");
}

pub(crate) async fn until(what: &str, mut fact: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !fact().await {
        assert!(Instant::now() < deadline, "still not true: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
