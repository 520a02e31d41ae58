//! How the history here relates to the primary's, proved by the log itself where the histories alone would deceive.
//!
//! Timelines are numbered, and two nodes that are promoted at the same position, neither knowing of the other, give theirs the same number.
//! Their `.history` files are equal to the letter; the logs are not, since the first record of a timeline tells when it began. So wherever
//! both sides name a timeline alike, a piece of its log is compared.

use super::position::{EndOfWal, controldata, own_ancestry};
use super::rewind::Primary;
use super::{Failure, Site, blocking};
use crate::model::{Endpoint, Lsn, Timeline};
use crate::pg::ancestry::{Ancestry, Namesake, Relation};
use crate::pg::quoting::literal;
use crate::pg::wal::Geometry;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// So much is compared at the beginning of a timeline. It holds the record that tells when the timeline began.
const BEGINNING: u64 = 8192;

/// How the log of this directory, which ends there, relates to the log of the primary. Each question to it may take so long.
///
/// # Errors
/// The primary cannot be asked or does not accept writes, or a history is missing or malformed.
pub async fn relate(site: &Site, end: EndOfWal, upstream: &Endpoint, within: Duration) -> Result<Relation, Failure> {
    let mut primary = Primary::ask(site, upstream, within).await?;
    let theirs = primary.ancestry(within).await?;
    let own = own_ancestry(site, end.timeline).await?;
    let namesakes = own.namesakes(end.lsn, &theirs);
    if namesakes.is_empty() {
        return Ok(own.relate(end.lsn, &theirs));
    }
    let geometry = controldata(site).await?.geometry();
    let mut sides = Sides { site, own: &own, primary: &mut primary, theirs: &theirs, geometry, within };
    let mut fork = None;
    // What two logs have in common at one point they have in common before it, too.
    for namesake in namesakes {
        if sides.are_one(namesake).await? {
            break;
        }
        fork = Some(namesake.fork);
    }
    Ok(fork.map_or_else(|| own.relate(end.lsn, &theirs), |fork| Relation::Twin { fork }))
}

/// Whether the primary still has the log that a standby which ends there needs next, or needs nothing yet.
///
/// # Errors
/// The primary cannot be asked or does not accept writes.
pub async fn log_goes_on(site: &Site, end: EndOfWal, upstream: &Endpoint, within: Duration) -> Result<bool, Failure> {
    let mut primary = Primary::ask(site, upstream, within).await?;
    let theirs = primary.ancestry(within).await?;
    let geometry = controldata(site).await?.geometry();
    let names = files(&theirs, end.timeline, end.lsn, geometry);
    // What was renamed when its timeline was left is not streamed.
    let names: Vec<String> = names.iter().filter(|name| !name.ends_with(".partial")).map(|name| literal(name)).collect();
    let what = "say whether it still has the log that this node needs";
    let sql = format!(
        "SELECT pg_catalog.pg_current_wal_flush_lsn() OPERATOR(pg_catalog.<=) '{}'::pg_catalog.pg_lsn
             OR EXISTS (SELECT FROM pg_catalog.pg_ls_waldir() w
                         WHERE w.name OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.text[])) AS there",
        end.lsn,
        names.join(", ")
    );
    let row = primary.connection.ask_one(what, &sql, within).await?;
    Ok(primary.connection.column::<String>(what, &row, "there")? == "t")
}

struct Sides<'a> {
    site: &'a Site,
    own: &'a Ancestry,
    primary: &'a mut Primary,
    theirs: &'a Ancestry,
    geometry: Geometry,
    within: Duration,
}

/// A piece of the log, within one segment.
#[derive(Clone, Copy, Debug)]
struct Piece {
    timeline: Timeline,
    begin: Lsn,
    end: Lsn,
}

impl Sides<'_> {
    /// Whether a timeline that both name alike is one. It is looked at where it begins or, once one side has recycled that, where the common
    /// part ends. What neither side can show any more is not taken for one: nobody could stream on from there either.
    async fn are_one(&mut self, namesake: Namesake) -> Result<bool, Failure> {
        let (begin, end) = (namesake.fork.lsn, namesake.end);
        if end <= begin {
            // Nothing of it was written here.
            return Ok(true);
        }
        let segment = self.geometry.segment;
        let first_ends = (begin.0 / segment + 1) * segment;
        let last_begins = (end.0 - 1) / segment * segment;
        let pieces = [(begin, end.min(Lsn(first_ends)).min(Lsn(begin.0 + BEGINNING))), (begin.max(Lsn(last_begins)), end)];
        for (begin, end) in pieces {
            let piece = Piece { timeline: namesake.timeline, begin, end };
            if let Some(own) = self.own_digest(piece).await
                && let Some(theirs) = self.their_digest(piece).await?
            {
                return Ok(own == theirs);
            }
        }
        Ok(false)
    }

    async fn own_digest(&self, piece: Piece) -> Option<String> {
        let folder = self.site.data_dir().join("pg_wal");
        let (names, offset) = (files(self.own, piece.timeline, piece.begin, self.geometry), piece.begin.0 % self.geometry.segment);
        blocking(move || names.iter().find_map(|name| digest(&folder.join(name), offset, piece.end.0 - piece.begin.0))).await
    }

    async fn their_digest(&mut self, piece: Piece) -> Result<Option<String>, Failure> {
        let what = "show a piece of its log";
        let (offset, length) = (piece.begin.0 % self.geometry.segment, piece.end.0 - piece.begin.0);
        let read = |name: &String| {
            let path = literal(&format!("pg_wal/{name}"));
            format!("pg_read_binary_file({path}, {offset}, {length}, true)")
        };
        let reads: Vec<String> = files(self.theirs, piece.timeline, piece.begin, self.geometry).iter().map(read).collect();
        let sql = format!("SELECT encode(sha256(coalesce({})), 'hex') AS digest", reads.join(", "));
        let row = self.primary.connection.ask_one(what, &sql, self.within).await?;
        Ok(self.primary.connection.optional(what, &row, "digest")?)
    }
}

/// The files in which a timeline's log may lie at a position: its own; the one that was renamed when the timeline was left; that of a later
/// timeline, which begins with a copy of the segment in which it forked off.
pub(super) fn files(ancestry: &Ancestry, timeline: Timeline, at: Lsn, geometry: Geometry) -> Vec<String> {
    let name = geometry.file_name(timeline, at);
    let partial = format!("{name}.partial");
    let later = ancestry.from(timeline).skip(1).map(|timeline| geometry.file_name(timeline, at));
    [name, partial].into_iter().chain(later).collect()
}

/// None: there is no such file, or it is too short.
fn digest(path: &Path, offset: u64, length: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact(&mut bytes).ok()?;
    Some(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}
