//! The account of clones, `clones` in Witch's own folder: it outlives every restart.

use super::durable::{read_if_exists, replace};
use super::{Failure, Site, blocking};
use crate::pg::{Budget, Mend};
use crate::tree::clock::wall;
use std::path::PathBuf;

fn path(site: &Site) -> PathBuf {
    site.state_dir().join("clones")
}

/// The clones of the last day. An account that cannot be read is one that is used up: a clone throws away what nobody can bring back, and
/// waiting for a person loses nothing.
pub async fn clones(site: &Site) -> Budget {
    let path = path(site);
    blocking(move || read(&path)).await
}

fn read(path: &std::path::Path) -> Budget {
    let now = wall().0;
    let parsed = match read_if_exists(path) {
        Ok(None) => Some(Budget::default()),
        Ok(Some(text)) => serde_json::from_str(&text).ok(),
        Err(_) => None,
    };
    let mut budget: Budget = parsed.unwrap_or_else(|| Budget::unreadable(now));
    budget.forget(now);
    budget
}

/// Books a clone, durably, before it begins.
///
/// # Errors
/// There were too many, or the file cannot be written.
pub async fn spend_clone(site: &Site, mend: &Mend) -> Result<(), Failure> {
    let mend = mend.clone();
    change(site, move |budget| budget.spend(wall().0, &mend).map_err(Failure::ClonesSpent)).await
}

/// The clone that was booked is whole, and in its place.
///
/// # Errors
/// The file cannot be written.
pub async fn clone_is_whole(site: &Site, mend: &Mend) -> Result<(), Failure> {
    let mend = mend.clone();
    let tell = move |budget: &mut Budget| {
        budget.is_whole(&mend);
        Ok(())
    };
    change(site, tell).await
}

async fn change(site: &Site, change: impl FnOnce(&mut Budget) -> Result<(), Failure> + Send + 'static) -> Result<(), Failure> {
    let path = path(site);
    blocking(move || {
        let mut budget = read(&path);
        let before = budget.clone();
        change(&mut budget)?;
        if budget == before {
            return Ok(());
        }
        let text = serde_json::to_string(&budget).expect("numbers and texts always become JSON");
        Ok(replace(&path, format!("{text}\n"), 0o600)?)
    })
    .await
}
