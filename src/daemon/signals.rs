//! What the process can be told by signals.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// A signal's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT: hand over, stop the database, release, end.
    Stop,
    /// SIGUSR1: end, and leave the database to the guard; the next daemon takes it over.
    Leave,
    /// SIGHUP: read the file again, which only a new daemon does.
    Reload,
}

/// The signals of the process.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.user1.recv() => Signal::Leave,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
