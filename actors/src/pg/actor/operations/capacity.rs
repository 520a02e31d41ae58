//! What a standby must have room for.
//!
//! Its server refuses to start if one of five settings is lower than the primary's is, which `pg_control` tells. A copy of the primary would bring the
//! same `pg_control` along, so nothing but a higher setting helps.

use super::configuration::server_arguments;
use super::position::controldata;
use super::program::Patience;
use super::{Failure, Site};
use crate::pg::control::CAPACITIES;
use futures::future::try_join_all;
use std::time::Duration;

/// The program reads the configuration and prints a line.
const ONE_SETTING: Patience = Patience::Total(Duration::from_secs(20));

/// The arguments of `postgres` as a standby: those of every server, and whatever the primary has more room for than this node's configuration says.
///
/// # Errors
/// The configuration is faulty, or `pg_control` cannot be read.
pub async fn standby_arguments(site: &Site) -> Result<Vec<String>, Failure> {
    let mut arguments = server_arguments(site).await;
    let required = controldata(site).await?.capacities;
    let configured = try_join_all(CAPACITIES.map(|(name, _)| configured(site, name))).await?;
    for (((name, _), required), configured) in CAPACITIES.into_iter().zip(required).zip(configured) {
        if configured < required {
            tracing::warn!(setting = name, configured, required, "the standby is started with the primary's value, which is higher");
            arguments.extend(["-c".to_owned(), format!("{name}={required}")]);
        }
    }
    Ok(arguments)
}

/// What a start with the present configuration would have.
async fn configured(site: &Site, name: &'static str) -> Result<u32, Failure> {
    let postgres = site.installation.run("postgres", ONE_SETTING).args(server_arguments(site).await).args(["-C", name]);
    let text = postgres.output().await?;
    text.trim().parse().map_err(|_| {
        let reason = format!("postgres -C {name} says `{}`, which is no number", text.trim());
        Failure::Directory { path: site.settings.data_dir.clone(), reason }
    })
}
