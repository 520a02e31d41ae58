//! The hands of the RaftActor, and the only part of it that touches the world: the disk, the network, the log of the daemon.
//!
//! The store, the thread that writes it and the links live as long as the process. Each life of the actor gets a writer of its own
//! from [`log_thread::LogThread::begin_life`], together with what is on disk, and a clone of the links.

pub mod halt;
pub mod handshake;
pub mod links;
pub mod log_thread;
pub mod slog_drain;
pub mod store;

use super::{Effect, Fact, Input};
use crate::machine::{Machine, Timestamp};
use crate::tree::{Address, Hands};
use halt::Halt;
use links::Links;
use log_thread::{LogWriter, with_causes};
use std::error::Error;
use std::sync::Arc;

/// Hears the facts for the FSM of this node. Must not wait.
pub type ToFsm = Arc<dyn Fn(Fact) + Send + Sync>;

/// Performs what the machine orders.
pub struct RaftHands {
    log: LogWriter,
    links: Links,
    fsm: ToFsm,
    halt: Halt,
    announced: bool,
}

impl std::fmt::Debug for RaftHands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RaftHands({:?}, {:?})", self.log, self.links)
    }
}

impl RaftHands {
    /// Hands for one life of the actor.
    #[must_use]
    pub fn new(log: LogWriter, links: Links, fsm: ToFsm, halt: Halt) -> Self {
        Self { log, links, fsm, halt, announced: false }
    }

    /// A machine that was restarted does not know which links are up. It is told with its first effect, since before that its address
    /// may still lead to its predecessor.
    fn announce_once(&mut self) {
        if !std::mem::replace(&mut self.announced, true) {
            self.links.announce();
        }
    }
}

impl<M> Hands<M> for RaftHands
where
    M: Machine<Input = Input, Effect = Effect>,
{
    fn perform(&mut self, _: Timestamp, effect: Effect, _: &Address<Input>) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.announce_once();
        match effect {
            Effect::Persist(batch) => {
                if let Err(error) = self.log.write(batch) {
                    // A batch that is lost is not made good by a restart of the actor.
                    self.halt.order(with_causes(&error));
                    return Err(error.into());
                }
            }
            Effect::Send { to, message } => {
                // A message that is dropped is said again by whoever still wants to say it.
                let _ = self.links.send(to, &message);
            }
            Effect::Tell(fact) => (self.fsm)(fact),
            Effect::Link(members) => self.links.follow(&members),
            Effect::Note { warning: true, text } => tracing::warn!(target: "raft", "{text}"),
            Effect::Note { warning: false, text } => tracing::info!(target: "raft", "{text}"),
            Effect::Halt { reason } => self.halt.order(reason),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
