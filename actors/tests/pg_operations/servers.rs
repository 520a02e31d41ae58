//! Nodes in temporary folders, and servers on them.

use crate::ports::free_port;
use actors::model::{Endpoint, Epoch, Lsn, NodeId, Promotion, SystemIdentifier, Timeline};
use actors::pg::actor::operations::{Installation, Session, Site, server_arguments, standby_arguments};
use actors::pg::{Secret, Settings, Upstream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Generous: the machine may be busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs the test, as root by running it again as `postgres`.
pub(crate) fn as_postgres(name: &str, test: impl Future<Output = ()>) {
    if Uid::effective().is_root() {
        let user = User::from_name("postgres").unwrap().expect("PostgreSQL's package makes the user postgres");
        let mut again = Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", name, "--nocapture"])
            .uid(user.uid.as_raw())
            .gid(user.gid.as_raw())
            .current_dir("/")
            .env("RUST_BACKTRACE", "0");
        let ended = again.output().expect("the user postgres can run the test");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(said(&ended.stdout).contains("1 passed") || !ended.status.success(), "no test is called {name}");
        assert!(ended.status.success(), "it failed as the user postgres:\n{}{}", said(&ended.stdout), said(&ended.stderr));
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A node: a folder of its own, and the settings of its PostgreSQL.
pub(crate) struct Node {
    pub(crate) site: Site,
    pub(crate) folder: PathBuf,
    _kept: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new(node: u64) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().to_owned();
        std::fs::create_dir(folder.join("state")).unwrap();
        let within = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let settings = Settings {
            node: NodeId(node),
            cluster: "it's a cluster".into(),
            bin_dir: std::env::var("WITCH_TEST_BIN_DIR").ok(),
            data_dir: within("data"),
            state_dir: within("state"),
            listen: "127.0.0.1".into(),
            port: free_port(),
            user: "witch".into(),
            password: Some(Secret::new(r"it's \ a : secret".into())),
            replication_user: "replicator".into(),
            replication_password: Some(Secret::new(r#"an"other"#.into())),
            pg_hba: Vec::new(),
            initdb: Vec::new(),
            parameters: BTreeMap::from([("work_mem".to_owned(), "5MB".to_owned()), ("shared_buffers".to_owned(), "16MB".to_owned())]),
        };
        assert_eq!(settings.faults(), Vec::<String>::new());
        let bin_dir = settings.bin_dir.clone().map(PathBuf::from);
        let installation = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(Installation::discover(bin_dir.as_deref())).unwrap()
        });
        Self { site: Site { settings, installation: installation.join().unwrap() }, folder, _kept: kept }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { host: "127.0.0.1".into(), port: self.site.settings.port }
    }

    /// Names, sizes and times of everything in the data directory.
    pub(crate) fn fingerprint(&self) -> String {
        let find = Command::new("find").arg(self.site.data_dir()).args(["-printf", "%p %s %T@ %C@\n"]).output().unwrap();
        String::from_utf8(find.stdout).unwrap()
    }

    /// Starts the server as the guard does: by itself, with Witch's arguments.
    pub(crate) async fn start(&self) -> Server {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut postgres = Command::new(self.site.installation.program("postgres"));
        let standby = self.site.data_dir().join("standby.signal").exists();
        let arguments = if standby { standby_arguments(&self.site).await.unwrap() } else { server_arguments(&self.site).await };
        postgres.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = Server { child: Some(postgres.spawn().unwrap()), site: self.site.clone(), log: self.folder.join("log") };
        let deadline = Instant::now() + LONG;
        while Session::open(&self.site, LONG).await.is_err() {
            assert!(Instant::now() < deadline, "the server does not start:\n{}", server.log_text());
            sleep(Duration::from_millis(20)).await;
        }
        server
    }
}

/// The order to follow that node's database.
pub(crate) fn upstream(node: &Node, system_identifier: SystemIdentifier, timeline: u32, lsn: u64) -> Upstream {
    Upstream {
        node: node.site.settings.node,
        epoch: Epoch(1),
        database: node.endpoint(),
        system_identifier,
        promotion: Some(Promotion { timeline: Timeline(timeline), lsn: Lsn(lsn), mark: None }),
    }
}

/// A living process that is no server, nor the parent of one: PostgreSQL takes the number of its own parent in a lock file for stale.
pub(crate) struct Bystander(Child);

impl Bystander {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("3600").spawn().unwrap())
    }

    /// Makes the lock file of a server that is gone name it, as after the restart of a container.
    pub(crate) fn is_named_in_the_lock_of(&self, node: &Node) {
        std::fs::write(node.site.data_dir().join("postmaster.pid"), self.0.id().to_string()).unwrap();
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server. Dropped, it is ended at once.
pub(crate) struct Server {
    child: Option<Child>,
    site: Site,
    log: PathBuf,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// A fast and clean shutdown.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::SIGINT);
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    }

    /// The end without a checkpoint.
    pub(crate) async fn crash(mut self) {
        self.signal(Signal::SIGQUIT);
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    }

    /// The end without a word.
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    }

    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.site, LONG).await.unwrap()
    }

    pub(crate) fn major(&self) -> u32 {
        self.site.installation.major()
    }

    /// Asks with psql, as the user would.
    pub(crate) async fn psql(&self, sql: &str) -> String {
        self.ask("postgres", "", sql).await
    }

    pub(crate) async fn psql_in(&self, database: &str, sql: &str) -> String {
        self.ask(database, "", sql).await
    }

    pub(crate) async fn psql_with(&self, options: &str, sql: &str) -> String {
        self.ask("postgres", options, sql).await
    }

    async fn ask(&self, database: &str, options: &str, sql: &str) -> String {
        let mut psql = tokio::process::Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]).env("PGOPTIONS", options);
        let settings = &self.site.settings;
        psql.env("PGHOST", "127.0.0.1").env("PGPORT", settings.port.to_string());
        psql.env("PGUSER", &settings.user).env("PGPASSWORD", settings.password.as_ref().map_or("", Secret::reveal));
        let output = psql.output().await.unwrap();
        assert!(output.status.success(), "{sql}: {}\n{}", String::from_utf8_lossy(&output.stderr), self.log_text());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) async fn streams_on(&self, timeline: Timeline) {
        let deadline = Instant::now() + LONG;
        let mut session = self.session().await;
        loop {
            let seen = session.observe(LONG).await.unwrap();
            if seen.receiver.as_ref().is_some_and(|receiver| receiver.streaming && receiver.timeline == timeline) {
                return;
            }
            assert!(Instant::now() < deadline, "it does not stream: {seen:?}\n{}", self.log_text());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has all that the other has written up to now.
    pub(crate) async fn has_received(&self, other: &Self) {
        let written = other.session().await.observe(LONG).await.unwrap().position;
        let deadline = Instant::now() + LONG;
        let mut session = self.session().await;
        loop {
            let seen = session.observe(LONG).await.unwrap();
            if seen.position.lsn >= written.lsn {
                return;
            }
            assert!(Instant::now() < deadline, "it has not received {written:?}: {seen:?}\n{}", self.log_text());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)), Signal::SIGCONT);
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)), Signal::SIGQUIT);
            let _ = child.wait();
        }
    }
}
