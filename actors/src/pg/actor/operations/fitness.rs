//! Whether the programs on this host are still those of the database: a package manager may have replaced or removed them.

use super::rewind::Primary;
use super::{Failure, Installation, Site};
use crate::model::Endpoint;
use std::time::Duration;

/// What is installed now, if it is of the database's major version. A directory without a database has that of the programs that were found
/// first.
///
/// # Errors
/// Programs are missing, or of another major version.
pub async fn installed(site: &Site) -> Result<Installation, Failure> {
    let database = tokio::fs::read_to_string(site.data_dir().join("PG_VERSION")).await.ok().and_then(|text| text.trim().parse().ok());
    Ok(site.installation.now().await?.of_major(database.unwrap_or(site.installation.major()))?)
}

/// The same, if it can copy from that primary.
///
/// # Errors
/// The primary cannot be asked, or is of another major version.
pub async fn installed_for(site: &Site, upstream: &Endpoint, within: Duration) -> Result<Installation, Failure> {
    let what = "say its version";
    let mut primary = Primary::ask(site, upstream, within).await?;
    let sql = "SELECT pg_catalog.current_setting('server_version_num') AS version";
    let row = primary.connection.ask_one(what, sql, within).await?;
    let version: u32 = primary.connection.column(what, &row, "version")?;
    Ok(installed(site).await?.of_major(version / 10_000)?)
}
