//! Copies the primary with `pg_basebackup`.
//!
//! A directory that holds a database is kept until the copy is whole: the copy is made beside it, and takes its place by two renames. A
//! crash between the two leaves no data directory, which is an empty one: it is copied anew. Where that cannot be (the data directory is a
//! mount point, has tablespaces or its log elsewhere, its parent is not ours, or there is no room for both), the old one is cleared and the copy
//! made in its place, under the marker: once it is certain that the copy can be made, and on one node at a time. An empty or unfinished
//! directory is filled in place, under the marker, too.

use super::clearing::{Outside, clear, has_tablespaces, remove_folder, remove_unwatched};
use super::configuration::{set_standby_signal, write_configuration, write_passfile};
use super::directory::{control_head, create, create_folder, inspect_directory, restrict};
use super::durable::{FileFailure, failing, sync_parent};
use super::lock::OperationLock;
use super::marker::{self, Unfinished};
use super::program::Patience;
use super::replication::introduce;
use super::rewind::{Primary, not_ready};
use super::{Failure, Site, blocking, own_files, shared_memory};
use crate::model::{Directory, Endpoint};
use crate::pg::Upstream;
use crate::pg::pins::{self, Role};
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
const SIZE: &str = "
    SELECT pg_catalog.sum(pg_catalog.pg_database_size(d.oid))::pg_catalog.int8 AS bytes FROM pg_catalog.pg_database d";
const TABLESPACES: &str = "
    SELECT pg_catalog.pg_tablespace_location(s.oid) AS place FROM pg_catalog.pg_tablespace s
     WHERE pg_catalog.pg_tablespace_location(s.oid) OPERATOR(pg_catalog.<>) ''";
/// The advisory lock on the primary for whoever gives up its database before it has the copy.
const TURN: u64 = 0x5769_7463_6843_6c6f;

/// What clones leave beside the data directory: the old one, until the new one streams, and a copy that was broken off.
const CLONES_LEAVE: [&str; 2] = ["previous", "fresh"];
/// The folder for what is to be removed.
const DISCARDED: &str = "discarded";

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
    // Before anything is cleared.
    let mut proof = prove(site, upstream).await?;
    let is_database = matches!(proof.directory, Directory::Database { .. });
    match proof.beside.take() {
        Some(beside) => {
            // It is no longer needed.
            drop(proof);
            remove_folder(&beside.fresh, &lock).await?;
            let fresh = beside.fresh.clone();
            lock.blocking(move || create_folder(&fresh)).await?;
            let copy = site.at(&beside.fresh);
            fill(&copy, &lock, upstream, None, progress).await?;
            write_configuration(&copy, Some(&upstream.database)).await?;
            own_files::keep(site).await?;
            own_files::put_back(site, beside.fresh.clone()).await?;
            remove_folder(&beside.previous, &lock).await?;
            if let Err(failure) = shared_memory::release(site, &lock).await {
                tracing::warn!(%failure, "shared memory of the database that is replaced may stay allocated until this host restarts");
            }
            lock.blocking(move || beside.exchange()).await?;
        }
        _ => {
            // One at a time gives up what it has: until the copy is whole there is one good copy less.
            if is_database {
                proof.takes_the_turn(&upstream.database).await?;
                own_files::keep(site).await?;
            }
            create(site).await?;
            let outside = Outside::of(site).await?.with_new(&proof.tablespaces).await;
            marker::set(site, Unfinished::Clone, outside.clone(), &lock).await?;
            clear(site, &outside, &lock).await?;
            fill(site, &lock, upstream, outside.pg_wal.as_deref(), progress).await?;
            drop(proof);
            write_configuration(site, Some(&upstream.database)).await?;
            own_files::put_back(site, site.data_dir()).await?;
            marker::clear(site, &lock).await?;
        }
    }
    Ok(())
}

/// Whether a copy is certain to go on, as far as that can be known before it begins: the source is the right one, accepts writes, lets its
/// standby in with WAL senders to spare, and there is room.
///
/// # Errors
/// It is not.
pub async fn copy_is_possible(site: &Site, upstream: &Upstream) -> Result<(), Failure> {
    prove(site, upstream).await.map(drop)
}

/// What was found before a copy.
struct Proof {
    directory: Directory,
    primary: Primary,
    /// Where the primary's tablespaces are, and so will be those of its copy.
    tablespaces: Vec<PathBuf>,
    /// A copy can be made beside what lies here.
    beside: Option<Beside>,
}

