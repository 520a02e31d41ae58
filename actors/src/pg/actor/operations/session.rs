//! The lasting connection to this node's server, and what is asked and ordered over it.

use super::connection::{Connection, SqlFailure, Whom};
use super::{Failure, Site};
use crate::model::{Endpoint, Lsn, NodeId, Position, Promotion, Timeline};
use std::collections::BTreeSet;
use std::time::Duration;

/// A lasting connection to this node's server as Witch's superuser. Everything has a deadline; after a time-out, or once the server has
/// closed it, [`Session::is_closed`] holds and a new one has to be opened.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
}

/// What the server says of itself, in one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// It is read-only.
    pub in_recovery: bool,
    /// A primary: what it has written. A standby: what it has received, or replayed if that is more.
    pub position: Position,
    /// What a standby has replayed.
    pub replayed: Option<Lsn>,
    /// A standby's receiver, while it is connected.
    pub receiver: Option<Receiver>,
}

/// A standby's connection to its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// It streams. PostgreSQL says so from the instant it asks for the stream; that it goes on saying so proves it.
    pub streaming: bool,
    /// From whom.
    pub upstream: Option<Endpoint>,
    /// On which timeline.
    pub timeline: Timeline,
}

impl Session {
    /// Opens it.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or does not answer within the deadline.
    pub async fn open(site: &Site, within: Duration) -> Result<Self, SqlFailure> {
        Ok(Self { connection: Connection::open(site, Whom::Local, within).await? })
    }

    /// Whether it is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        unimplemented!()
    }

    /// Resolves when the server has closed it: the fastest sign that the server is gone.
    pub async fn closed(&self) {
        unimplemented!()
    }

    /// Asks for everything that is reported, in one round trip.
    ///
    /// # Errors
    /// As with every query: no answer in time, a refusal, a broken connection.
    pub async fn observe(&mut self, within: Duration) -> Result<Observation, SqlFailure> {
        let _ = within;
        unimplemented!()
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// As with every query.
    pub async fn checkpoint(&mut self, within: Duration) -> Result<(), SqlFailure> {
        let _ = within;
        unimplemented!()
    }

    /// Makes a standby accept writes, waits until it does, and answers the timeline that it writes on and where that began.
    ///
    /// # Errors
    /// It does not accept writes within the deadline (it may later), or a query fails.
    pub async fn promote(&mut self, site: &Site, within: Duration) -> Result<Promotion, Failure> {
        let _ = (site, within);
        unimplemented!()
    }

    /// Makes the server read its configuration again.
    ///
    /// # Errors
    /// As with every query.
    pub async fn reload(&mut self, within: Duration) -> Result<(), SqlFailure> {
        let _ = within;
        unimplemented!()
    }

    /// Sees to it that every other data node has its slot here, and nobody who is none; on a standby, moves the slots to what it has
    /// replayed, so that they do not keep the log for ever. `data_nodes` may contain this node.
    ///
    /// # Errors
    /// As with every query.
    pub async fn ensure_slots(&mut self, own: NodeId, data_nodes: &BTreeSet<NodeId>, within: Duration) -> Result<(), SqlFailure> {
        let _ = (own, data_nodes, within);
        unimplemented!()
    }

    /// Ends the connections of standbys called `witch_<n>` that are no data nodes of this cluster. Answers how many.
    ///
    /// # Errors
    /// As with every query.
    pub async fn terminate_foreign_walsenders(&mut self, data_nodes: &BTreeSet<NodeId>, within: Duration) -> Result<u64, SqlFailure> {
        let _ = (data_nodes, within);
        unimplemented!()
    }
}
