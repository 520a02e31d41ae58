//! The birth of a cluster's database: made by `initdb`, or one that is there already.

use super::{Failure, Site};
use crate::model::SystemIdentifier;

/// Makes a database in the empty or unfinished data directory, with Witch's roles and configuration, and leaves it stopped. No server
/// listens at any time.
///
/// # Errors
/// The directory holds something else, or a program fails.
pub async fn initdb(site: &Site) -> Result<SystemIdentifier, Failure> {
    let _ = site;
    unimplemented!()
}

/// Makes the database that lies there the cluster's: recovers it if it crashed, sees to the roles and the configuration, and leaves it
/// stopped.
///
/// # Errors
/// It is a standby of somebody, or a program fails.
pub async fn adopt(site: &Site) -> Result<SystemIdentifier, Failure> {
    let _ = site;
    unimplemented!()
}
