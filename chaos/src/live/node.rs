//! One node of a live cluster: its daemon, its guard and its server, and all that can be done to them.
//!
//! Nothing here asks Witch's leave: faults are signals to processes and changes to files, found by `/proc` and by their names.

use super::host_shim::Places;
use super::http::{self, Answer};
use super::process::{self, Pid};
use super::sql::{self, DatabaseFacts, Target};
use super::{ConfigFile, Door, HostShim, Identity, Programs, Usage};
use super::{cluster, ports};
use actors::model::{NodeId, Status};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a healthy daemon or server may take to answer on a busy machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// How much of a log a failure shows.
const TAIL_BYTES: u64 = 6_000;
/// The pause between two looks at a condition.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One node.
#[derive(Debug)]
pub struct Node {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) home: PathBuf,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database_port: u16,
    pub(super) token: String,
    pub(super) identity: Identity,
    pub(super) programs: Programs,
    /// Where the daemon is started, if not on this machine's own network.
    pub(super) namespace: Option<String>,
    /// Further variables of the daemon's environment.
    pub(super) environment: Vec<(String, String)>,
    pub(super) target: Target,
    pub(super) config: Mutex<ConfigFile>,
    pub(super) daemon: Mutex<Option<Child>>,
}

/// A test that panicked while it held a lock must still be able to clean up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names and places.
impl Node {
    /// Its number in the configuration.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its daemon listens.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// How a client gets into its database.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// All that a client needs to know.
    #[must_use]
    pub fn door(&self) -> Door {
        let http = (self.host.clone(), self.port);
        Door { id: self.id, name: self.name.clone(), http, token: self.token.clone(), target: self.target.clone() }
    }

    /// The folder that holds all that follows.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// PostgreSQL's data directory.
    #[must_use]
    pub fn database_directory(&self) -> PathBuf {
        self.home.join("database")
    }

    /// Witch's own folder, `cluster.data_dir`.
    #[must_use]
    pub fn witch_directory(&self) -> PathBuf {
        self.home.join("witch")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        lock(&self.config).path().to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.home.join("witch.log")
    }

    /// Changes the configuration file; a running daemon keeps the old one.
    pub fn reconfigure(&self, change: impl FnOnce(&mut ConfigFile)) -> Result<()> {
        let mut config = lock(&self.config);
        change(&mut config);
        config.save(&self.identity)
    }

    /// Gives the node other ports, in its own file and nowhere else; a running daemon keeps the old ones.
    pub fn change_ports(&mut self, daemon: bool, database: bool) -> Result<()> {
        if daemon {
            self.port = ports::free()?;
        }
        if database {
            self.database_port = ports::free()?;
            self.target.config = cluster::client(&self.host, self.database_port);
        }
        let (port, database_port) = (i64::from(self.port), i64::from(self.database_port));
        self.reconfigure(|config| {
            config.set("cluster.bind_port", port).set("database.port", database_port);
        })
    }

    /// Adds a variable to the environment of the daemons that are started from now on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// From its next start on, this node has a time of day and disks of its own.
    pub fn equip(&mut self) -> Result<HostShim> {
        let (database, witch) = (self.database_directory(), self.witch_directory());
        let shim = HostShim::build(&Places { home: &self.home, home_inside: &self.home, database: &database, witch: &witch })?;
        self.set_environment("LD_PRELOAD", &shim.library().to_string_lossy());
        Ok(shim)
    }

