//! Copies the primary with `pg_basebackup`.

use super::{Failure, Site};
use crate::pg::Upstream;

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Done.
    pub percent: Option<u8>,
    /// For people.
    pub detail: String,
}

/// Makes the data directory a copy of the upstream, configured as its standby, and leaves it stopped.
///
/// # Errors
/// The upstream is another database, is not ready, or a program fails.
pub async fn basebackup(site: &Site, upstream: &Upstream, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Failure> {
    let _ = (site, upstream, progress);
    unimplemented!()
}

/// Removes the directory that a clone has replaced. To be called once the new one is seen streaming.
///
/// # Errors
/// It cannot be removed.
pub async fn discard_previous(site: &Site) -> Result<(), Failure> {
    let _ = site;
    unimplemented!()
}
