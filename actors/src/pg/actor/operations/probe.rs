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
    let ask = async {
        let mut connection = Connection::open(site, whom, within).await?;
        connection.ask("answer SELECT 1", "SELECT 1", within).await
    };
    match timeout(within, ask).await {
        Err(_) => Answer::Miss(format!("no answer within {} ms", within.as_millis())),
        Ok(Ok(_)) => Answer::Ok,
        Ok(Err(SqlFailure::Refused { state, .. })) => Answer::Sql(state.code().to_owned()),
        Ok(Err(failure)) => Answer::Miss(failure.to_string()),
    }
}
