//! What the FSM tells the adapter, and what it hears from it.

use crate::model::{Database, Endpoint, Epoch, Lsn, NodeId, Position, Promotion, Server, SystemIdentifier, Timeline};
use serde::{Deserialize, Serialize};

/// What the database of this node shall be. The newest order is in force until the next; the same order twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Look and report, and start, stop or change nothing. In force before the first order.
    Watch,
    /// Make the cluster's database (initdb, roles), or adopt the one that lies there; leave it stopped. Reported as `founded`.
    Found,
    /// Accept writes, for this epoch: start as a primary, or promote. The lease is held while this order is in force.
    Lead {
        /// The appointment.
        epoch: Epoch,
        /// The identity of the cluster's database, which this node's must have (S11).
        system_identifier: SystemIdentifier,
        /// What the committed history says that this node's database holds: one that ends before leads nobody (D5).
        least: Option<Position>,
    },
    /// Be readable without an upstream: nobody knows a primary to follow. Never discards anything.
    StandAlone,
    /// Be a streaming standby of that upstream, by the ladder of L2: as it is, else rewind, else clone.
    Follow(Upstream),
    /// Checkpoint while still accepting writes, then stop fast and cleanly. Reported as `stopped`.
    StepDown,
    /// Stop fast. Reported as `stopped`.
    Stop,
    /// End every process of the server at once, whatever it does.
    Fence,
}

/// Whom to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The primary.
    pub node: NodeId,
    /// Of this epoch.
    pub epoch: Epoch,
    /// Its database.
    pub database: Endpoint,
    /// The identity that this node's database must have, too (S11).
    pub system_identifier: SystemIdentifier,
    /// The timeline it writes on, and where that began. None while it is not promoted: then stream if that works, and rewind or clone nothing.
    pub promotion: Option<Promotion>,
}

impl Upstream {
    /// Whether this is the same one as before: the same node in a later epoch, or once it is promoted, may have another history. That its
    /// promotion is not known for a moment changes nothing.
    #[must_use]
    pub fn is_still(&self, before: &Self) -> bool {
        let same_promotion = self.promotion.is_none() || self.promotion == before.promotion;
        self.epoch == before.epoch && self.database == before.database && same_promotion
    }
}

/// What the adapter reports to the FSM: on every change, and at every health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The number of the order that was in force when this was observed: an older observation proves nothing about a newer order.
    pub order: u64,
    /// The database.
    pub database: Database,
    /// `Found` has been carried out: the database has this identity and no server runs on it.
    pub founded: Option<SystemIdentifier>,
    /// `StepDown` or `Stop` or `Fence` has been carried out: no process of the server is left.
    pub stopped: Option<Stopped>,
}

impl Reported {
    /// The timeline that the database writes on, and where that began. None: it accepts no writes, or that is not known.
    #[must_use]
    pub fn promotion(&self) -> Option<Promotion> {
        self.database.lineage.last().filter(|_| self.database.server == Server::Primary).copied()
    }
}

/// Where the log of a stopped server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Its last timeline.
    pub timeline: Timeline,
    /// After a clean shutdown: the end of the shutdown checkpoint's record (D4).
    pub final_lsn: Option<Lsn>,
}
