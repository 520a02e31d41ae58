//! Members: who is in the cluster and where to reach them.

use super::{NodeId, RaftId};
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// One node of the membership, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The number of the node in every `witch.toml`.
    pub node: NodeId,
    /// The life of its Raft log that is a member.
    pub raft_id: RaftId,
    /// Its name, for people.
    pub name: String,
    /// Where its daemon listens.
    pub witch: Endpoint,
    /// Where its database listens; standbys find the primary by it.
    pub database: Endpoint,
    /// Votes, and has no database.
    pub witness: bool,
}

/// What an operator says of one node's database in `[tags]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Never appoint this node.
    pub nofailover: bool,
    /// Keep readers away: `/replica` answers 503.
    pub noloadbalance: bool,
    /// Among candidates that are equally far, the highest is appointed.
    pub failover_priority: u32,
}

impl Default for Tags {
    fn default() -> Self {
        Self { nofailover: false, noloadbalance: false, failover_priority: 100 }
    }
}
