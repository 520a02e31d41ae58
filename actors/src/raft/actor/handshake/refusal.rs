//! Why a link does not come about. The words are neutral, since both sides log them.

use super::{Versions, frames::Refused};
use crate::model::NodeId;
use crate::printable::printable;
use std::io;
use std::net::IpAddr;

/// Why one side refuses the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two clusters.
    #[error(
        "the acceptor belongs to the cluster {acceptor:?} and the dialer to {dialer:?}: give both the same cluster.name, or correct [[peers]]"
    )]
    Cluster {
        /// The one.
        acceptor: String,
        /// The other.
        dialer: String,
    },
    /// The tokens differ.
    #[error("the two nodes do not have the same token: give both the same cluster.token")]
    Token,
    /// A node reached itself.
    #[error("a node reached itself: one of its [[peers]] has the node's own address, correct its host and port")]
    Itself,
    /// The dialer has the acceptor's id.
    #[error("both nodes have cluster.node_id = {node}: give one of them another")]
    SameNode {
        /// The id.
        node: NodeId,
    },
    /// The address is somebody else's.
    #[error(
        "the address of node {expected} is answered by node {found}: correct [[peers]] of the dialer, or cluster.node_id of the acceptor"
    )]
    OtherNode {
        /// Who should answer.
        expected: NodeId,
        /// Who does.
        found: NodeId,
    },
    /// One id, two nodes.
    #[error(
        "two nodes have cluster.node_id = {node}: one at {linked}, which is linked and alive, and one at {newcomer}, which is refused: give one of \
         them another node_id"
    )]
    Twin {
        /// The id.
        node: NodeId,
        /// Where the one is that was there first.
        linked: Address,
        /// Where the other is.
        newcomer: Address,
    },
    /// Nobody knows it.
    #[error(
        "node {node} is neither a member of the cluster nor in [[peers]] of the acceptor: add it there, or correct its cluster.node_id"
    )]
    Stranger {
        /// The id.
        node: NodeId,
    },
    /// Too far apart.
    #[error(
        "the acceptor speaks the versions {}-{} of the peer protocol and the dialer {}-{}: upgrade the older one, by one release at a time",
        acceptor.min, acceptor.max, dialer.min, dialer.max
    )]
    Version {
        /// The one.
        acceptor: Versions,
        /// The other.
        dialer: Versions,
    },
}

/// Every code of a refusal.
const CODES: [&str; 8] = ["cluster", "token", "itself", "same_node", "other_node", "twin", "stranger", "version"];

/// Where a node is: where its connection comes from, and the port that it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Seen by ourselves.
    pub ip: IpAddr,
    /// Dialled by us, or told by it.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

impl Refusal {
    /// Short, for machines and for telling reasons apart: one of [`CODES`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cluster { .. } => "cluster",
            Self::Token => "token",
            Self::Itself => "itself",
            Self::SameNode { .. } => "same_node",
            Self::OtherNode { .. } => "other_node",
            Self::Twin { .. } => "twin",
            Self::Stranger { .. } => "stranger",
            Self::Version { .. } => "version",
        }
    }

    pub(super) fn to_words(&self) -> Refused {
        Refused { code: self.code().to_owned(), text: self.to_string() }
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// We refused.
    #[error("refused: {0}")]
    Refusal(Refusal),
    /// The other side refused. Its words are shortened and stripped of what a terminal would obey.
    #[error("it refused us: {text}")]
    Refused {
        /// See [`Refusal::code`].
        code: String,
        /// In its words.
        text: String,
    },
    /// Nothing came.
    #[error("the handshake took longer than {seconds} s, and still waited for {what}: the other side is frozen, overloaded or no witch")]
    Silent {
        /// What was waited for.
        what: &'static str,
        /// How long all of it may take.
        seconds: u64,
    },
    /// It speaks something else. What is odd may be in its own words, which are treated like those of `Refused`.
    #[error("the other side does not speak witch's peer protocol ({detail}): is the port right?")]
    Foreign {
        /// What is odd.
        detail: String,
    },
    /// There is no connection, or no address to dial.
    #[error("it cannot be reached")]
    Unreachable(#[source] super::super::links::Undialled),
    /// The connection broke, or the host has no randomness.
    #[error("the connection broke during the handshake")]
    Broken(#[from] io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused { code: printable(&refused.code, 32), text: printable(&refused.text, 600) }
    }
}

impl Failure {
    /// What is odd about it may be told in its own words.
    pub(super) fn foreign(detail: &str) -> Self {
        Self::Foreign { detail: printable(detail, 200) }
    }

    /// Short, for telling reasons apart.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Refusal(refusal) => refusal.code().to_owned(),
            // The code is the other side's choice: one that we do not know is like any other that we do not know.
            Self::Refused { code, .. } if CODES.contains(&code.as_str()) => format!("refused_{code}"),
            Self::Refused { .. } => "refused".to_owned(),
            Self::Silent { .. } => "silent".to_owned(),
            Self::Foreign { .. } => "foreign".to_owned(),
            Self::Unreachable(_) => "unreachable".to_owned(),
            Self::Broken(_) => "broken".to_owned(),
        }
    }

    /// Whether it takes a person to mend it.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Refusal(_) | Self::Refused { .. } | Self::Foreign { .. })
    }
}
