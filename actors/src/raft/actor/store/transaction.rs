//! What a batch does to the tables.

use super::error::Flaw;
use super::seal::{seal, unseal};
use super::{LOG, META, entry_record, record};
use crate::raft::{Batch, LogEntry, SnapshotImage};
use redb::{ReadableTable, Table, WriteTransaction};

/// Why a batch was not written.
pub(super) enum Trouble {
    Disk(redb::Error),
    Damaged(Flaw),
    Misfit(String),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Disk(error.into())
    }
}

type Log<'t> = Table<'t, u64, &'static [u8]>;
type Meta<'t> = Table<'t, &'static str, &'static [u8]>;

/// Adds the batch to the transaction, or says why it does not belong there.
pub(super) fn apply(transaction: &WriteTransaction, batch: &Batch) -> Result<(), Trouble> {
    let mut log = transaction.open_table(LOG)?;
    let mut meta = transaction.open_table(META)?;
    if batch.reset {
        log.retain(|_, _| false)?;
        for name in record::ALL {
            meta.remove(name)?;
        }
    }
    if let Some(identity) = &batch.identity {
        meta.insert(record::IDENTITY, seal(record::IDENTITY, identity).as_slice())?;
    }
    let changes_log = batch.snapshot.is_some() || !batch.entries.is_empty();
    if (changes_log || batch.hard_state.is_some()) && meta.get(record::IDENTITY)?.is_none() {
        return Err(Trouble::Misfit("the log must say whose it is before anything else".to_owned()));
    }
    if let Some(snapshot) = &batch.snapshot {
        replace_by(&mut log, &mut meta, snapshot)?;
    }
    if !batch.entries.is_empty() {
        append(&mut log, &meta, &batch.entries)?;
    }
    if changes_log {
        let last = last(&log, &meta)?;
        meta.insert(record::LAST, seal(record::LAST, &last).as_slice())?;
    }
    if let Some(hard_state) = &batch.hard_state {
        meta.insert(record::HARD_STATE, seal(record::HARD_STATE, hard_state).as_slice())?;
    }
    Ok(())
}

/// Raft's own rule: where the log agrees with the snapshot's last entry, what follows it stays (a compaction); otherwise the log was of another
/// history, or shorter, and goes as a whole (an installation).
fn replace_by(log: &mut Log<'_>, meta: &mut Meta<'_>, snapshot: &SnapshotImage) -> Result<(), Trouble> {
    let before = snapshot_end(meta)?;
    if let Some((index, _)) = before
        && snapshot.index < index
    {
        return Err(Trouble::Misfit(format!("a snapshot up to {} would replace one up to {index}", snapshot.index)));
    }
    let here = entry_at(log, snapshot.index)?.map(|entry| (entry.index, entry.term));
    if here.or(before) == Some((snapshot.index, snapshot.term)) {
        log.retain_in(..=snapshot.index, |_, _| false)?;
    } else {
        log.retain(|_, _| false)?;
    }
    meta.insert(record::SNAPSHOT, seal(record::SNAPSHOT, snapshot).as_slice())?;
    Ok(())
}

fn append(log: &mut Log<'_>, meta: &Meta<'_>, entries: &[LogEntry]) -> Result<(), Trouble> {
    let first = entries[0].index;
    let (start, end) = (snapshot_end(meta)?.map_or(0, |(index, _)| index), last(log, meta)?);
    if first <= start || first > end + 1 {
        return Err(Trouble::Misfit(format!("entries from {first} on, where the snapshot reaches to {start} and the log to {end}")));
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[1].index != pair[0].index + 1 || pair[1].term < pair[0].term) {
        let [a, b] = [&pair[0], &pair[1]];
        return Err(Trouble::Misfit(format!("entry {} of term {} follows entry {} of term {}", b.index, b.term, a.index, a.term)));
    }
    if first <= end {
        log.retain_in(first.., |_, _| false)?;
    }
    for entry in entries {
        log.insert(entry.index, seal(&entry_record(entry.index), entry).as_slice())?;
    }
    Ok(())
}

fn last(log: &Log<'_>, meta: &Meta<'_>) -> Result<u64, Trouble> {
    if let Some((index, _)) = log.last()? {
        return Ok(index.value());
    }
    Ok(snapshot_end(meta)?.map_or(0, |(index, _)| index))
}

fn entry_at(log: &Log<'_>, index: u64) -> Result<Option<LogEntry>, Trouble> {
    let Some(sealed) = log.get(index)? else { return Ok(None) };
    unseal(&entry_record(index), sealed.value()).map(Some).map_err(Trouble::Damaged)
}

fn snapshot_end(meta: &Meta<'_>) -> Result<Option<(u64, u64)>, Trouble> {
    let Some(sealed) = meta.get(record::SNAPSHOT)? else { return Ok(None) };
    let snapshot: SnapshotImage = unseal(record::SNAPSHOT, sealed.value()).map_err(Trouble::Damaged)?;
    Ok(Some((snapshot.index, snapshot.term)))
}
