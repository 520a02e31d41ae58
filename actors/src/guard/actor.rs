//! The door to the world: the guard's process, and in the daemon its client.
//!
//! The client asks by number and hears answers in any order, so a renewal never waits behind a kill. How things stand is what the guard says
//! they are; the client only remembers since when it says nothing.

mod before_exec;
mod children;
mod connect;
mod connection;
mod journal;
mod launch;
mod pending;
mod process;
mod residents;
mod settle;
mod silence;
mod sweep;

pub use connect::Options;
pub use process::{Arguments, run};
pub use residents::residents;
pub use settle::CannotGuard;
pub use sweep::{NotSwept, guard_of, sweep, sweep_orphans};

use super::wire::{Answer, Asked, Exit, Identity, Launch, Refusal, Request, Said, Status, StopMode, WireError, decode, encode};
use crate::machine::Timestamp;
use crate::model::Epoch;
use bytes::Bytes;
use connection::codec;
use futures::{SinkExt, StreamExt};
use silence::Silence;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// So many requests may wait to be sent. The socket takes a thousand, so more mean that the guard is stopped.
const UNSENT_MAX: usize = 64;
/// So many events may wait to be taken; a server does not die more often while its daemon looks away.
const EVENTS_MAX: usize = 64;
/// A guard that takes no bytes for so long is stopped or gone.
const SEND_MAX: Duration = Duration::from_secs(1);

/// What the guard tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server ended, and none of its processes is left.
    ServerExited(Exit),
    /// The connection is gone: the guard died, or was stopped, or another daemon took our place. The last event.
    Lost,
}

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guard said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer in time. It may still come to pass.
    #[error("the guard did not answer within {0:?}; it may be stopped or starved")]
    Late(Duration),
    /// The connection is gone.
    #[error("the connection to the guard is lost; connect again, and if that fails, sweep")]
    Lost,
    /// The request cannot be put into words.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The answer is to another question.
    #[error("the guard's answer does not fit the request: {0:?}")]
    Astray(Box<Answer>),
    /// No guard could be reached or started.
    #[error("no guard answers at {} within {within:?}; see why in {}", socket.display(), log.display())]
    Unreachable {
        /// Where it should listen.
        socket: PathBuf,
        /// What it prints.
        log: PathBuf,
        /// How long was tried.
        within: Duration,
        /// What the last try said.
        source: io::Error,
    },
    /// The guard's program cannot be started.
    #[error("the guard cannot be started with its log in {}", log.display())]
    NotSpawned {
        /// Where it should log.
        log: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It guards another directory.
    #[error(
        "the guard at {} guards {theirs}, not {}, and has a server there or a lease; stop that server with `pg_ctl stop`, and the guard is replaced; or \
         set postgres.data_dir back", socket.display(), ours.display()
    )]
    OtherDirectory {
        /// Where it listens.
        socket: PathBuf,
        /// What it guards.
        theirs: String,
        /// What it should guard.
        ours: PathBuf,
    },
}

/// The daemon's connection to the guard.
#[derive(Clone, Debug)]
pub struct Client {
    identity: Identity,
    asks: mpsc::Sender<Ask>,
    silence: Silence,
}

#[derive(Debug)]
struct Ask {
    request: Request,
    answer: oneshot::Sender<Result<Answer, WireError>>,
}

