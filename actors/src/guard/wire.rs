//! What the daemon and the guard say to each other.
//!
//! MessagePack with names, in frames that a big-endian `u32` of their length precedes. A new daemon meets an old guard after an upgrade, so
//! the first request of a connection is `Hello` with the protocol's version, and its form never changes.

use crate::machine::Timestamp;
use crate::model::Epoch;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of everything below. Grows with any change that an older side would misunderstand.
pub const PROTOCOL: u32 = 1;

/// No frame is longer. The longest is `Start` with its environment.
pub const FRAME_MAX: usize = 64 << 10;

/// A request and its number, which the answer repeats. Numbers are the asker's own, and unique in a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The number.
    pub id: u64,
    /// The request.
    pub request: Request,
}

/// What a daemon asks of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first request of a connection. Answered by `Hello`.
    Hello {
        /// The protocol that the daemon speaks.
        protocol: u32,
    },
    /// How things stand. Answered by `Status`.
    Status,
    /// Start the server. As a primary only with a lease for that epoch of which more than the kill margin is left. Answered by `Started`.
    Start(Launch),
    /// The standby that runs is about to be promoted: from now on it counts as writable, whatever its control file says yet. The daemon
    /// asks this before it triggers a promotion, so that one that is slow to finish cannot finish after the lease. Needs a lease as
    /// `Start` does. Answered by `Done`.
    ExpectPromotion {
        /// The appointment.
        epoch: Epoch,
    },
    /// Tell the server to stop. Answered by `Done` at once; the end is announced by `ServerExited`.
    Stop(StopMode),
    /// Kill every process of the server. Answered by `Done` when none is left.
    Kill,
    /// A lease was granted until this instant. Answered by `Leased` with the end that is in force from now on.
    Lease {
        /// For which appointment.
        epoch: Epoch,
        /// Until when, on `CLOCK_BOOTTIME`.
        end: Timestamp,
    },
    /// This epoch and every earlier one are given up for good (S8). A writable server without a lease is killed. Answered by `Done`.
    DropLease {
        /// The appointment.
        epoch: Epoch,
    },
    /// End the guard. Refused while there is a server. Answered by `Done`.
    Quit,
}

/// How to start a server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// As the primary of this epoch; else as a standby, and then `standby.signal` must lie in the data directory.
    pub as_primary: Option<Epoch>,
    /// `postgres` itself, by its full path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: it inherits nothing, since a guard's own may be older than the daemon's, and holds the daemon's secrets.
    pub env: Vec<(String, String)>,
    /// The directory it starts in.
    pub working_dir: String,
    /// What it prints is appended to this file.
    pub log_file: String,
}

impl fmt::Debug for Launch {
    /// Without the environment, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("as_primary", &self.as_primary).field("program", &self.program).field("args", &self.args).finish()
    }
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// End the sessions, checkpoint, exit (SIGINT).
    Fast,
    /// Exit without a checkpoint (SIGQUIT).
    Immediate,
}

/// What the guard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The answer to a request.
    Answer {
        /// The request's number.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// The server ended, and none of its processes is left.
    ServerExited(Exit),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Who the guard is.
    Hello(Identity),
    /// How things stand.
    Status(Status),
    /// The server was started.
    Started {
        /// Its postmaster.
        pid: u32,
    },
    /// The lease is in force.
    Leased {
        /// Until then; not the asked end if a later one had been given for the same epoch.
        end: Timestamp,
    },
    /// It is done.
    Done,
    /// It is not done, and why.
    Refused(Refusal),
}

/// Who a guard is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The protocol it speaks.
    pub protocol: u32,
    /// Its process.
    pub pid: u32,
    /// The data directory it guards.
    pub pgdata: String,
    /// It begins to kill so long before the lease's end.
    pub kill_margin: Duration,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The server, if there is any process of it.
    pub server: Option<ServerStatus>,
    /// The newest lease, even if it is over.
    pub lease: Option<Lease>,
    /// This epoch and every earlier one have been given up for good.
    pub dropped: Option<Epoch>,
    /// How the server before this one ended.
    pub last_exit: Option<Exit>,
}

