//! Whether a server answers at all.

use super::Site;
use super::connection::{Connection, SqlFailure, Whom};
use std::time::Duration;
use tokio::time::timeout;

/// What a new connection with `SELECT 1` showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answered.
    Ok,
    /// It answered with an error of that SQLSTATE: too many connections (53300), starting up (57P03), a wrong password. Never a miss.
    Sql(String),
    /// No answer within the deadline, or no connection; in words.
    Miss(String),
}

/// Opens a *new* connection and runs `SELECT 1`, both within one deadline. An old connection would prove little: its backend may go on
/// answering when the server accepts nobody any more.
pub async fn probe_fresh(site: &Site, whom: Whom<'_>, within: Duration) -> Answer {
    match try_login(site, whom, within).await {
        Ok(()) => Answer::Ok,
        Err(SqlFailure::Refused { state, .. }) => Answer::Sql(state.code().to_owned()),
        Err(failure) => Answer::Miss(failure.to_string()),
    }
}

/// The same, with the server's words.
///
/// # Errors
/// It refuses, or does not answer.
pub async fn try_login(site: &Site, whom: Whom<'_>, within: Duration) -> Result<(), SqlFailure> {
    let ask = async {
        let mut connection = Connection::open(site, whom, within).await?;
        connection.ask("answer SELECT 1", "SELECT 1", within).await
    };
    let server = || "the server".to_owned();
    timeout(within, ask).await.unwrap_or_else(|_| Err(SqlFailure::TooLate { server: server(), what: "answer SELECT 1", within })).map(drop)
}
