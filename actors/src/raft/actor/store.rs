//! The Raft log on disk: one transactional file that is written whole or not at all, and read whole or refused.
//!
//! Two tables: `log` has an entry under each index, `meta` has everything else. Commits are durable and *two-phase*: with the cheaper
//! one-phase commit the database takes a damaged last transaction for one that was never finished, and silently goes back to the one
//! before, which may have been acknowledged. Every page is verified when the file is opened, every record has a seal of its own, and the log as a
//! whole must hold together; otherwise it is refused with a reason, because a node that forgets what it acknowledged can elect two leaders.

mod continuity;
mod error;
mod place;
mod seal;
mod transaction;

pub use error::{Flaw, StoreError};

use super::super::{Batch, Identity, LogEntry, Stored};
use crate::model::NodeId;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use seal::unseal;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transaction::Trouble;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FILE: &str = "raft.redb";
/// The name of the format is the one record without a seal, since the seal is part of the format.
const FORMAT: &str = "witch raft log 2";
/// The log is read once at the start and written behind; a cache would only be memory.
const CACHE: usize = 1 << 20;
/// A file does not shrink by itself. It is compacted at the start when it is larger than this: a compacted log is a few hundred KiB.
const COMPACT_ABOVE: u64 = 32 << 20;

mod record {
    pub(super) const FORMAT: &str = "format";
    pub(super) const IDENTITY: &str = "identity";
    pub(super) const HARD_STATE: &str = "hard_state";
    pub(super) const SNAPSHOT: &str = "snapshot";
    /// The last index, so that a log that lost its end is told from one that never had it.
    pub(super) const LAST: &str = "last";
    /// All that belongs to one life of the log.
    pub(super) const ALL: [&str; 4] = [IDENTITY, HARD_STATE, SNAPSHOT, LAST];
}

fn entry_record(index: u64) -> String {
    format!("entry {index}")
}

/// The log of this node. Clones share one open file: it is locked, so a restarted actor is handed the clone and never opens it again.
#[derive(Clone)]
pub struct Store {
    open: Arc<Open>,
}

struct Open {
    database: Database,
    file: PathBuf,
    /// Held as long as the file is open.
    _lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.open.file.display())
    }
}

impl Store {
    /// Opens the log in this folder, which is made if it is not there, for this node of this cluster, and reads it.
    ///
    /// # Errors
    /// See [`StoreError`]: each says what is wrong and what to do. Nothing is ever repaired by leaving something out.
    pub fn open(folder: &Path, node: NodeId, cluster: &str) -> Result<(Self, Stored), StoreError> {
        let lock = place::claim(folder)?;
        let file = folder.join(FILE);
        let database = guarded(&file, || {
            if !file.exists() {
                place::create(folder, &file, initialise)?;
            }
            open_database(&file)
        })?;
        let store = Self { open: Arc::new(Open { database, file, _lock: lock }) };
        let stored = store.load()?;
        if let Some(identity) = &stored.identity {
            store.check_owner(identity, node, cluster)?;
        }
        Ok((store, stored))
    }