    /// The end of what the daemon, the guard and the server said.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.read_log(Some(TAIL_BYTES))
    }

    /// All that the daemon, the guard and the server said.
    #[must_use]
    pub fn log(&self) -> String {
        self.read_log(None)
    }

    fn read_log(&self, last: Option<u64>) -> String {
        let read = || {
            let mut file = File::open(self.log_path())?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(last.map_or(0, |last| size.saturating_sub(last))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

/// What it says.
impl Node {
    /// Its published status.
    pub async fn status(&self) -> Result<Status> {
        self.request("GET", "/node", "").await?.json()
    }

    /// Any request to its daemon, with the token of its API.
    pub async fn request(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.request_within(method, path, body, ANSWER_DEADLINE).await
    }

    /// The same with another deadline: a switchover answers when it is over.
    pub async fn request_within(&self, method: &str, path: &str, body: &str, deadline: Duration) -> Result<Answer> {
        http::request(self.address(), (method, path), Some(&self.token), body.to_owned(), deadline).await
    }

    /// What its database says of itself.
    pub async fn facts(&self) -> Result<DatabaseFacts> {
        sql::facts(&self.target, ANSWER_DEADLINE).await
    }

    /// Takes every connection that its database still has, for as long as the answer is kept.
    pub async fn take_every_connection(&self) -> Vec<tokio_postgres::Client> {
        let mut taken = Vec::new();
        while let Ok(client) = sql::connect(&self.target, false, ANSWER_DEADLINE).await {
            taken.push(client);
        }
        taken
    }

    /// The rows of a query to its database.
    pub async fn query(&self, query: &str) -> Result<Vec<Vec<Option<String>>>> {
        sql::rows(&self.target, query, Duration::from_secs(30)).await
    }
}

/// Its processes.
impl Node {
    /// A `witch` of this node with other arguments, as its user and on its network.
    #[must_use]
    pub fn witch(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.namespace {
            None => self.identity.command(&self.programs.witch),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).args(self.identity.prefix()).arg(&self.programs.witch);
                command
            }
        };
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir(&self.home);
        command
    }

    /// A client program of PostgreSQL that connects to this node's database.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.postgres_bin.join(program));
        command.env("PGHOST", &self.host).env("PGPORT", self.database_port.to_string()).env("PGDATABASE", "postgres");
        command.env("PGUSER", cluster::USER).env("PGPASSWORD", cluster::PASSWORD);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts the daemon.
    pub fn start(&self) -> Result<()> {
        let mut daemon = lock(&self.daemon);
        if daemon.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            bail!("the daemon of {} runs already", self.name);
        }
        let log = File::options().create(true).append(true).open(self.log_path()).context("cannot open the daemon's log")?;
        let config = self.config_path();
        let mut command = self.witch(&["--config", &config.to_string_lossy(), "run"]);
        // A group of its own: a Ctrl-C at the terminal is for us and not for it.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        *daemon = Some(command.spawn().with_context(|| format!("cannot start {}", self.programs.witch.display()))?);
        Ok(())
    }

    /// The daemon's process, while it lives.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<Pid> {
        let mut daemon = lock(&self.daemon);
        let child = daemon.as_mut()?;
        let alive = matches!(child.try_wait(), Ok(None));
        alive.then(|| Pid::from_raw(i32::try_from(child.id()).expect("Linux's process ids are small")))
    }

    /// How the daemon ended, if it has.
    pub fn daemon_exit(&self) -> Option<ExitStatus> {
        lock(&self.daemon).as_mut()?.try_wait().ok().flatten()
    }

    /// The guard's process: the `witch guard` with a path in this node's folder.
    #[must_use]
    pub fn guard_pid(&self) -> Option<Pid> {
        process::witches_of(&self.home).into_iter().find(|&pid| process::was_given(pid, "guard"))
    }

    /// The postmaster, if one lives.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<Pid> {
        let servers = self.server_pids();
        // Its children have a parent in the same folder; it alone has not. One without any parent has died meanwhile.
        servers.iter().copied().find(|&pid| process::parent(pid).is_some_and(|parent| !servers.contains(&parent)))
    }

    /// Every process of the database server.
    #[must_use]
    pub fn server_pids(&self) -> Vec<Pid> {
        process::working_in(&self.database_directory())
    }

    fn everything(&self) -> Vec<Pid> {
        let mut pids = process::witches_of(&self.home);
        pids.extend(self.server_pids());
        pids
    }

    /// Memory and processor time of the daemon and its guard.
    pub fn usage(&self) -> Result<Usage> {
        let daemon = self.daemon_pid().with_context(|| format!("the daemon of {} is dead", self.name))?;
        Usage::of(&[Some(daemon), self.guard_pid()].into_iter().flatten().collect::<Vec<_>>())
    }
}

/// What can be done to it.
impl Node {
    /// Kills the postmaster, as the kernel does when memory runs out.
    pub fn kill_server(&self) -> Result<()> {
        self.signal_one(self.postmaster_pid(), "server", Signal::SIGKILL)
    }

    /// Kills one process of the server that serves a client, and sees the server begin its recovery for it.
    pub fn kill_backend(&self) -> Result<()> {
        let postmaster = self.postmaster_pid().with_context(|| format!("no server of {} runs", self.name))?;
        process::kill_backend(postmaster, &self.server_pids())
    }

    /// Stops every process of the server: it accepts connections and never answers.
    pub fn stop_server(&self) -> Result<()> {
        self.signal_all(self.server_pids(), "server", Signal::SIGSTOP)
    }

