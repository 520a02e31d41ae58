//! What a node can be asked over HTTP.

use actors::model::{Epoch, NodeId, Timeline};
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use std::time::Duration;

/// A question or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// How the node sees itself and the cluster: `actors::model::Status`.
    Node,
    /// The cluster in brief.
    Cluster,
    /// Whether the node is well: `actors::api::health::Serving`.
    Health(As),
    /// What happened.
    History,
    /// Make somebody else the primary.
    Switchover {
        /// A name or a number; None leaves the choice to the leader.
        to: Option<String>,
    },
    /// Hold everything but the fence.
    Pause,
    /// Go on.
    Resume,
}

/// What a node is to be well as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// Whatever it is now.
    Member,
    /// A primary that accepts writes.
    Primary,
    /// A standby that takes readers.
    Replica,
}

/// The answer to a switchover.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Switched {
    /// The primary before.
    pub(crate) from: NodeId,
    /// The primary now.
    pub(crate) to: NodeId,
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// Its timeline.
    pub(crate) timeline: Timeline,
    /// How long it took.
    pub(crate) duration_ms: u64,
}

/// The answer to a pause or a resume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Paused {
    /// Whether failover is paused now.
    pub(crate) paused: bool,
}

impl Request {
    /// Whether it may be sent to several nodes: it changes nothing.
    pub(super) const fn is_harmless(&self) -> bool {
        matches!(self, Self::Node | Self::Cluster | Self::Health(_) | Self::History)
    }

    /// Whether "service unavailable" is the answer, and not the lack of one.
    pub(super) const fn is_about_service(&self) -> bool {
        matches!(self, Self::Health(_))
    }

    pub(super) const fn method(&self) -> Method {
        if self.is_harmless() { Method::GET } else { Method::POST }
    }

    pub(super) const fn path(&self) -> &'static str {
        match self {
            Self::Node => "/node",
            Self::Cluster => "/cluster",
            Self::Health(As::Member) => "/health",
            Self::Health(As::Primary) => "/primary",
            Self::Health(As::Replica) => "/replica",
            Self::History => "/history",
            Self::Switchover { .. } => "/switchover",
            Self::Pause => "/failover/pause",
            Self::Resume => "/failover/resume",
        }
    }

    pub(super) fn body(&self) -> Bytes {
        match self {
            Self::Switchover { to } => serde_json::json!({ "to": to }).to_string().into(),
            _ => Bytes::new(),
        }
    }

    /// How long to wait for the answer. A node gives up a command by itself, and says so; this is for nodes that died meanwhile.
    pub(super) const fn limit(&self) -> Duration {
        match self {
            Self::Node | Self::Cluster | Self::Health(_) | Self::History => Duration::from_secs(5),
            Self::Pause | Self::Resume => Duration::from_secs(30),
            Self::Switchover { .. } => Duration::from_secs(180),
        }
    }
}