async fn prove(site: &Site, upstream: &Upstream) -> Result<Proof, Failure> {
    let directory = inspect_directory(site).await;
    match &directory {
        Directory::Unusable { reason } => {
            return Err(Failure::Directory { path: site.settings.data_dir.clone(), reason: reason.clone() });
        }
        // What was not finished may have been filled with something else since, or have been another cluster's from the beginning (S11).
        _ => of_this_cluster(site, upstream).await?,
    }
    let mut primary = Primary::ask(site, &upstream.database, QUESTION).await?;
    primary.must_be(upstream)?;
    // The copy needs two at a time.
    let (one, two) = tokio::join!(introduce(site, &upstream.database, QUESTION), introduce(site, &upstream.database, QUESTION));
    for found in [one?, two?] {
        if found != upstream.system_identifier {
            let place = format!("the server at {}", upstream.database);
            return Err(Failure::OtherDatabase { place, found, expected: upstream.system_identifier });
        }
    }
    let what = "say how large it is";
    let row = primary.connection.ask_one(what, SIZE, QUESTION).await?;
    let bytes: u64 = primary.connection.column(what, &row, "bytes")?;
    let what = "say where its tablespaces are";
    let rows = primary.connection.ask(what, TABLESPACES, QUESTION).await?;
    let tablespaces = rows.iter().filter_map(|row| row.try_get("place").ok().flatten().map(PathBuf::from)).collect();
    let beside = match directory {
        Directory::Database { .. } => Beside::of(site, bytes).await,
        _ => None,
    };
    if beside.is_none() {
        has_room(site, bytes).await?;
    }
    Ok(Proof { directory, primary, tablespaces, beside })
}

impl Proof {
    /// The turn is over when this is dropped.
    async fn takes_the_turn(&mut self, upstream: &Endpoint) -> Result<(), Failure> {
        let what = "give this node its turn to be copied in place";
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({TURN}) AS mine");
        let row = self.primary.connection.ask_one(what, &sql, QUESTION).await?;
        if self.primary.connection.column::<String>(what, &row, "mine")? == "t" {
            return Ok(());
        }
        Err(not_ready(
            upstream,
            "another node is being copied in the place of its old database, and two at a time would leave too few copies",
        ))
    }
}

/// Whether a copy fits where what lies here is cleared for it.
async fn has_room(site: &Site, bytes: u64) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    let Some((path, free)) = blocking(move || room_in_place(&data_dir)).await else { return Ok(()) };
    if free < bytes { Err(Failure::NoRoom { path, free, needed: bytes }) } else { Ok(()) }
}

/// What would be free if the directory were empty. None: it cannot be told.
fn room_in_place(data_dir: &Path) -> Option<(String, u64)> {
    let there = if data_dir.exists() { data_dir } else { data_dir.parent()? };
    let vfs = statvfs(there).ok()?;
    let held = if there == data_dir { size_of(data_dir, fs::metadata(data_dir).ok()?.dev()) } else { 0 };
    Some((there.display().to_string(), (vfs.blocks_available() * vfs.fragment_size()).saturating_add(held)))
}

/// The bytes on disk of everything in a folder, without what it links to or what is mounted in it.
fn size_of(folder: &Path, device: u64) -> u64 {
    let sizes = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let status = fs::symlink_metadata(entry.path()).ok().filter(|status| status.dev() == device)?;
        Some(if status.is_dir() { size_of(&entry.path(), device) } else { status.blocks() * 512 })
    });
    sizes.sum()
}

/// Puts away what clones have left beside the data directory: the one that was replaced, and copies that came to nothing. To be called once
/// the database is seen streaming. It takes only moments; [`remove_discarded`] does what may take long. While another operation works in the
/// directory nothing is put away.
///
/// # Errors
/// It cannot be put away.
pub async fn discard_previous(site: &Site) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    if !blocking(move || CLONES_LEAVE.iter().any(|what| sibling(&data_dir, what).exists())).await {
        return Ok(());
    }
    let Some(lock) = OperationLock::take_if_free(site).await? else { return Ok(()) };
    let data_dir = site.data_dir();
    Ok(lock.blocking(move || put_away(&data_dir)).await?)
}

