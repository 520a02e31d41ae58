//! Why an operation on the database failed.

use super::connection::SqlFailure;
use super::durable::FileFailure;
use super::installation::NotInstalled;
use super::program::ProgramFailure;
use crate::model::{Endpoint, SystemIdentifier};
use crate::pg::Outlook;
use crate::pg::ancestry::NotAHistory;
use crate::pg::classify::{self, Consequence};
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
    /// What lies here is damaged, and a copy mends it.
    #[error("{path}: {reason}; a copy of the primary mends it")]
    Damaged {
        /// Where.
        path: String,
        /// What is damaged or missing.
        reason: String,
    },
    /// A rewind would leave a database that is of no use.
    #[error("no rewind can bring this node back: {reason}; a copy of the primary does")]
    Unrewindable {
        /// What is unlike.
        reason: String,
    },
    /// There were too many clones.
    #[error(
        "{0}: so no further clone is made, and all that lies here is kept; mend what it names, or remove the file `clones` in cluster.data_dir"
    )]
    ClonesSpent(String),
    /// There is no room for a copy.
    #[error("{path} has room for {free} bytes, and the copy needs {needed}; nothing was changed: make room")]
    NoRoom {
        /// Where.
        path: String,
        /// What is free there, with what would be cleared.
        free: u64,
        /// What the primary's database takes.
        needed: u64,
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
    /// What it says of the next try. Only what is known to be mended by a copy is hopeless.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Sql(failure) => failure.outlook(),
            // A server that answers, or an operation that ends, is waited for.
            Self::UpstreamNotReady { .. } | Self::Busy { .. } | Self::Installed(_) => Outlook::Waiting,
            Self::Damaged { .. } | Self::Unrewindable { .. } => Outlook::Hopeless,
            Self::ClonesSpent(_) | Self::NoRoom { .. } | Self::OtherDatabase { .. } => Outlook::Barred,
            Self::Program(failure) => {
                match failure.said().and_then(|(by, output)| classify::program(by, output)).map(|row| row.consequence) {
                    Some(Consequence::Clone) => Outlook::Hopeless,
                    Some(Consequence::Operator) => Outlook::Barred,
                    Some(Consequence::Wait) => Outlook::Waiting,
                    Some(Consequence::Retry | Consequence::Compare) | None => Outlook::Open,
                }
            }
            Self::File(_) | Self::Directory { .. } | Self::ControlData(_) | Self::History(_) => Outlook::Open,
        }
    }
}