/// A server that has processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its postmaster; none while it is being started.
    pub pid: Option<u32>,
    /// The epoch for which it was started as a primary; none for a standby, also after its promotion.
    pub as_primary: Option<Epoch>,
    /// It accepts writes, or might.
    pub writable: bool,
    /// It is dead or being killed, but processes of it are left.
    pub ending: bool,
}

/// The right to run a writable server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// For which appointment.
    pub epoch: Epoch,
    /// Until when, on `CLOCK_BOOTTIME`.
    pub end: Timestamp,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its postmaster.
    pub pid: Option<u32>,
    /// How the postmaster ended.
    pub status: Option<ExitStatus>,
    /// Why.
    pub cause: ExitCause,
    /// How many processes outlived the postmaster and had to be killed.
    pub survivors_killed: u32,
    /// When the last process was gone, on `CLOCK_BOOTTIME`.
    pub at: Timestamp,
}

impl Exit {
    /// Nobody wanted it: the server died by itself, or somebody else ended it.
    #[must_use]
    pub const fn unexpected(&self) -> bool {
        matches!(self.cause, ExitCause::Unexpected)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCause {
    /// By itself, or by a stranger.
    Unexpected,
    /// The daemon had it stopped.
    Stopped,
    /// The daemon had it killed.
    Killed,
    /// It was writable, and its lease was as good as over.
    LeaseOver,
    /// It was writable, and there was no lease.
    NoLease,
}

/// Why the guard does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The daemon did not introduce itself.
    #[error("the guard answers nothing before `Hello`; say it first")]
    NoHello,
    /// The daemon speaks another protocol.
    #[error(
        "the guard speaks protocol {guard} and the daemon {daemon}; stop the database and end the guard with the old program, then start the new one"
    )]
    Protocol {
        /// The guard's.
        guard: u32,
        /// The daemon's.
        daemon: u32,
    },
    /// No lease, or not enough of it.
    #[error(
        "no lease for epoch {epoch} holds with more than the kill margin left, and without one no server may become writable; get a lease first"
    )]
    NoLease {
        /// The epoch asked for.
        epoch: Epoch,
    },
    /// That epoch was given up.
    #[error("epoch {epoch} was given up for good (up to {dropped}); only a new appointment can have a lease")]
    Dropped {
        /// The epoch asked for.
        epoch: Epoch,
        /// The newest epoch given up.
        dropped: Epoch,
    },
    /// A lease of a later epoch is known.
    #[error("a lease for epoch {current} is known, so epoch {epoch} is history; catch up with the log")]
    Outdated {
        /// The epoch asked for.
        epoch: Epoch,
        /// The later epoch.
        current: Epoch,
    },
    /// There is a server already, or what is left of one.
    #[error("processes of a server are still there; stop or kill it first")]
    ServerPresent,
    /// There is no server to do that to.
    #[error("no server runs; start one first")]
    NoServer,
    /// The server could not be started.
    #[error("the server was not started: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The same is being asked again and again.
    #[error("too many requests to kill the server wait for its end; wait for one of them")]
    TooManyWaiting,
}

/// A message that cannot be understood or said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It cannot be written, or is too long.
    #[error("a message to the guard cannot be sent ({0}); shorten the server's arguments and environment")]
    Unsayable(String),
    /// It cannot be read.
    #[error("a message is no valid MessagePack of the guard's protocol: {0}")]
    Unreadable(String),
}

/// The body of a frame.
///
/// # Errors
/// If the message is longer than a frame may be.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let body = rmp_serde::to_vec_named(message).map_err(|error| WireError::Unsayable(error.to_string()))?;
    if body.len() > FRAME_MAX {
        return Err(WireError::Unsayable(alloc::format!("{} bytes, at most {FRAME_MAX} fit", body.len())));
    }
    Ok(body)
}

