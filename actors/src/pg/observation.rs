//! What the hands see when they look at the database.

use crate::model::{Condition, Directory, Endpoint, Lsn, Position, Promotion, Timeline};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One look at everything: the directory, the processes, and the server's own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What lies in the data directory.
    pub directory: Directory,
    /// What `pg_control` says, if there is one that can be read.
    pub control: Option<Control>,
    /// `standby.signal` lies in the data directory. A promotion takes it away before the server accepts writes.
    pub standby_signal: bool,
    /// The server's processes.
    pub process: Process,
    /// The server's own account; None if it gave none in time.
    pub sight: Option<Sight>,
    /// Where the log of a stopped server provably ends.
    pub end: Option<Position>,
    /// What the server's log file says against streaming, since it was last told what to follow.
    pub stall: Option<Stall>,
    /// What ended a server that is gone, in its own words, if that lies outside of its directory and a copy of the database would not help.
    pub excuse: Option<String>,
    /// What else is not as it should be.
    pub conditions: Vec<Condition>,
    /// What the running server needs, whatever it is to be.
    pub upkeep: Upkeep,
}

/// What a running server needs besides what is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upkeep {
    /// Nothing.
    Nothing,
    /// Its configuration is not what it should be, and has to be written and read again.
    Configure,
    /// A standby that does not stream streams again after a restart: what runs is not what is installed.
    Restart,
}

/// What `pg_control` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The timeline of the last checkpoint.
    pub timeline: Timeline,
    /// What the server was doing when it last wrote the file.
    pub phase: Phase,
}

/// What a server was doing when it last wrote `pg_control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It accepted writes, or was about to, or was shutting down after it did.
    Production,
    /// It had shut down cleanly after it accepted writes.
    ShutDown,
    /// It was a standby, running or shut down.
    Recovery,
}

/// The processes of the server, as the guard and the kernel know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    /// None.
    Gone,
    /// The guard runs one.
    Running {
        /// Which one.
        life: Life,
        /// A promotion has been asked of this one, at whatever time: it may turn into a primary at any instant.
        promoting: bool,
    },
    /// The guard is starting or ending one, or cannot be asked while nobody is there: nothing certain can be said.
    Unsettled,
    /// There are some, and the guard does not answer, or none can be reached. What they are is known only from before.
    Silent,
    /// Processes that a guard of ours left behind when it died, or that have gone without a guard that answers for too long.
    Orphaned,
    /// A server that no guard of ours started.
    Stranger {
        /// Its postmaster.
        pid: u32,
    },
}

/// One run of a server: the process id of its postmaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Life(pub u32);

/// The server's own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// It accepts no writes.
    pub in_recovery: bool,
    /// What it has written, or received, or replayed if that is more (D1).
    pub position: Position,
    /// How far a standby has replayed.
    pub replayed: Option<Lsn>,
    /// What it streams.
    pub stream: Option<Stream>,
    /// The promotions that its timeline comes from, oldest first, with its own as the last. Empty: not known.
    pub lineage: Vec<Promotion>,
}

/// What a standby streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The timeline it receives.
    pub timeline: Timeline,
    /// From whom, where the server tells.
    pub from: Option<Endpoint>,
}

/// Why a standby can never stream as it is, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stall {
    /// The upstream no longer has the log that it needs.
    WalRemoved,
    /// It has more log than the upstream, or the upstream's timeline forked off before its end.
    Diverged,
}

/// How a server took a fresh connection and a `SELECT 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It answered.
    Served,
    /// It answered with an error: busy, recovering, or shutting down, and in any case not hanging.
    Refused,
    /// Nothing came in time.
    Silent,
}
