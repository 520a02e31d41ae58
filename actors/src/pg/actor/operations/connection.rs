//! One SQL connection with a deadline on everything.

use super::Site;
use super::own_session::{Begun, NotBegun, begin, name_of};
use crate::model::Endpoint;
use crate::pg::Outlook;
use crate::pg::classify::{self, Consequence};
use crate::pg::pins::Role;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

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
    #[error("{server} refused to {what}: {message} (SQLSTATE {}): {}", state.code(), meaning(state))]
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

impl SqlFailure {
    /// What it says of the next try. It never says anything of the database here.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::Unreachable { .. } | Self::TooLate { .. } => Outlook::Waiting,
            Self::Refused { state, .. } => match classify::state(state.code()).consequence {
                Consequence::Wait => Outlook::Waiting,
                Consequence::Operator => Outlook::Barred,
                Consequence::Retry | Consequence::Compare | Consequence::Clone => Outlook::Open,
            },
            Self::Unexpected { .. } => Outlook::Open,
        }
    }

    /// Without its meaning, for whoever says that in words of their own.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Refused { server, what, state, message } => format!("{server} refused to {what}: {message} (SQLSTATE {})", state.code()),
            other => other.to_string(),
        }
    }

    /// The class of the error, if the server answered at all.
    #[must_use]
    pub const fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Refused { state, .. } => Some(state),
            _ => None,
        }
    }
}

/// What a refusal means, and the way out.
fn meaning(state: &SqlState) -> String {
    let row = classify::state(state.code());
    format!("{}; {}", row.meaning, row.way_out)
}

/// A connection that is thrown away at the first time-out: the next query would wait for the one that is late.
pub(super) struct Connection {
    server: String,
    database: String,
    open: Option<Begun>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).field("database", &self.database).finish_non_exhaustive()
    }
}

impl Drop for Begun {
    /// A driver that waits for a late answer would keep the socket open for as long as the server hangs.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects as Witch's superuser.
    pub(super) async fn open(site: &Site, whom: Whom<'_>, within: Duration) -> Result<Self, SqlFailure> {
        Self::open_as(site, whom, Role::Superuser, within).await
    }

    /// Connects as that role.
    pub(super) async fn open_as(site: &Site, whom: Whom<'_>, role: Role, within: Duration) -> Result<Self, SqlFailure> {
        let server = match whom {
            Whom::Local => format!("this node's database (port {})", site.settings.port),
            Whom::Remote(endpoint) => format!("the database at {endpoint}"),
        };
        let what = "accept a connection";
        let too_late = || SqlFailure::TooLate { server: server.clone(), what, within };
        let begun = timeout(within, begin(site, whom, role, within)).await.map_err(|_| too_late())?;
        let begun = begun.map_err(|error| match &error {
            NotBegun::Server(error) => named(failure(&server, what, error), name_of(site, role)),
            NotBegun::Unreachable(_) => SqlFailure::Unreachable { server: server.clone(), what, reason: with_causes(&error) },
        })?;
        Ok(Self { server, database: begun.database.clone(), open: Some(begun) })
    }

    /// The database that it is connected to.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.client.is_closed())
    }

    /// Runs statements and answers the rows of all of them, as text.
    pub(super) async fn ask(&mut self, what: &'static str, sql: &str, within: Duration) -> Result<Vec<SimpleQueryRow>, SqlFailure> {
        debug_assert_eq!(crate::pg::sql::unqualified(sql), Vec::<String>::new(), "the search path would resolve names in: {sql}");
        let Some(open) = self.open.take() else {
            return Err(SqlFailure::Unreachable { server: self.server.clone(), what, reason: "the connection is closed".into() });
        };
        match timeout(within, open.client.simple_query(sql)).await {
            Err(_) => Err(SqlFailure::TooLate { server: self.server.clone(), what, within }),
            Ok(answer) => {
                if !open.client.is_closed() {
                    self.open = Some(open);
                }
                let messages = answer.map_err(|error| failure(&self.server, what, &error))?;
                Ok(messages.into_iter().filter_map(row).collect())
            }
        }
    }

    /// Runs a statement that answers one row.
    pub(super) async fn ask_one(&mut self, what: &'static str, sql: &str, within: Duration) -> Result<SimpleQueryRow, SqlFailure> {
        let mut rows = self.ask(what, sql, within).await?;
        if rows.len() == 1 { Ok(rows.remove(0)) } else { Err(self.unexpected(what, format!("{} rows", rows.len()))) }
    }

    /// The server answered something else than asked for.
    pub(super) fn unexpected(&self, what: &'static str, answer: String) -> SqlFailure {
        SqlFailure::Unexpected { server: self.server.clone(), what, answer }
    }

    /// A column that must be there and readable.
    pub(super) fn column<T: std::str::FromStr>(&self, what: &'static str, row: &SimpleQueryRow, name: &str) -> Result<T, SqlFailure> {
        self.optional(what, row, name)?.ok_or_else(|| self.unexpected(what, format!("nothing for {name}")))
    }

    /// A column that may be NULL.
    pub(super) fn optional<T: std::str::FromStr>(
        &self,
        what: &'static str,
        row: &SimpleQueryRow,
        name: &str,
    ) -> Result<Option<T>, SqlFailure> {
        let text = row.try_get(name).map_err(|error| self.unexpected(what, error.to_string()))?;
        text.map(|text| text.parse().map_err(|_| self.unexpected(what, format!("`{text}` for {name}")))).transpose()
    }
}

fn row(message: SimpleQueryMessage) -> Option<SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

fn failure(server: &str, what: &'static str, error: &tokio_postgres::Error) -> SqlFailure {
    match error.as_db_error() {
        Some(refusal) => {
            SqlFailure::Refused { server: server.into(), what, state: refusal.code().clone(), message: refusal.message().into() }
        }
        None => {
            let message = with_causes(error);
            // It was reached, and wants a proof that Witch does not have or never gives.
            if NO_PROOF.iter().any(|begin| message.starts_with(begin)) {
                let state = SqlState::INVALID_AUTHORIZATION_SPECIFICATION;
                return SqlFailure::Refused { server: server.into(), what, state, message };
            }
            SqlFailure::Unreachable { server: server.into(), what, reason: message }
        }
    }
}

/// A refusal that names the role, as that of a wrong password does by itself.
fn named(failure: SqlFailure, role: &str) -> SqlFailure {
    match failure {
        SqlFailure::Refused { server, what, state, message } if !message.contains(role) => {
            SqlFailure::Refused { server, what, state, message: format!("{message}, as role \"{role}\"") }
        }
        other => other,
    }
}

/// How the driver says that no login is possible as the settings are: no password is set, or the server asks for another kind of proof.
const NO_PROOF: [&str; 2] = ["invalid configuration: password missing", "authentication error"];

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        reason.push_str(": ");
        reason.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    reason
}