/// Reads the body of a frame.
///
/// # Errors
/// If it is no message of this protocol.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    rmp_serde::from_slice(body).map_err(|error| WireError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use alloc::vec;

    fn launch(argument: &str) -> Asked {
        let request = Request::Start(Launch {
            as_primary: Some(Epoch(7)),
            program: "/usr/bin/postgres".into(),
            args: vec!["-D".into(), argument.into()],
            env: vec![("LANG".into(), "C".into())],
            working_dir: "/".into(),
            log_file: "/dev/null".into(),
        });
        Asked { id: 3, request }
    }

    #[test]
    fn what_is_said_is_understood() {
        let asked = launch("/data");
        assert_eq!(decode::<Asked>(&encode(&asked).unwrap()), Ok(asked));
        let said = Said::Answer { id: 9, answer: Answer::Refused(Refusal::Protocol { guard: 1, daemon: 2 }) };
        assert_eq!(decode::<Said>(&encode(&said).unwrap()), Ok(said));
        let unit = Asked { id: u64::MAX, request: Request::Kill };
        assert_eq!(decode::<Asked>(&encode(&unit).unwrap()), Ok(unit));
    }

    #[test]
    fn the_form_of_hello_never_changes() {
        let hello = Asked { id: 0, request: Request::Hello { protocol: 1 } };
        assert_eq!(encode(&hello).unwrap(), b"\x82\xa2id\x00\xa7request\x81\xa5Hello\x81\xa8protocol\x01");
    }

    /// A new daemon meets an old guard, so a changed byte needs a higher `PROTOCOL`, which has a file of its own here.
    #[test]
    fn the_frames_of_this_protocol_are_as_they_were() {
        let at = Timestamp::from_micros(1_000_000);
        let lease = Lease { epoch: Epoch(7), end: at };
        let exit = Exit { pid: Some(42), status: Some(ExitStatus::Signal(9)), cause: ExitCause::LeaseOver, survivors_killed: 3, at };
        let server = ServerStatus { pid: Some(42), as_primary: Some(Epoch(7)), writable: true, ending: false };
        let status = Status { server: Some(server), lease: Some(lease), dropped: Some(Epoch(6)), last_exit: Some(exit) };
        let identity = Identity { protocol: PROTOCOL, pid: 41, pgdata: "/data".into(), kill_margin: Duration::from_millis(500) };
        let asked = |request| encode(&Asked { id: 3, request }).unwrap();
        let answer = |answer| encode(&Said::Answer { id: 3, answer }).unwrap();
        let refused = |refusal| answer(Answer::Refused(refusal));
        let epoch = Epoch(7);
        let frames = golden::frames([
            ("hello", asked(Request::Hello { protocol: PROTOCOL })),
            ("status", asked(Request::Status)),
            ("start", encode(&launch("/data")).unwrap()),
            ("expect-promotion", asked(Request::ExpectPromotion { epoch })),
            ("stop-fast", asked(Request::Stop(StopMode::Fast))),
            ("kill", asked(Request::Kill)),
            ("lease", asked(Request::Lease { epoch, end: at })),
            ("drop-lease", asked(Request::DropLease { epoch })),
            ("quit", asked(Request::Quit)),
            ("is", answer(Answer::Hello(identity))),
            ("stands", answer(Answer::Status(status))),
            ("started", answer(Answer::Started { pid: 42 })),
            ("leased", answer(Answer::Leased { end: at })),
            ("done", answer(Answer::Done)),
            ("no-lease", refused(Refusal::NoLease { epoch })),
            ("dropped", refused(Refusal::Dropped { epoch: Epoch(6), dropped: epoch })),
            ("outdated", refused(Refusal::Outdated { epoch: Epoch(6), current: epoch })),
            ("no-server", refused(Refusal::NoServer)),
            ("exited", encode(&Said::ServerExited(exit)).unwrap()),
        ]);
        golden::must_be(&alloc::format!("guard/testdata/frames-{PROTOCOL}.txt"), &frames);
    }

    #[test]
    fn a_message_longer_than_a_frame_is_refused_before_it_is_sent() {
        assert!(matches!(encode(&launch(&"x".repeat(FRAME_MAX))), Err(WireError::Unsayable(_))));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for byte in 0..=u8::MAX {
            assert!(decode::<Asked>(&[byte; 40]).is_err());
        }
    }
}
