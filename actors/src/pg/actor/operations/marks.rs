//! The promotions that a timeline of this directory comes from, each with the mark that tells it from a twin.
//!
//! A timeline begins with a record that holds the time of its promotion. Its checksum is the mark: it lies in the log, so whoever has the
//! timeline's beginning has it, without anything that could be lost or be out of step.

use super::lineage::files;
use super::position::{PAGE_ADDRESS, own_ancestry};
use super::{Failure, Site, blocking};
use crate::model::{LINEAGE_MAX, Lsn, Position, Promotion};
use crate::pg::ancestry::Ancestry;
use crate::pg::wal::Geometry;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a checksum.
const CHECKSUM: u64 = 4;

/// The last promotions that the timeline of a database which is at `position` comes from, oldest first, with its own as the last.
///
/// # Errors
/// Its history is missing or malformed.
pub async fn lineage(site: &Site, geometry: Geometry, position: Position) -> Result<Vec<Promotion>, Failure> {
    let ancestry = own_ancestry(site, position.timeline).await?;
    let folder = site.data_dir().join("pg_wal");
    Ok(blocking(move || marked(&folder, &ancestry, geometry, position.lsn)).await)
}

fn marked(folder: &Path, ancestry: &Ancestry, geometry: Geometry, end: Lsn) -> Vec<Promotion> {
    let promotions = ancestry.promotions();
    let left_at = promotions.iter().skip(1).map(|next| next.lsn).chain([end]);
    let marked = promotions.iter().zip(left_at).skip(promotions.len().saturating_sub(LINEAGE_MAX));
    marked.map(|(promotion, left_at)| Promotion { mark: mark(folder, ancestry, geometry, *promotion, left_at), ..*promotion }).collect()
}

/// None: nobody was promoted to the first timeline; or it was left before it had a record, or the file is gone.
fn mark(folder: &Path, ancestry: &Ancestry, geometry: Geometry, promotion: Promotion, left_at: Lsn) -> Option<u32> {
    let checksum = geometry.checksum_of(promotion.lsn);
    if promotion.lsn == Lsn(0) || left_at.0 < checksum.0 + CHECKSUM {
        return None;
    }
    let names = files(ancestry, promotion.timeline, checksum, geometry);
    // The newest first: its beginning was copied when it was begun, and a file of an older number may be left of another branch.
    names.iter().rev().find_map(|name| read_checksum(&folder.join(name), geometry, checksum))
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