impl Client {
    /// Who the guard is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For how long the guard has owed an answer. None: it answered what it was asked last. It may take its time only with a start and a
    /// kill, so those do not count.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.silence.lasts()
    }

    /// How things stand.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self, within: Duration) -> Result<Status, Error> {
        match self.ask(Request::Status, within).await? {
            Answer::Status(status) => Ok(status),
            other => Err(Error::Astray(Box::new(other))),
        }
    }

    /// Starts a server, and answers its postmaster's process id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(&self, launch: Launch, within: Duration) -> Result<u32, Error> {
        match self.ask(Request::Start(launch), within).await? {
            Answer::Started { pid } => Ok(pid),
            other => Err(Error::Astray(Box::new(other))),
        }
    }

    /// Announces a promotion: from now on the standby counts as writable. To be done before the promotion is triggered.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn expect_promotion(&self, epoch: Epoch, within: Duration) -> Result<(), Error> {
        done(self.ask(Request::ExpectPromotion { epoch }, within).await?)
    }

    /// Tells the server to stop. Its end is an event.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop(&self, mode: StopMode, within: Duration) -> Result<(), Error> {
        done(self.ask(Request::Stop(mode), within).await?)
    }

    /// Kills the server, and returns when none of its processes is left.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn kill(&self, within: Duration) -> Result<(), Error> {
        done(self.ask(Request::Kill, within).await?)
    }

    /// Hands a lease on, and answers the end that is in force from now on (S3).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn lease(&self, epoch: Epoch, end: Timestamp, within: Duration) -> Result<Timestamp, Error> {
        match self.ask(Request::Lease { epoch, end }, within).await? {
            Answer::Leased { end } => Ok(end),
            other => Err(Error::Astray(Box::new(other))),
        }
    }

    /// Gives an epoch up for good (S8).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn drop_lease(&self, epoch: Epoch, within: Duration) -> Result<(), Error> {
        done(self.ask(Request::DropLease { epoch }, within).await?)
    }

    /// Ends the guard, which has no server.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn quit(&self, within: Duration) -> Result<(), Error> {
        done(self.ask(Request::Quit, within).await?)
    }

    async fn ask(&self, request: Request, within: Duration) -> Result<Answer, Error> {
        let takes_its_time = matches!(request, Request::Start(_) | Request::Kill);
        let answer = ask(&self.asks, request, within).await;
        if !takes_its_time && matches!(answer, Err(Error::Late(_))) {
            self.silence.begins();
        }
        answer
    }
}

async fn ask(asks: &mpsc::Sender<Ask>, request: Request, within: Duration) -> Result<Answer, Error> {
    let asked = async {
        let (answer, answered) = oneshot::channel();
        asks.send(Ask { request, answer }).await.map_err(|_| Error::Lost)?;
        match answered.await.map_err(|_| Error::Lost)?? {
            Answer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    };
    timeout(within, asked).await.map_err(|_| Error::Late(within))?
}

fn done(answer: Answer) -> Result<(), Error> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(Error::Astray(Box::new(other))),
    }
}

/// Carries requests to the guard, and answers and events back, until one side is gone.
async fn carry(stream: UnixStream, mut asks: mpsc::Receiver<Ask>, events: mpsc::Sender<Event>, silence: Silence) {
    let mut frames = Framed::new(stream, codec());
    let mut open: BTreeMap<u64, oneshot::Sender<Result<Answer, WireError>>> = BTreeMap::new();
    let mut id = 0;
    loop {
        tokio::select! {
            asked = asks.recv() => {
                // Every client is gone.
                let Some(Ask { request, answer }) = asked else { break };
                id += 1;
                let body = match encode(&Asked { id, request }) {
                    Ok(body) => body,
                    Err(error) => {
                        // Whoever asked may have given up.
                        let _ = answer.send(Err(error));
                        continue;
                    }
                };
                open.retain(|_, waiting| !waiting.is_closed());
                open.insert(id, answer);
                if !matches!(timeout(SEND_MAX, frames.send(Bytes::from(body))).await, Ok(Ok(()))) {
                    break;
                }
            }
            frame = frames.next() => {
                let Some(Ok(body)) = frame else { break };
                silence.ends();
                match decode(&body) {
                    Ok(Said::Answer { id, answer }) => {
                        if let Some(waiting) = open.remove(&id) {
                            // Whoever asked may have given up.
                            let _ = waiting.send(Ok(answer));
                        }
                    }
                    // An event that nobody takes must not hold up the answers: then the whole connection is lost, which is an event, too.
                    Ok(Said::ServerExited(exit)) => if events.try_send(Event::ServerExited(exit)).is_err() { break },
                    Err(error) => {
                        tracing::warn!(%error, "the guard says what nobody understands");
                        break;
                    }
                }
            }
        }
    }
    // A full queue ends with the sender, which says the same.
    let _ = events.try_send(Event::Lost);
}
