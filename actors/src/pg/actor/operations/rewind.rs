//! Brings a diverged directory back onto the primary's history with `pg_rewind`.

use super::{Failure, Progress, Site};
use crate::model::Endpoint;
use crate::pg::Upstream;
use crate::pg::ancestry::Ancestry;
use std::time::Duration;

/// Makes the primary write a checkpoint on its new timeline: before that, `pg_rewind` wrongly says that no rewind is required.
///
/// # Errors
/// It cannot be asked, does not accept writes, or is not on the timeline of its promotion.
pub async fn checkpoint_remote(site: &Site, upstream: &Upstream, within: Duration) -> Result<(), Failure> {
    let _ = (site, upstream, within);
    unimplemented!()
}

/// The history of the primary's timeline.
///
/// # Errors
/// It cannot be asked, or its file is malformed.
pub async fn upstream_ancestry(site: &Site, upstream: &Endpoint, within: Duration) -> Result<Ancestry, Failure> {
    let _ = (site, upstream, within);
    unimplemented!()
}

/// Rewinds the stopped directory to the upstream's history, configures it as its standby, and leaves it stopped. What it is about to
/// lose has to be kept aside before, see [`super::preserve_diverged`].
///
/// # Errors
/// The upstream is another database, is not ready, or `pg_rewind` fails. If it had begun to change files, the directory is marked
/// unfinished and only a clone helps.
pub async fn rewind(site: &Site, upstream: &Upstream, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Failure> {
    let _ = (site, upstream, progress);
    unimplemented!()
}
