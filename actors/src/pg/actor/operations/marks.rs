//! The promotions that a timeline of this directory comes from, each with the mark that tells it from a twin.
//!
//! A timeline begins with a record that holds the time of its promotion. Its checksum is the mark: it lies in the log, so whoever has the
//! timeline's beginning has it.
//!
//! A copy begins with a later record, and old segments are recycled. So the marks are noted in a file of the data directory, which goes
//! along with every copy and rewind of it, as its log does. What the log says counts more.

use super::directory::control_head;
use super::durable::{FileFailure, read_bytes_if_exists, replace};
use super::lineage::files;
use super::lock::OperationLock;
use super::position::own_ancestry;
use super::walk::PAGE_ADDRESS;
use super::{Failure, Site, blocking};
use crate::model::{LINEAGE_MAX, Lsn, Position, Promotion};
use crate::pg::ancestry::Ancestry;
use crate::pg::wal::Geometry;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where marks are noted, as JSON.
const NOTE: &str = "witch.marks";
/// Bytes of a checksum.
const CHECKSUM: u64 = 4;

/// The last promotions that the timeline of a database which is at `position` comes from, oldest first, with its own as the last.
///
/// # Errors
/// Its history is missing or malformed.
pub async fn lineage(site: &Site, geometry: Geometry, position: Position) -> Result<Vec<Promotion>, Failure> {
    let ancestry = own_ancestry(site, position.timeline).await?;
    let data_dir = site.data_dir();
    Ok(blocking(move || marked(&data_dir, &ancestry, geometry, position.lsn)).await)
}

/// Notes the marks of a database's history for the day on which the log does not show them any more. Where there is no database, or while
/// another operation works in the directory, nothing is noted.
///
/// # Errors
/// The file cannot be read or written.
pub async fn note_marks(site: &Site, lineage: &[Promotion]) -> Result<(), FileFailure> {
    if lineage.iter().all(|promotion| promotion.mark.is_none()) || control_head(site).await.is_none() {
        return Ok(());
    }
    let Some(lock) = OperationLock::take_if_free(site).await? else { return Ok(()) };
    let (data_dir, lineage) = (site.data_dir(), lineage.to_vec());
    lock.blocking(move || {
        let before = noted(&data_dir)?;
        let marked =
            lineage.iter().map(|promotion| Promotion { mark: promotion.mark.or_else(|| mark_in(&before, *promotion)), ..*promotion });
        let marked: Vec<_> = marked.filter(|promotion| promotion.mark.is_some()).collect();
        let text = serde_json::to_string(&marked).expect("numbers always become JSON");
        replace(&data_dir.join(NOTE), format!("{text}\n"), 0o600)
    })
    .await
}

/// What cannot be understood is noted anew, as far as the log shows it.
fn noted(data_dir: &Path) -> Result<Vec<Promotion>, FileFailure> {
    let text = read_bytes_if_exists(&data_dir.join(NOTE))?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
}

fn mark_in(noted: &[Promotion], promotion: Promotion) -> Option<u32> {
    noted.iter().find(|noted| noted.may_be(promotion)).and_then(|noted| noted.mark)
}

fn marked(data_dir: &Path, ancestry: &Ancestry, geometry: Geometry, end: Lsn) -> Vec<Promotion> {
    let log = Log { folder: data_dir.join("pg_wal"), ancestry, geometry };
    let noted = noted(data_dir).unwrap_or_default();
    let promotions = ancestry.promotions();
    let left_at = promotions.iter().skip(1).map(|next| next.lsn).chain([end]);
    let told = promotions.iter().zip(left_at).skip(promotions.len().saturating_sub(LINEAGE_MAX));
    told.map(|(promotion, left_at)| Promotion { mark: log.mark(*promotion, left_at, &noted), ..*promotion }).collect()
}

struct Log<'a> {
    folder: PathBuf,
    ancestry: &'a Ancestry,
    geometry: Geometry,
}

impl Log<'_> {
    /// None: nobody was promoted to the first timeline; or it was left before it had a record; or the file is gone, and nothing was noted.
    fn mark(&self, promotion: Promotion, left_at: Lsn, noted: &[Promotion]) -> Option<u32> {
        let checksum = self.geometry.checksum_of(promotion.lsn);
        if promotion.lsn == Lsn(0) || left_at.0 < checksum.0 + CHECKSUM {
            return None;
        }
        let names = files(self.ancestry, promotion.timeline, checksum, self.geometry);
        // The newest first: its beginning was copied when it was begun, and a file of an older number may be left of another branch.
        let read = names.iter().rev().find_map(|name| read_checksum(&self.folder.join(name), self.geometry, checksum));
        read.or_else(|| mark_in(noted, promotion))
    }
}

/// None: there is no such file, or it holds something else there, as one that was recycled does.
fn read_checksum(path: &Path, geometry: Geometry, at: Lsn) -> Option<u32> {
    let page = at.0 / geometry.page * geometry.page;
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(page % geometry.segment)).ok()?;
    let mut bytes = vec![0; usize::try_from(at.0 + CHECKSUM - page).ok()?];
    file.read_exact(&mut bytes).ok()?;
    let address = bytes.get(PAGE_ADDRESS..)?.first_chunk().map(|address| u64::from_ne_bytes(*address));
    (address == Some(page)).then(|| bytes.last_chunk().map(|checksum| u32::from_ne_bytes(*checksum)))?
}
