//! How far a standby is that says less than it has: what its files say.

use super::operations::{Failure, Observation, Site, end_of_closed, end_of_wal};
use super::{Known, Shop};
use crate::model::{Condition, Position};
use crate::pg::conditions::replay::{NOT_CONSISTENT, NOT_OPEN};
use crate::pg::standing::standby_is_at;
use crate::pg::{Life, Sight};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The guard's answer to a question.
const GUARD_MAX: Duration = Duration::from_secs(2);
/// What it may take to find the end of the log. The looks wait for it.
const END_MAX: Duration = Duration::from_secs(2);
/// The end of the log of one that lets nobody in is looked for so often.
const CLOSED_AGAIN: Duration = Duration::from_secs(2);
/// So many times it is tried. After that the server's own word must do.
const TRIES_MAX: u32 = 3;

/// Where the log on the disk ended when that server had received nothing yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    life: Life,
    tries: u32,
    /// It is known, or given up.
    looked: bool,
    end: Option<Position>,
}

/// What the files say of a standby that lets nobody in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    life: Life,
    looked: Instant,
    end: Position,
    /// Whether its log reaches at least to where the database is consistent.
    consistent: bool,
}

impl Known {
    /// What the files say of a running standby that lets nobody in: one may wait for the end of a transaction with too many parts, another for the
    /// rest of the log that it needs. It can be compared, told whom to follow and, if it is consistent, promoted all the same.
    pub(super) async fn closed(&mut self, site: &Site, life: Life) -> Option<Sight> {
        if self.closed.is_none_or(|closed| closed.life != life || closed.looked.elapsed() >= CLOSED_AGAIN) {
            self.closed = None;
            let (end, consistent) = end_of_closed(site, END_MAX).await.ok()?;
            self.closed = Some(Closed { life, looked: Instant::now(), end, consistent });
        }
        let position = self.closed?.end;
        self.recovered_on = Some((life, position.timeline));
        let lineage = timeout(END_MAX, self.lineage(site, life, position)).await.unwrap_or_default();
        Some(Sight { open: false, in_recovery: true, position, replayed: None, hold: None, stream: None, lineage, checkpointer: None })
    }

    /// What is to be said of a standby that lets nobody in.
    pub(super) fn is_closed(&self) -> Option<Condition> {
        let closed = self.closed?;
        let row = if closed.consistent { &NOT_OPEN } else { &NOT_CONSISTENT };
        Some(row.seen(format!("the standby lets nobody in, and its log reaches to {}", closed.end.lsn)))
    }

    /// How far a server is that says so of itself. None: that is not known yet, and is to be asked again.
    pub(super) async fn is_at(&mut self, site: &Site, life: Life, says: &Observation) -> Option<Position> {
        if !says.in_recovery {
            return Some(says.position);
        }
        let mut floor = self.floor.filter(|floor| floor.life == life).unwrap_or(Floor { life, tries: 0, looked: false, end: None });
        let received = says.received.is_some();
        floor.looked |= floor.tries >= TRIES_MAX;
        if !received && !floor.looked {
            // A look that takes too long is given up in the middle, and counts.
            floor.tries += 1;
            self.floor = Some(floor);
            match end_of_wal(site, END_MAX).await {
                // What only `pg_control` names may be yet to be streamed; and who lets sessions in has replayed that.
                Ok(end) => {
                    let at = Position { timeline: end.timeline, lsn: end.lsn };
                    (floor.looked, floor.end) = (true, Some(if end.seen { at } else { says.position }));
                }
                Err(failure) => {
                    tracing::warn!(%failure, "how far the log on the disk of this standby reaches is not known");
                    floor.looked = floor.tries >= TRIES_MAX;
                }
            }
        }
        self.floor = Some(floor);
        standby_is_at(says.position, received || floor.looked, floor.end)
    }
}

impl Shop {
    /// How far the running server is, which says that of itself.
    pub(super) async fn is_at(&self, says: &Observation) -> Result<Position, Failure> {
        let site = self.site();
        let unknown = || {
            let reason = "how far the log of the running server reaches is not known; it is looked at again".to_owned();
            Failure::Directory { path: site.settings.data_dir.clone(), reason }
        };
        let life = self.postmaster(GUARD_MAX).await.map(Life).ok_or_else(unknown)?;
        for _ in 0..TRIES_MAX {
            if let Some(at) = self.known.lock().await.is_at(site, life, says).await {
                return Ok(at);
            }
        }
        Err(unknown())
    }

    /// The process of the server that the guard runs. None: there is none, or nobody knows.
    pub(super) async fn postmaster(&self, within: Duration) -> Option<u32> {
        let client = self.surroundings.tether.client()?;
        client.status(within).await.ok()?.server?.pid
    }
}
