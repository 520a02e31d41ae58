//! The files that tell the server what Witch wants of it.

use super::{Failure, Session, Site};
use crate::model::Endpoint;
use std::time::Duration;

/// Writes `witch.conf`, `pg_hba.conf` and the passfile, includes the first in `postgresql.conf`, and strips from `postgresql.auto.conf`
/// what would override it. Changes no file that says the same already.
///
/// # Errors
/// A file cannot be read or written.
pub fn write_configuration(site: &Site, upstream: Option<&Endpoint>) -> Result<(), Failure> {
    let _ = (site, upstream);
    unimplemented!()
}

/// The arguments of `postgres`: the data directory, and the settings that only a start can change.
#[must_use]
pub fn server_arguments(site: &Site) -> Vec<String> {
    let _ = site;
    unimplemented!()
}

/// Whether the next start is one as a standby.
///
/// # Errors
/// The file cannot be made or removed.
pub fn set_standby_signal(site: &Site, standby: bool) -> Result<(), Failure> {
    let _ = (site, standby);
    unimplemented!()
}

/// Points a running standby at another upstream: its receiver connects anew, the server stays.
///
/// # Errors
/// A file cannot be written, or the server does not take the reload.
pub async fn follow(site: &Site, session: &mut Session, upstream: &Endpoint, within: Duration) -> Result<(), Failure> {
    let _ = (site, session, upstream, within);
    unimplemented!()
}