    /// Reads everything.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn load(&self) -> Result<Stored, StoreError> {
        guarded(&self.open.file, || self.read())
    }

    /// Brings the batches to disk, in order, in one durable transaction.
    ///
    /// # Errors
    /// Nobody knows then what is on disk: the process must end.
    pub fn write<'a>(&self, batches: impl IntoIterator<Item = &'a Batch>) -> Result<(), StoreError> {
        let write = || -> Result<(), Trouble> {
            let mut transaction = self.open.database.begin_write()?;
            transaction.set_two_phase_commit(true);
            for batch in batches {
                transaction::apply(&transaction, batch)?;
            }
            Ok(transaction.commit()?)
        };
        write().map_err(|trouble| self.explain("write", trouble))
    }

    fn read(&self) -> Result<Stored, StoreError> {
        let read = || -> Result<(Stored, u64), Trouble> {
            let transaction = self.open.database.begin_read()?;
            let (log, meta) = (transaction.open_table(LOG)?, transaction.open_table(META)?);
            let mut entries = Vec::new();
            for row in log.iter()? {
                let (place, sealed) = row?;
                let place = place.value();
                let entry: LogEntry = unseal(&entry_record(place), sealed.value()).map_err(Trouble::Damaged)?;
                if entry.index != place {
                    return Err(Trouble::Damaged(Flaw::Misplaced { place, index: entry.index }));
                }
                entries.push(entry);
            }
            let stored = Stored {
                identity: get(&meta, record::IDENTITY)?,
                snapshot: get(&meta, record::SNAPSHOT)?,
                entries,
                hard_state: get(&meta, record::HARD_STATE)?.unwrap_or_default(),
            };
            Ok((stored, get(&meta, record::LAST)?.unwrap_or_default()))
        };
        let (stored, written) = read().map_err(|trouble| self.explain("read", trouble))?;
        continuity::check(&stored, written).map_err(|flaw| self.explain("read", Trouble::Damaged(flaw)))?;
        Ok(stored)
    }

    fn check_owner(&self, identity: &Identity, node: NodeId, cluster: &str) -> Result<(), StoreError> {
        let file = self.open.file.clone();
        if identity.cluster != cluster {
            return Err(StoreError::OtherCluster { file, found: identity.cluster.clone(), cluster: cluster.to_owned() });
        }
        if identity.node != node {
            return Err(StoreError::OtherNode { file, found: identity.node, node });
        }
        Ok(())
    }

    fn explain(&self, action: &'static str, trouble: Trouble) -> StoreError {
        let file = self.open.file.clone();
        match trouble {
            Trouble::Disk(error) => classify(action, file, error),
            Trouble::Damaged(flaw) => StoreError::Damaged { file, flaw },
            Trouble::Misfit(what) => StoreError::Misfit { file, what },
        }
    }
}

fn get<T: serde::de::DeserializeOwned>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<Option<T>, Trouble> {
    let Some(sealed) = meta.get(name)? else { return Ok(None) };
    unseal(name, sealed.value()).map(Some).map_err(Trouble::Damaged)
}

fn initialise(file: &Path) -> Result<(), StoreError> {
    let fill = || -> Result<(), redb::Error> {
        let database = Database::builder().set_cache_size(CACHE).create(file)?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.open_table(LOG)?;
        transaction.open_table(META)?.insert(record::FORMAT, FORMAT.as_bytes())?;
        transaction.commit()?;
        Ok(database.close()?)
    };
    fill().map_err(|error| classify("write", file.to_owned(), error))
}

fn open_database(file: &Path) -> Result<Database, StoreError> {
    let explain = |error: redb::Error| classify("read", file.to_owned(), error);
    let mut database =
        Database::builder().set_cache_size(CACHE).set_check_integrity_on_open(true).open(file).map_err(|error| explain(error.into()))?;
    check_format(file, &database)?;
    if fs::metadata(file).is_ok_and(|metadata| metadata.len() > COMPACT_ABOVE) {
        database.compact().map_err(|error| explain(error.into()))?;
    }
    Ok(database)
}

fn check_format(file: &Path, database: &Database) -> Result<(), StoreError> {
    let read = || -> Result<String, redb::Error> {
        let meta = database.begin_read()?.open_table(META)?;
        let found = meta.get(record::FORMAT)?;
        Ok(found.map(|format| String::from_utf8_lossy(format.value()).into_owned()).unwrap_or_default())
    };
    let found = read().map_err(|error| classify("read", file.to_owned(), error))?;
    if found == FORMAT { Ok(()) } else { Err(StoreError::Format { file: file.to_owned(), found, known: FORMAT }) }
}

/// Tells a damaged file from a disk that fails.
fn classify(action: &'static str, file: PathBuf, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path: file },
        redb::Error::Io(source)
            if source.kind() != std::io::ErrorKind::InvalidData && source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            StoreError::Disk { action, file, source: Box::new(redb::Error::Io(source)) }
        }
        redb::Error::PreviousIo => StoreError::Disk { action, file, source: Box::new(error) },
        other => StoreError::Damaged { file, flaw: Flaw::Unreadable { detail: other.to_string() } },
    }
}

/// The database may panic on a file that somebody else has changed. That is a damaged file, and no reason to lose the words for it.
fn guarded<T>(file: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let detail = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let detail = detail.unwrap_or("its reader panicked").to_owned();
        Err(StoreError::Damaged { file: file.to_owned(), flaw: Flaw::Unreadable { detail } })
    })
}

#[cfg(test)]
mod tests;