/// Removes what was put away. It needs no lock, since no clone uses that name, and so keeps no operation waiting.
///
/// # Errors
/// It cannot be removed.
pub async fn remove_discarded(site: &Site) -> Result<(), Failure> {
    Ok(remove_unwatched(&sibling(&site.data_dir(), DISCARDED)).await?)
}

fn put_away(data_dir: &Path) -> Result<(), FileFailure> {
    let discarded = sibling(data_dir, DISCARDED);
    create_folder(&discarded)?;
    for what in CLONES_LEAVE {
        let (from, to) = (sibling(data_dir, what), discarded.join(what));
        // One that was put away before is removed first; its successor follows the next time.
        if from.exists() && !to.exists() {
            fs::rename(&from, &to).map_err(failing("put away", &from))?;
        }
    }
    Ok(())
}

/// Copies into an empty folder, and proves that it is the right database.
async fn fill(
    site: &Site,
    lock: &OperationLock,
    upstream: &Upstream,
    pg_wal: Option<&Path>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), Failure> {
    write_passfile(site).await?;
    let major = site.installation.major();
    // It speaks the replication protocol, where nothing is granted.
    let source = format!("{} {}", site.settings.conninfo(&upstream.database, major), pins::conninfo(Role::Ungranted, major));
    let pg_basebackup = site.installation.run("pg_basebackup", COPY).holding(lock.share());
    let pg_basebackup = pg_basebackup.arg("--pgdata").arg(site.data_dir()).args(["--wal-method=stream", "--checkpoint=fast"]);
    let pg_basebackup = pg_basebackup.args(["--no-password", "--no-manifest", "--progress", "--verbose"]);
    let pg_basebackup = pg_basebackup.args(pg_wal.map(|folder| format!("--waldir={}", folder.display())));
    let pg_basebackup = pg_basebackup.arg("--dbname").arg(source);
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
    // It was a primary when it was asked. A server that was restarted as a standby since may lack what a successor has.
    let label = site.data_dir().join("backup_label");
    if is_of_a_standby(&blocking(move || fs::read_to_string(&label).map_err(failing("read", &label))).await?) {
        return Err(not_ready(&upstream.database, "it had become a standby before it was copied"));
    }
    // What the group may read of the primary, such as for a backup, it may read of the copy; the server goes by the mode of the directory.
    let data_dir = site.data_dir();
    blocking(move || {
        let is_for_the_group = fs::metadata(data_dir.join("global")).is_ok_and(|folder| folder.mode() & 0o050 == 0o050);
        if is_for_the_group { restrict(&data_dir, 0o750) } else { Ok(()) }
    })
    .await?;
    set_standby_signal(site, true).await
}

/// Whether a copy was taken from a server in recovery, as its label tells. A server that is promoted or restarted meanwhile ends the copy.
fn is_of_a_standby(label: &str) -> bool {
    label.lines().any(|line| line == "BACKUP FROM: standby")
}

/// Refuses a directory with a control file of another database (S11). Without a readable one it is nobody's.
async fn of_this_cluster(site: &Site, upstream: &Upstream) -> Result<(), Failure> {
    let expected = upstream.system_identifier;
    match control_head(site).await.map(|control| control.system_identifier) {
        Some(found) if found != expected => Err(Failure::OtherDatabase { place: site.settings.data_dir.clone(), found, expected }),
        _ => Ok(()),
    }
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
            // What lies elsewhere can be there only once.
            let all_here = !has_tablespaces(&data_dir) && !data_dir.join("pg_wal").is_symlink();
            let possible = one_file_system && ours && room >= bytes.saturating_add(MARGIN) && all_here;
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
    fn a_copy_of_a_standby_is_told_from_one_of_a_primary() {
        let label = |from| {
            format!(
                "START WAL LOCATION: 0/4000028 (file 000000010000000000000004)\nBACKUP METHOD: streamed\nBACKUP FROM: {from}\nSTART TIMELINE: 1\n"
            )
        };
        assert!(is_of_a_standby(&label("standby")));
        // Version 13 said `master`.
        assert!(!is_of_a_standby(&label("primary")) && !is_of_a_standby(&label("master")));
    }

    #[test]
    fn progress_is_read_from_what_the_program_prints() {
        assert_eq!(percent("  24576/49152 kB (50%), 0/1 tablespace (/data)"), Some(50));
        assert_eq!(percent("49153/49152 kB (100%) copied"), Some(100));
        assert_eq!(percent("pg_basebackup: checkpoint completed"), None);
    }
}
