//! Why an operation on the database failed.

use super::connection::SqlFailure;
use super::durable::FileFailure;
use super::installation::NotInstalled;
use super::program::ProgramFailure;
use crate::model::{Endpoint, SystemIdentifier};
use crate::pg::ancestry::NotAHistory;
use crate::pg::control::NotControlData;

/// Why an operation failed: what happened, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// One of PostgreSQL's programs failed.
    #[error(transparent)]
    Program(#[from] ProgramFailure),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileFailure),
    /// A server refused or did not answer.
    #[error(transparent)]
    Sql(#[from] SqlFailure),
    /// Another database than the cluster's (S11).
    #[error("{place} holds database {found}, but this cluster's is {expected}; nothing was changed: check which one belongs here")]
    OtherDatabase {
        /// Where it was found.
        place: String,
        /// Whose it is.
        found: SystemIdentifier,
        /// Whose it should be.
        expected: SystemIdentifier,
    },
    /// The upstream does not accept writes, or not yet on the timeline that is to be followed.
    #[error("{upstream} is not ready to be copied from: {reason}; it is tried again")]
    UpstreamNotReady {
        /// The upstream.
        upstream: Endpoint,
        /// What it lacks.
        reason: String,
    },
    /// The programs on this host are not those that the operation needs.
    #[error(transparent)]
    Installed(#[from] NotInstalled),
    /// The directory is not what the operation needs.
    #[error("{path}: {reason}")]
    Directory {
        /// The directory.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A program that an earlier daemon started is still at work in the data directory.
    #[error(
        "an operation of an earlier Witch process still works on {path}; if it does not end by itself, end the process that holds {lock}"
    )]
    Busy {
        /// The data directory.
        path: String,
        /// The lock that it holds.
        lock: String,
    },
    /// `pg_controldata` was not understood.
    #[error(transparent)]
    ControlData(#[from] NotControlData),
    /// A timeline's history was not understood.
    #[error(transparent)]
    History(#[from] NotAHistory),
}

impl Failure {
    /// Whether it is over as soon as something else is as it should be, a server that answers or an operation that ends, and so says nothing
    /// against what was tried.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        match self {
            Self::Sql(failure) => failure.is_waiting(),
            Self::UpstreamNotReady { .. } | Self::Busy { .. } => true,
            Self::Program(_)
            | Self::File(_)
            | Self::OtherDatabase { .. }
            | Self::Directory { .. }
            | Self::ControlData(_)
            | Self::History(_) => false,
            Self::Installed(_) => true,
        }
    }
}
