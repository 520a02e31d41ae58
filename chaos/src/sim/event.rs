//! What can happen in the world.

use super::client::Written;
use super::story::{Actor, Fault};
use actors::guard::wire::{Answer, ExitStatus, Request};
use actors::model::Epoch;
use actors::raft::PeerMessage;
use actors::{fsm, pg, probe, raft};

/// Something that happens at an instant.
#[derive(Debug)]
pub(super) enum Event {
    /// A letter for an actor of that life of the daemon.
    Told(usize, u64, Mail),
    /// An actor's alarm of that number.
    Alarm(usize, u64, Actor, u64),
    /// Something that the hands of that life of the daemon wait for.
    Chore(usize, u64, Chore),
    /// Something for that life of the guard.
    Guard(usize, u64, GuardEvent),
    /// Something for the server of that process id.
    Server(usize, u32, ServerEvent),
    /// A message arrives, for that life of the receiver.
    Arrive { from: usize, to: usize, life: u64, message: Box<PeerMessage> },
    /// Looks after the link from one node to another.
    Link(usize, usize),
    /// The daemon is started, if nothing else was ordered for it since.
    Start(usize, u64),
    /// The fault of that index.
    Fault(usize),
    /// A fault that waited for its victim.
    Struck(Fault),
    /// That client writes.
    Client(usize),
    /// An operator moves the foreign database away.
    MoveAway(usize),
    /// An operator stops the server that he started.
    StopByHand(usize, u32),
    /// An operator lets failover go on.
    Resume,
    /// The core is healed.
    Heal,
    /// What is still missing?
    Poll,
}

/// A letter.
#[derive(Debug)]
pub(super) enum Mail {
    Fsm(Box<fsm::Input>),
    Raft(Box<raft::Input>),
    Pg(Box<pg::Input>),
    Probe(usize, Box<probe::Input>),
}

/// What the hands of a daemon wait for.
#[derive(Debug)]
pub(super) enum Chore {
    /// The guard's answer to the question of that number.
    Answered(u64, Box<Answer>),
    /// No answer in time.
    TimedOut(u64),
    /// Try to reach a guard.
    Connect,
    /// The tether's patience of that number is over.
    Patience(u64),
    /// The connection to that guard is lost.
    GuardLost(u64),
    /// The operation of that number comes to its next point.
    Work(u64),
    /// The write of the log that was begun last is done.
    Written(u64),
    /// What may wait has waited long enough.
    WriteNow,
    /// The release is on disk.
    Released(Epoch),
    /// The supervisor starts the actor again.
    Restart(Actor),
    /// The end takes too long.
    Overdue,
    /// A sweep through the data directory comes to its end.
    Swept,
}

/// What happens to a guard.
#[derive(Debug)]
pub(super) enum GuardEvent {
    /// Its alarm of that number.
    Alarm(u64),
    /// That life of the daemon asks.
    Asked(u64, u64, Box<Request>),
    /// Its postmaster ended.
    Ended(ExitStatus),
    /// Nothing is left of the server that it kills.
    Gone,
}

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerEvent {
    /// It writes its control file for the first time.
    Begins,
    /// It answers.
    Up,
    /// After so many crashes it has replayed its log, and writes the checkpoint at the end of that.
    Replayed(u32),
    /// And answers again.
    Recovered(u32),
    /// The promotion is done.
    Promoted,
    /// The stop that was asked for comes to its end.
    Stops,
    /// All its processes are gone, by the kernel's signal.
    Gone,
    /// Its receiver looks after the stream.
    Receive,
    /// A delivery arrives: so many records of the upstream's log.
    Delivered(usize),
    /// A commit is flushed that was written after so many crashes.
    Flushed(u32, Written),
}
