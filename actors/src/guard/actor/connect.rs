//! How the daemon finds its guard, or makes one.

use super::launch::append;
use super::{Ask, Client, EVENTS_MAX, Error, Event, Silence, UNSENT_MAX, ask, before_exec, carry, process::Arguments};
use crate::guard::wire::{Answer, Identity, PROTOCOL, Request};
use crate::tree::clock::boottime;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// How often a connection is tried while the guard starts.
const TRY_EVERY: Duration = Duration::from_millis(5);
/// A guard that was started so long ago and does not listen has met the last moments of another, and ended.
const SPAWN_EVERY: Duration = Duration::from_millis(500);

/// Which guard is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a new guard is told.
    pub arguments: Arguments,
    /// Where a new guard logs.
    pub log: PathBuf,
}

impl Client {
    /// Connects to the guard of this data directory, and starts one if there is none. It survives this process. One that was left for another
    /// directory, or with another kill margin, is replaced if it has no server.
    ///
    /// # Errors
    /// If there is no guard at the end of the time, or one that we cannot talk to.
    pub async fn spawn_or_connect(options: Options, within: Duration) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let deadline = Instant::now() + within;
        loop {
            let found = match Self::reach(&options, deadline, within).await {
                // It was about to end when it let us in.
                Err(Error::Lost) if Instant::now() < deadline => {
                    sleep(TRY_EVERY).await;
                    continue;
                }
                found => found?,
            };
            if found.0.is_as_wanted(&options.arguments) || !found.0.goes_idle(deadline).await {
                return found.0.admitted(&options.arguments).map(|client| (client, found.1));
            }
        }
    }

    /// Whether a new guard would be no other one.
    fn is_as_wanted(&self, arguments: &Arguments) -> bool {
        let Identity { pgdata, kill_margin, .. } = &self.identity;
        *kill_margin == arguments.kill_margin && same_directory(Path::new(pgdata), &arguments.pgdata)
    }

    /// Ends the guard, unless it has a server or a lease: then it stays what it is until it has not.
    async fn goes_idle(&self, deadline: Instant) -> bool {
        let left = || deadline.saturating_duration_since(Instant::now());
        let idle = match self.status(left()).await {
            Ok(status) => status.server.is_none() && status.lease.is_none_or(|lease| lease.end <= boottime()),
            Err(_) => false,
        };
        // It answers, or is gone before it can.
        idle && matches!(self.quit(left()).await, Ok(()) | Err(Error::Lost))
    }

    fn admitted(self, arguments: &Arguments) -> Result<Self, Error> {
        if same_directory(Path::new(&self.identity.pgdata), &arguments.pgdata) {
            return Ok(self);
        }
        let (socket, ours) = (arguments.socket.clone(), arguments.pgdata.clone());
        Err(Error::OtherDirectory { socket, theirs: self.identity.pgdata.clone(), ours })
    }

    async fn reach(options: &Options, deadline: Instant, within: Duration) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let stream = reach(options, deadline, within).await?;
        let (asks, asked) = mpsc::channel(UNSENT_MAX);
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        let silence = Silence::default();
        tokio::spawn(carry(stream, asked, events, silence.clone()));
        let identity = hello(&asks, deadline.saturating_duration_since(Instant::now())).await?;
        Ok((Self { identity, asks, silence }, happened))
    }
}

async fn hello(asks: &mpsc::Sender<Ask>, within: Duration) -> Result<Identity, Error> {
    match ask(asks, Request::Hello { protocol: PROTOCOL }, within).await? {
        Answer::Hello(identity) => Ok(identity),
        other => Err(Error::Astray(Box::new(other))),
    }
}

/// A connection to whichever guard listens first.
async fn reach(options: &Options, deadline: Instant, within: Duration) -> Result<UnixStream, Error> {
    let socket = &options.arguments.socket;
    let mut spawned: Option<Instant> = None;
    loop {
        let source = match timeout_at(deadline, UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(elapsed) => elapsed.into(),
        };
        let absent = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        if !absent || Instant::now() >= deadline {
            return Err(Error::Unreachable { socket: socket.clone(), log: options.log.clone(), within, source });
        }
        if spawned.is_none_or(|at| at.elapsed() > SPAWN_EVERY) {
            spawn(options).await.map_err(|source| Error::NotSpawned { log: options.log.clone(), source })?;
            spawned = Some(Instant::now());
        }
        sleep(TRY_EVERY).await;
    }
}

/// Starts a guard that is nobody's child.
async fn spawn(options: &Options) -> io::Result<()> {
    let arguments = options.arguments.absolute()?;
    let log = append(&options.log)?;
    // Our own image rather than a path: the file may have been replaced by another version meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("witch").args(arguments.command_line()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // It reads none of Witch's settings, some of which are secret; what it needs is on its command line.
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("WITCH_")) {
        command.env_remove(key);
    }
    before_exec::orphan(&mut command);
    let spawned = tokio::task::spawn_blocking(move || command.spawn()?.wait());
    let status = spawned.await.map_err(io::Error::other)??;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("its intermediate process ended with {status}"))) }
}

/// By identity if both exist, since a path may lead through links.
fn same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}
