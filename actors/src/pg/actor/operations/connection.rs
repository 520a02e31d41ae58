//! One SQL connection with a deadline on everything.

use super::Site;
use crate::model::Endpoint;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Which server is spoken to.
#[derive(Clone, Copy, Debug)]
pub enum Whom<'a> {
    /// The server of this node: over the Unix socket, else over TCP.
    Local,
    /// Another node's.
    Remote(&'a Endpoint),
}

/// A server refused, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlFailure {
    /// It answered with an error.
    #[error("{server} refused to {what}: {message} (SQLSTATE {})", state.code())]
    Refused {
        /// Which server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// The class of the error.
        state: SqlState,
        /// Its words.
        message: String,
    },
    /// It could not be reached, or the connection broke.
    #[error("{server} cannot be asked to {what}: {reason}")]
    Unreachable {
        /// Which server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It did not answer in time.
    #[error("{server} did not {what} within {} ms", within.as_millis())]
    TooLate {
        /// Which server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// The deadline.
        within: Duration,
    },
    /// It answered something that Witch does not understand.
    #[error("{server} was asked to {what} and answered something unexpected: {answer}")]
    Unexpected {
        /// Which server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// The answer.
        answer: String,
    },
}

/// A connection that is thrown away at the first time-out: the next query would wait for the one that is late.
#[derive(Debug)]
pub(super) struct Connection {
    server: String,
    client: Option<Client>,
}

impl Connection {
    pub(super) async fn open(site: &Site, whom: Whom<'_>, within: Duration) -> Result<Self, SqlFailure> {
        let _ = (site, whom, within);
        unimplemented!()
    }
}