    /// Lets a stopped server go on, if it is still there.
    pub fn continue_server(&self) {
        for pid in self.server_pids() {
            process::signal(pid, Signal::SIGCONT);
        }
    }

    /// Kills the daemon and nothing else.
    pub fn kill_daemon(&self) -> Result<()> {
        self.signal_one(self.daemon_pid(), "daemon", Signal::SIGKILL)?;
        self.reap();
        Ok(())
    }

    /// Stops the daemon and nothing else.
    pub fn stop_daemon(&self) -> Result<()> {
        self.signal_one(self.daemon_pid(), "daemon", Signal::SIGSTOP)
    }

    /// Lets a stopped daemon go on.
    pub fn continue_daemon(&self) -> Result<()> {
        self.signal_one(self.daemon_pid(), "daemon", Signal::SIGCONT)
    }

    /// Stops the guard, which then fences nobody.
    pub fn stop_guard(&self) -> Result<()> {
        self.signal_one(self.guard_pid(), "guard", Signal::SIGSTOP)
    }

    /// Lets a stopped guard go on.
    pub fn continue_guard(&self) -> Result<()> {
        self.signal_one(self.guard_pid(), "guard", Signal::SIGCONT)
    }

    /// Stops every process of the node, as a host that hangs; its clock runs on.
    pub fn stop_node(&self) -> Result<()> {
        self.signal_all(self.everything(), "process", Signal::SIGSTOP)
    }

    /// Lets all that is left of a stopped node go on.
    pub fn continue_node(&self) {
        for pid in self.everything() {
            process::signal(pid, Signal::SIGCONT);
        }
    }

    /// Kills the guard and nothing else.
    pub fn kill_guard(&self) -> Result<()> {
        self.signal_one(self.guard_pid(), "guard", Signal::SIGKILL)
    }

    /// Kills every process of the node at once, like a power cut.
    pub fn kill_node(&self) -> Result<()> {
        let pids = self.everything();
        if pids.is_empty() {
            bail!("no process of {} is left to kill", self.name);
        }
        for pid in pids {
            process::signal(pid, Signal::SIGKILL);
        }
        // One that was just being born is not on the list.
        for pid in self.everything() {
            process::signal(pid, Signal::SIGKILL);
        }
        self.reap();
        Ok(())
    }

    /// Asks the daemon to end: it stops the database and hands over.
    pub fn terminate(&self) -> Result<()> {
        self.signal_one(self.daemon_pid(), "daemon", Signal::SIGTERM)
    }

    /// Asks the daemon to end and to leave the database to the guard.
    pub fn usr1(&self) -> Result<()> {
        self.signal_one(self.daemon_pid(), "daemon", Signal::SIGUSR1)
    }

    /// Waits until the daemon has ended.
    pub async fn await_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.daemon_exit() {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("the daemon of {} still runs after {deadline:?}; it said:\n{}", self.name, self.log_tail());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills the daemon and starts it anew at once.
    pub fn restart_daemon(&self) -> Result<()> {
        self.kill_daemon()?;
        self.start()
    }

    /// Removes all that is in the database's directory; nothing of the node may run.
    pub fn empty_database_directory(&self) -> Result<()> {
        self.empty(&self.database_directory())
    }

    /// Removes all that is in Witch's own folder; nothing of the node may run.
    pub fn empty_witch_directory(&self) -> Result<()> {
        self.empty(&self.witch_directory())
    }

    fn empty(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    fn signal_one(&self, pid: Option<Pid>, what: &str, signal: Signal) -> Result<()> {
        let pid = pid.with_context(|| format!("no {what} of {} runs", self.name))?;
        if !process::signal(pid, signal) {
            bail!("the {what} of {} was gone before it could be sent {signal}", self.name);
        }
        Ok(())
    }

    fn signal_all(&self, pids: Vec<Pid>, what: &str, signal: Signal) -> Result<()> {
        if pids.is_empty() {
            bail!("no {what} of {} runs", self.name);
        }
        for pid in pids {
            process::signal(pid, signal);
        }
        Ok(())
    }

    /// Takes the exit status of a killed daemon, so that no zombie stays.
    fn reap(&self) {
        if let Some(mut child) = lock(&self.daemon).take() {
            // Killed already: this wait is short.
            drop(child.wait());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        process::end_all(|| self.everything());
        // In a namespace the child may still be `ip` or `setpriv`, which the search by name does not find.
        if let Some(child) = lock(&self.daemon).as_mut() {
            drop(child.kill());
        }
        self.reap();
    }
}
