//! A host with a data directory and a guard, and the words in which the tests speak of it.

use crate::shared_memory;
use actors::guard::control_file::ControlFile;
use actors::guard::wire::{Launch, Lease, Status};
use actors::guard::{Arguments, Client, Event, Options, sweep};
use actors::machine::Timestamp;
use actors::model::Epoch;
use actors::tree::clock::boottime;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Config, NoTls};

pub(crate) const BIN: &str = "/usr/lib/postgresql/15/bin";
/// Long enough for a busy machine; nothing here takes so long when it works.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const DEFAULT_MARGIN: Duration = Duration::from_millis(500);
/// Three times the default: killed processes are gone when a busy machine comes to it.
pub(crate) const MARGIN: Duration = Duration::from_millis(1500);
pub(crate) const EPOCH: Epoch = Epoch(1);

pub(crate) struct Host {
    pub(crate) directory: PathBuf,
    _temporary: TempDir,
}

impl Host {
    /// With a data directory that was shut down cleanly, and no guard.
    pub(crate) fn new(template: &TempDir) -> Self {
        let temporary = tempfile::Builder::new().prefix("guard").tempdir_in("/tmp").expect("a directory under /tmp");
        let host = Self { directory: temporary.path().to_owned(), _temporary: temporary };
        let copied = Command::new("cp").arg("-a").arg(template.path().join("pgdata")).arg(host.pgdata()).status().expect("cp runs");
        assert!(copied.success(), "the data directory was copied");
        host
    }

    pub(crate) fn pgdata(&self) -> PathBuf {
        self.directory.join("pgdata")
    }

    pub(crate) fn options(&self) -> Options {
        options(&self.directory)
    }

    pub(crate) fn launch(&self, as_primary: Option<Epoch>) -> Launch {
        launch(&self.directory, as_primary)
    }

    pub(crate) async fn guard(&self) -> (Client, mpsc::Receiver<Event>) {
        Client::spawn_or_connect(self.options(), SOON).await.expect("there is a guard")
    }

    /// A primary that answers, under a lease of this length from now.
    pub(crate) async fn primary(&self, guard: &Client, ttl: Duration) -> u32 {
        // The start must not eat up the lease.
        guard.lease(EPOCH, boottime() + SOON, SOON).await.expect("a lease for the start");
        let pid = guard.start(self.launch(Some(EPOCH)), SOON).await.expect("it starts");
        self.answers().await;
        // Only a newer appointment may have a lease that ends earlier.
        guard.lease(EPOCH.next(), boottime() + ttl, SOON).await.expect("the lease");
        pid
    }

    /// A standby without an upstream that answers.
    pub(crate) async fn standby(&self, guard: &Client) -> u32 {
        self.make_standby();
        let pid = guard.start(self.launch(None), SOON).await.expect("it starts");
        self.answers().await;
        pid
    }

    pub(crate) fn make_standby(&self) {
        File::create(self.pgdata().join("standby.signal")).expect("standby.signal can be made");
    }

    pub(crate) async fn answers(&self) {
        until("the server answers", async || self.connect().await.is_some()).await;
    }

