//! What the hands see when they look at the database.

use super::budget::Budget;
use super::classify::LastWords;
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
    /// By its lock file the server takes connections, and it turns everybody away as one does that starts.
    pub turned_away: bool,
    /// What its log says of the process whose end was the reason for that. A hint, for people.
    pub crash: Option<String>,
    /// Where the log of a stopped server provably ends.
    pub end: Option<Position>,
    /// The server's log hints that the standby can never stream as it is, since it was last told what to follow. A hint is asked about, and
    /// decides nothing: others may have written it.
    pub hint: bool,
    /// What ended a server that is gone, in its own words. None: its log says nothing, or cannot be read here.
    pub last_words: Option<LastWords>,
    /// How often this database was cloned of late.
    pub clones: Budget,
    /// What is left of a server that has shut down.
    pub leftover: Option<Leftover>,
    /// A switchover to this node is under way.
    pub chosen: bool,
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

/// Who is left of a server whose `pg_control` says that it has shut down. None of them can write to the database any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// A standby that kept up when the stop began is still being sent the end of the log.
    pub awaited: bool,
    /// The processes, as the list of processes shows them.
    pub names: Vec<String>,
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

/// The server's account of itself, or, where it gives none, its files'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// It lets sessions in, and says all this itself. If not, its files and its processes say it.
    pub open: bool,
    /// It accepts no writes.
    pub in_recovery: bool,
    /// What it has written, or received, or replayed if that is more (D1).
    pub position: Position,
    /// How far a standby has replayed.
    pub replayed: Option<Lsn>,
    /// What holds a standby's replay up.
    pub hold: Option<Hold>,
    /// What it streams.
    pub stream: Option<Stream>,
    /// The promotions that its timeline comes from, oldest first, with its own as the last. Empty: not known.
    pub lineage: Vec<Promotion>,
    /// The process id of its checkpointer. A server that recovers in place keeps its postmaster and gets another one of these. None: not known.
    pub checkpointer: Option<u32>,
}

/// What holds a standby's replay up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Readers, whose snapshots or locks stand against what comes next.
    Readers,
    /// Somebody paused it.
    Pause,
    /// The primary has more room for something than this server was started with. Promoted like that, the server ends itself.
    Room {
        /// So many other nodes may be held up as well and are restarted before this one.
        before: u8,
    },
    /// `recovery_min_apply_delay`.
    Delay,
    /// The process that replays is stopped, as by SIGSTOP.
    Stopped,
    /// Nothing: it has replayed every whole record that is there, and waits for the rest of one, which an idle primary may send many seconds later.
    Rest,
}

/// What a standby streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The timeline it receives.
    pub timeline: Timeline,
    /// From whom, where the server tells.
    pub from: Option<Endpoint>,
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
