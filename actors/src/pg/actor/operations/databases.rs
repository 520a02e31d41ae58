//! Which database Witch enters: the one called `postgres`, or any other that can be entered if that one is gone or closed.

use super::connection::{Connection, SqlFailure};
use super::durable::{FileFailure, read_bytes_if_exists, replace};
use super::{Site, blocking};
use std::time::Duration;
use tokio_postgres::error::{DbError, SqlState};

/// The database that every server is made with.
pub const DATABASE: &str = "postgres";
/// Every server has this one, too. It comes last: while somebody is in it nobody can make a database.
pub(super) const TEMPLATE: &str = "template1";
/// Where the names of the others are noted, as JSON: a server that refuses every login tells none.
const NOTE: &str = "databases";

/// So many are noted, and tried.
const NAMES: &str = "
    SELECT d.datname FROM pg_catalog.pg_database AS d
     WHERE d.datallowconn AND NOT d.datistemplate AND d.datname OPERATOR(pg_catalog.<>) 'postgres' ORDER BY d.datname LIMIT 16";

/// Whether a refusal is about the database that was to be entered, so that another may be open.
pub(super) fn is_closed(refusal: &DbError) -> bool {
    let state = refusal.code();
    let of_the_database = [
        // It is not there; it takes no connections; this role may not enter it; a library that its settings name is missing.
        &SqlState::INVALID_CATALOG_NAME,
        &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        &SqlState::INSUFFICIENT_PRIVILEGE,
        &SqlState::UNDEFINED_FILE,
    ];
    // Lines of pg_hba.conf may name databases. The message is in the server's language, the file's name is not.
    of_the_database.contains(&state) || *state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && refusal.message().contains("pg_hba.conf")
}

/// Whether this is what a server answers that has no such database, or takes no connections to it.
#[must_use]
pub fn is_without_database(failure: &SqlFailure) -> bool {
    failure.state().is_some_and(|state| [SqlState::INVALID_CATALOG_NAME, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE].contains(state))
}

/// What else may be entered.
pub(super) async fn others(site: &Site) -> Vec<String> {
    let mut names = noted(site).await.unwrap_or_default();
    names.push(TEMPLATE.to_owned());
    names
}

/// Notes the names of the other databases for the day on which the usual one is gone.
pub(super) async fn note(site: &Site, connection: &mut Connection, within: Duration) -> Result<(), super::Failure> {
    let what = "name its databases";
    let rows = connection.ask(what, NAMES, within).await?;
    let names = rows.iter().map(|row| connection.column(what, row, "datname")).collect::<Result<Vec<String>, _>>()?;
    if noted(site).await? != names {
        let path = site.state_dir().join(NOTE);
        let text = serde_json::to_string(&names).expect("names always become JSON");
        blocking(move || replace(&path, format!("{text}\n"), 0o600)).await?;
    }
    Ok(())
}

/// What cannot be understood is noted anew.
async fn noted(site: &Site) -> Result<Vec<String>, FileFailure> {
    let path = site.state_dir().join(NOTE);
    let text = blocking(move || read_bytes_if_exists(&path)).await?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
}