    pub(crate) async fn connect(&self) -> Option<tokio_postgres::Client> {
        let mut config = Config::new();
        config.host_path(&self.directory).user("postgres").dbname("postgres");
        let (client, connection) = timeout(Duration::from_secs(2), config.connect(NoTls)).await.ok()?.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// A backend that is busy in a loop that only a signal ends, and one that sleeps.
    pub(crate) async fn busy_backends(&self) -> Vec<JoinHandle<()>> {
        let mut sessions = Vec::new();
        for statement in ["DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$", "SELECT pg_sleep(600)"] {
            let session = self.connect().await.expect("a connection");
            sessions.push(tokio::spawn(async move {
                session.batch_execute(statement).await.expect_err("it never ends well");
            }));
        }
        let watcher = self.connect().await.expect("a connection");
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND (query LIKE 'DO %' OR query LIKE '%600%')
                    AND pid <> pg_backend_pid()";
        until("two backends are busy", async || watcher.query_one(busy, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 2)).await;
        sessions
    }

    /// Everybody who works in the data directory.
    pub(crate) fn inhabitants(&self) -> Vec<i32> {
        let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        let here = identity(&self.pgdata()).expect("there is a data directory");
        let processes = fs::read_dir("/proc").expect("/proc is there").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        processes.filter(|pid: &i32| identity(Path::new(&format!("/proc/{pid}/cwd"))) == Some(here)).collect()
    }

    pub(crate) async fn deserted(&self) {
        until("no process is left", async || self.inhabitants().is_empty()).await;
    }

    pub(crate) fn control_file(&self) -> ControlFile {
        let bytes = fs::read(self.pgdata().join("global/pg_control")).expect("there is a control file");
        ControlFile::parse(&bytes).expect("it is a control file")
    }

    /// What is known after a failure.
    pub(crate) fn explain(&self) {
        for file in ["guard.log", "postgres.log"] {
            let text = fs::read_to_string(self.directory.join(file)).unwrap_or_default();
            eprintln!("--- {file}\n{text}");
        }
        eprintln!("--- processes in the data directory: {:?}", self.inhabitants());
    }

    pub(crate) async fn sweep(&self) {
        sweep(&self.pgdata(), &self.options().arguments.lock, SOON).await.expect("nobody is left");
        shared_memory::release(&self.pgdata());
    }
}

fn options(directory: &Path) -> Options {
    let arguments = Arguments {
        socket: directory.join("guard.sock"),
        pgdata: directory.join("pgdata"),
        kill_margin: MARGIN,
        lock: directory.join("guard.lock"),
    };
    Options { arguments, log: directory.join("guard.log") }
}

fn launch(directory: &Path, as_primary: Option<Epoch>) -> Launch {
    let pgdata = directory.join("pgdata").display().to_string();
    let sockets = directory.display().to_string();
    // No host crashes here, and a server in the middle of an fsync of a busy disk dies only after it.
    let args = ["-D", &pgdata, "-k", &sockets, "-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "fsync=off"];
    Launch {
        as_primary,
        program: format!("{BIN}/postgres"),
        args: args.map(str::to_owned).to_vec(),
        env: vec![("LC_ALL".to_owned(), "C".to_owned())],
        working_dir: pgdata.clone(),
        log_file: directory.join("postgres.log").display().to_string(),
    }
}

/// A fresh database, to be copied by every test.
pub(crate) fn template() -> TempDir {
    let directory = tempfile::Builder::new().prefix("guard").tempdir_in("/tmp").expect("a directory under /tmp");
    let initdb = Command::new(format!("{BIN}/initdb"))
        .args(["--no-sync", "--wal-segsize=1", "-A", "trust", "-U", "postgres", "-D"])
        .arg(directory.path().join("pgdata"))
        .output()
        .expect("initdb runs");
    assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
    directory
}

/// What the daemon of the tests does: a lease of four seconds, renewed every tenth of one.
pub(crate) async fn renew_for_ever(directory: &Path) {
    let (guard, _events) = Client::spawn_or_connect(options(directory), SOON).await.expect("there is a guard");
    loop {
        guard.lease(EPOCH, boottime() + Duration::from_secs(4), SOON).await.expect("a renewal");
        if guard.status(SOON).await.expect("a status").server.is_none() {
            guard.start(launch(directory, Some(EPOCH)), SOON).await.expect("it starts");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for a fact; it must come soon.
pub(crate) async fn until(what: &str, mut fact: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !fact().await {
        assert!(Instant::now() < deadline, "still not true: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Lets this much time pass while `fact` stays true.
pub(crate) async fn as_long_as(what: &str, period: Duration, mut fact: impl AsyncFnMut() -> bool) {
    let end = boottime() + period;
    while boottime() < end {
        assert!(fact().await, "no longer true: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn exit(events: &mut mpsc::Receiver<Event>) -> actors::guard::wire::Exit {
    match timeout(SOON, events.recv()).await {
        Ok(Some(Event::ServerExited(exit))) => exit,
        other => panic!("no exit but {other:?}"),
    }
}

pub(crate) fn end_of(status: &Status) -> Timestamp {
    let Lease { end, .. } = status.lease.expect("there is a lease");
    end
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).expect("the process is there");
}
