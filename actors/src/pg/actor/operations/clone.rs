//! Copies the primary with `pg_basebackup`.
//!
//! A directory that holds a database is kept until the copy is whole: the copy is made beside it, and takes its place by two renames. A
//! crash between the two leaves no data directory, which is an empty one: it is copied anew. Where that cannot be (the data directory is a mount point, has tablespaces, its parent is not
//! ours, or there is no room for both), the old one is cleared and the copy made in its place, under the marker. An empty or
//! unfinished directory is filled in place, under the marker, too.

use super::clearing::{clear, has_tablespaces, remove_folder};
use super::configuration::{set_standby_signal, write_configuration, write_passfile};
use super::directory::{control_head, create, create_folder, inspect_directory};
use super::durable::{FileFailure, failing, sync_parent};
use super::lock::OperationLock;
use super::marker::{self, Unfinished};
use super::program::Patience;
use super::rewind::Primary;
use super::{Failure, Site, blocking};
use crate::model::Directory;
use crate::pg::Upstream;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the primary may take for a question.
const QUESTION: Duration = Duration::from_secs(10);
/// It tells its progress every second, once the primary's checkpoint is done.
const COPY: Patience = Patience::Silence(Duration::from_secs(600));
/// What the copy may need beyond the databases: log that is written meanwhile.
const MARGIN: u64 = 1 << 30;

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
    let lock = OperationLock::take(site).await?;
    let unfit = |reason| Failure::Directory { path: site.settings.data_dir.clone(), reason };
    let directory = inspect_directory(site).await;
    match &directory {
        Directory::Unusable { reason } => return Err(unfit(reason.clone())),
        Directory::Database { system_identifier, .. } if *system_identifier != upstream.system_identifier => {
            let place = site.settings.data_dir.clone();
            return Err(Failure::OtherDatabase { place, found: *system_identifier, expected: upstream.system_identifier });
        }
        _ => {}
    }
    // Before anything is cleared: is that the right primary, and is it there?
    let mut primary = Primary::ask(site, &upstream.database, QUESTION).await?;
    primary.must_be(upstream)?;
    let what = "say how large it is";
    let row = primary.connection.ask_one(what, "SELECT sum(pg_database_size(oid))::bigint AS bytes FROM pg_database", QUESTION).await?;
    let bytes: u64 = primary.connection.column(what, &row, "bytes")?;
    drop(primary);

    let is_database = matches!(directory, Directory::Database { .. });
    match Beside::of(site, bytes).await {
        Some(beside) if is_database => {
            remove_folder(&beside.fresh).await?;
            let fresh = beside.fresh.clone();
            blocking(move || create_folder(&fresh)).await?;
            let copy = site.at(&beside.fresh);
            fill(&copy, &lock, upstream, progress).await?;
            write_configuration(&copy, Some(&upstream.database)).await?;
            remove_folder(&beside.previous).await?;
            blocking(move || beside.exchange()).await?;
        }
        _ => {
            marker::set(site, Unfinished::Clone).await?;
            create(site).await?;
            clear(site).await?;
            fill(site, &lock, upstream, progress).await?;
            write_configuration(site, Some(&upstream.database)).await?;
            marker::clear(site).await?;
        }
    }
    Ok(())
}

/// Removes what clones have left beside the data directory: the one that was replaced, and copies that came to nothing. To be called once
/// the database is seen streaming.
///
/// # Errors
/// It cannot be removed.
pub async fn discard_previous(site: &Site) -> Result<(), Failure> {
    for what in ["previous", "fresh"] {
        remove_folder(&sibling(&site.data_dir(), what)).await?;
    }
    Ok(())
}

/// Copies into an empty folder, and proves that it is the right database.
async fn fill(site: &Site, lock: &OperationLock, upstream: &Upstream, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Failure> {
    write_passfile(site).await?;
    let pg_basebackup = site.installation.run("pg_basebackup", COPY).holding(lock.share());
    let pg_basebackup = pg_basebackup.arg("--pgdata").arg(site.data_dir()).args(["--wal-method=stream", "--checkpoint=fast"]);
    let pg_basebackup = pg_basebackup.args(["--no-password", "--no-manifest", "--progress", "--verbose"]);
    let pg_basebackup = pg_basebackup.arg("--dbname").arg(site.settings.conninfo(&upstream.database));
    pg_basebackup
        .run(|_, line| {
            let detail = line.trim().trim_start_matches("pg_basebackup: ").to_owned();
            progress(Progress { percent: percent(line), detail });
        })
        .await?;
    let found = control_head(site).await.map(|control| control.system_identifier).unwrap_or_default();
    if found != upstream.system_identifier {
        let place = format!("the server at {}", upstream.database);
        return Err(Failure::OtherDatabase { place, found, expected: upstream.system_identifier });
    }
    set_standby_signal(site, true).await
}

/// The number before the first `%` in brackets: `  24576/49152 kB (50%), 0/1 tablespace`.
pub(super) fn percent(line: &str) -> Option<u8> {
    let (before, _) = line.split_once("%)")?;
    before.rsplit('(').next()?.trim().parse().ok().filter(|percent| *percent <= 100)
}

/// The folders for a copy beside the data directory.
struct Beside {
    data_dir: PathBuf,
    /// The copy, while it is made.
    fresh: PathBuf,
    /// The old one, until the copy streams.
    previous: PathBuf,
}

impl Beside {
    /// None: there is no way to have both beside each other.
    async fn of(site: &Site, bytes: u64) -> Option<Self> {
        let given = site.data_dir();
        blocking(move || {
            // The path may lead through a link; the siblings belong where the directory really is.
            let data_dir = fs::canonicalize(given).ok()?;
            let parent = data_dir.parent()?;
            let one_file_system = fs::metadata(parent).ok()?.dev() == fs::metadata(&data_dir).ok()?.dev();
            let ours = access(parent, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
            let room = statvfs(parent).ok().map(|vfs| vfs.blocks_available() * vfs.fragment_size())?;
            let possible = one_file_system && ours && room >= bytes.saturating_add(MARGIN) && !has_tablespaces(&data_dir);
            let (fresh, previous) = (sibling(&data_dir, "fresh"), sibling(&data_dir, "previous"));
            possible.then_some(Self { data_dir, fresh, previous })
        })
        .await
    }

    /// The copy takes the place of the old directory, which becomes the previous one.
    fn exchange(&self) -> Result<(), FileFailure> {
        fs::rename(&self.data_dir, &self.previous).map_err(failing("put aside", &self.data_dir))?;
        fs::rename(&self.fresh, &self.data_dir).map_err(failing("put in place", &self.data_dir))?;
        sync_parent(&self.data_dir)
    }
}

/// A folder beside the data directory.
fn sibling(data_dir: &Path, what: &str) -> PathBuf {
    let data_dir = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let mut name = data_dir.into_os_string();
    name.push(".witch-");
    name.push(what);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_what_the_program_prints() {
        assert_eq!(percent("  24576/49152 kB (50%), 0/1 tablespace (/data)"), Some(50));
        assert_eq!(percent("49153/49152 kB (100%) copied"), Some(100));
        assert_eq!(percent("pg_basebackup: checkpoint completed"), None);
    }
}
