//! A node's account of itself, sent to every peer and never put into the log.

use super::{Boot, Condition, Epoch, NodeId, Position, Promotion, SystemIdentifier, Tags, Timeline};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a node tells its peers: at every interval, and on every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who reports.
    pub node: NodeId,
    /// Which life of its daemon.
    pub boot: Boot,
    /// Grows by one with each report of that life.
    pub seq: u64,
    /// The epoch that the reporter's applied state names.
    pub epoch: Epoch,
    /// The daemon is on its way out.
    pub stopping: bool,
    /// What its file says of its database.
    pub tags: Tags,
    /// None: a witness, or not known yet.
    pub database: Option<Database>,
}

/// A database as the adapter of its node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// What lies in the data directory.
    pub directory: Directory,
    /// What its server does.
    pub server: Server,
    /// How far it is. A primary: what it has written. A standby: what it has received, or replayed if that is more (D1). A stopped server:
    /// the end that `pg_control` proves, or None.
    pub position: Option<Position>,
    /// The promotions that its timeline comes from, oldest first, with its own as the last. Empty: not known, as without a server that answers.
    pub lineage: Vec<Promotion>,
    /// How far a standby has replayed.
    pub replayed: Option<super::Lsn>,
    /// A standby streams from its upstream right now.
    pub streaming: bool,
    /// What the adapter is busy with.
    pub operation: Option<Operation>,
    /// What keeps it from doing what it was told, in words. Empty if nothing does.
    pub trouble: Option<String>,
    /// What else is not as it should be, the most severe first.
    // Older daemons tell none.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The server has died so often within the last ten minutes.
    pub deaths: u32,
    /// The server has been starting for longer than `start_timeout_ms`.
    pub overdue: bool,
}

/// What lies in the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Directory {
    /// Nothing.
    Empty,
    /// A clone or a founding that was not finished; a marker in `cluster.data_dir` says so.
    Unfinished,
    /// A database.
    Database {
        /// Of this identity.
        system_identifier: SystemIdentifier,
        /// The last timeline that `pg_control` knows.
        timeline: Timeline,
    },
    /// Files that are no database which Witch could run. The reason says what they are and what to do.
    Unusable {
        /// In words.
        reason: String,
    },
}

/// What the database server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// No process of it exists.
    Stopped,
    /// Starting as a standby, or recovering as one; nobody can read yet.
    StartingStandby,
    /// In recovery and answering: read-only.
    Standby,
    /// Starting to be a primary (crash recovery), or being promoted. It may accept writes at any instant.
    StartingPrimary,
    /// Accepts writes.
    Primary,
    /// Stopping. It may still accept writes if it was a primary.
    Stopping,
    /// Its processes exist and it does not answer.
    Hung,
    /// A server runs that Witch's guard did not start.
    Stranger,
}

impl Server {
    /// Whether it is certain that it accepts no write now and will not without a new order.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Stopped | Self::StartingStandby | Self::Standby)
    }
}

/// A thing that takes the adapter a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `clone`, `rewind`, `start` ...
    pub name: String,
    /// Done, where it can be told.
    pub percent: Option<u8>,
    /// Details for people.
    pub detail: String,
}
