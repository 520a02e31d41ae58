//! How the history here relates to the primary's, proved by the log itself where the histories alone would deceive.
//!
//! Timelines are numbered, and two nodes that are promoted at the same position, neither knowing of the other, give theirs the same number.
//! Their `.history` files are equal to the letter; the logs are not, since the first record of a timeline tells when it began. So wherever
//! both sides name a timeline alike, a piece of its log is compared.
//!
//! A disk that was put back to an older state, or a standby that was once started without its signal file, writes a second history without
//! beginning a timeline at all. So what lies right before the end of the common part is compared as well, and nobody may have more than the
//! primary has written. A walsender compares nothing of the kind: it streams to such a copy, which reports everything as flushed.

use super::position::{EndOfWal, controldata, own_ancestry, readable_until};
use super::rewind::Primary;
use super::{Failure, Site, blocking};
use crate::model::{Endpoint, Lsn, Position, Timeline};
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
/// So much at a time is looked at before the end of the common part.
const STRIP: u64 = 1 << 16;
/// So many times at most.
const STRIPS_MAX: usize = 1024;
/// What a switch of segments leaves behind is empty on both sides, so bytes count only where they are not zero: a strip with fewer proves
/// nothing, and so many in all are enough.
const STRIP_WEIGHS: usize = 512;
const ENOUGH: usize = 4096;
/// The place where two histories on one timeline parted is looked for in steps of at most so many bytes, and at most so many of them.
const STEP: u64 = 16 << 20;
const STEPS_MAX: usize = 256;
/// What it may take to read a piece of the own log record by record.
const READ_MAX: Duration = Duration::from_secs(60);

/// How the log of this directory, which ends there, relates to the log of the primary. Each question to it may take so long.
///
/// # Errors
/// The primary cannot be asked or does not accept writes, or a history is missing or malformed.
pub async fn relate(site: &Site, end: EndOfWal, upstream: &Endpoint, within: Duration) -> Result<Relation, Failure> {
    let mut primary = Primary::ask(site, upstream, within).await?;
    let theirs = primary.ancestry(within).await?;
    let own = own_ancestry(site, end.timeline).await?;
    let written = primary.written;
    let geometry = controldata(site).await?.geometry();
    let mut sides = Sides { site, own: &own, primary: &mut primary, theirs: &theirs, geometry, within };
    let mut twin = None;
    // What two logs have in common at one point they have in common before it, too.
    for namesake in own.namesakes(end.lsn, &theirs, written) {
        if sides.are_one(namesake).await? {
            break;
        }
        twin = Some(namesake.fork);
    }
    if let Some(fork) = twin {
        return Ok(Relation::Twin { fork });
    }
    let relation = own.relate(end.lsn, &theirs, written);
    if !end.seen && matches!(relation, Relation::Prefix | Relation::Twin { .. }) {
        // What is not here proves nothing of the rest.
        let end = sides.readable_end(end).await?;
        return sides.proved(own.relate(end, &theirs, written), end).await;
    }
    sides.proved(relation, end.lsn).await
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

    /// How far the own log, of which only `pg_control` names an end, can be read.
    async fn readable_end(&self, end: EndOfWal) -> Result<Lsn, Failure> {
        let began = self.own.began(end.timeline).unwrap_or_default();
        let segment_begins = Lsn(end.lsn.0.saturating_sub(1) / self.geometry.segment * self.geometry.segment);
        let until = readable_until(self.site, self.geometry, end.timeline, began.max(segment_begins), READ_MAX).await?;
        Ok(until.min(end.lsn))
    }

    /// What the histories say, unless the log right before the end of their common part shows that it is not common.
    async fn proved(&mut self, relation: Relation, end: Lsn) -> Result<Relation, Failure> {
        let last = match relation {
            Relation::Prefix => Position { timeline: self.own.timeline(), lsn: end },
            Relation::Diverged { fork } | Relation::Twin { fork } => fork,
            Relation::Unrelated => return Ok(relation),
        };
        let began = self.own.began(last.timeline).unwrap_or_default();
        for (piece, digest) in self.own_tail(last, began).await {
            if self.their_digest(piece).await?.is_some_and(|theirs| theirs != digest) {
                let lsn = self.last_common(last, began).await?;
                return Ok(Relation::Twin { fork: Position { lsn, ..last } });
            }
        }
        Ok(relation)
    }

    /// Pieces of the own log right before that position, the last one first, as many as it takes to tell two histories apart.
    async fn own_tail(&self, last: Position, began: Lsn) -> Vec<(Piece, String)> {
        let (folder, own, geometry) = (self.site.data_dir().join("pg_wal"), self.own.clone(), self.geometry);
        blocking(move || {
            let (mut tail, mut weight, mut end) = (Vec::new(), 0, last.lsn);
            for _ in 0..STRIPS_MAX {
                if end <= began || weight >= ENOUGH {
                    break;
                }
                let begin = began.max(Lsn((end.0 - 1) / STRIP * STRIP));
                let piece = Piece { timeline: last.timeline, begin, end };
                let offset = begin.0 % geometry.segment;
                let names = files(&own, last.timeline, begin, geometry);
                let Some(bytes) = names.iter().find_map(|name| bytes(&folder.join(name), offset, end.0 - begin.0)) else { break };
                let weighs = bytes.iter().filter(|byte| **byte != 0).count();
                if weighs >= STRIP_WEIGHS || (tail.is_empty() && begin == began) {
                    weight += weighs;
                    tail.push((piece, digest(&bytes)));
                }
                end = begin;
            }
            tail
        })
        .await
    }

    /// How far the two logs are alike before a position at which they are not, in whole steps: at most as far as they are in truth.
    async fn last_common(&mut self, last: Position, began: Lsn) -> Result<Lsn, Failure> {
        let step = self.geometry.segment.min(STEP);
        let mut end = last.lsn;
        for _ in 0..STEPS_MAX {
            if end <= began {
                break;
            }
            let begin = began.max(Lsn((end.0 - 1) / step * step));
            let piece = Piece { timeline: last.timeline, begin, end };
            match (self.own_digest(piece).await, self.their_digest(piece).await?) {
                (Some(own), Some(theirs)) if own != theirs => end = begin,
                _ => break,
            }
        }
        Ok(end)
    }

    async fn own_digest(&self, piece: Piece) -> Option<String> {
        let folder = self.site.data_dir().join("pg_wal");
        let (names, offset) = (files(self.own, piece.timeline, piece.begin, self.geometry), piece.begin.0 % self.geometry.segment);
        blocking(move || {
            names.iter().find_map(|name| bytes(&folder.join(name), offset, piece.end.0 - piece.begin.0)).map(|bytes| digest(&bytes))
        })
        .await
    }

    async fn their_digest(&mut self, piece: Piece) -> Result<Option<String>, Failure> {
        let what = "show a piece of its log";
        let (offset, length) = (piece.begin.0 % self.geometry.segment, piece.end.0 - piece.begin.0);
        let read = |name: &String| {
            let path = literal(&format!("pg_wal/{name}"));
            format!("pg_catalog.pg_read_binary_file({path}, {offset}, {length}, true)")
        };
        let reads: Vec<String> = files(self.theirs, piece.timeline, piece.begin, self.geometry).iter().map(read).collect();
        let sql = format!("SELECT pg_catalog.encode(pg_catalog.sha256(coalesce({})), 'hex') AS digest", reads.join(", "));
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
fn bytes(path: &Path, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
