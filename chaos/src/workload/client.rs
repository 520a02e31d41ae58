//! What all clients have in common: a connection, a deadline for everything, and the stamp on an answer.

use super::Desk;
use crate::history::{Change, Event, Stamp};
use crate::live::now;
use crate::live::sql::{self, Target};
use actors::machine::Timestamp;
use actors::model::{Epoch, Lsn, Timeline};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Row};

/// For one host to let us in.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// For one statement or one short transaction. A slow disk takes longer at times; then the fate of a change is unknown.
pub(super) const STATEMENT_DEADLINE: Duration = Duration::from_secs(2);
/// Between two rounds through all hosts. Each knock costs a server a process, so a dozen impatient clients would be a fault of their own.
const ROUND_PAUSE: Duration = Duration::from_millis(150);
/// The same for the one client by which outages are measured.
const FAITHFUL_ROUND_PAUSE: Duration = Duration::from_millis(20);
/// Between two knocks at one host that did not let us in.
pub(super) const KNOCK_PAUSE: Duration = Duration::from_millis(250);

/// The last columns of every statement whose answer is stamped: the timeline that is written, and how far the log is.
pub(super) const STAMP: &str =
    "('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int, pg_current_wal_insert_lsn()::text";

/// The epoch for which each node was last seen to hold a lease.
#[derive(Clone, Debug)]
pub(super) struct Leases(Arc<Vec<AtomicU64>>);

impl Leases {
    pub(super) fn of_nodes(nodes: usize) -> Self {
        Self(Arc::new((0..nodes).map(|_| AtomicU64::new(0)).collect()))
    }

    pub(super) fn set(&self, node: usize, epoch: Option<Epoch>) {
        self.0[node].store(epoch.map_or(0, |epoch| epoch.0), Ordering::Relaxed);
    }

    pub(super) fn of(&self, node: usize) -> Option<Epoch> {
        Some(self.0[node].load(Ordering::Relaxed)).filter(|&epoch| epoch > 0).map(Epoch)
    }
}

/// A connection to a database that accepted writes when it was made.
pub(super) struct Session {
    pub(super) client: Client,
    /// The place of its node.
    pub(super) place: usize,
}

impl Desk {
    /// The first host, beginning after the one that failed last, that lets us in and accepts writes; None if it is over before.
    pub(super) async fn find_writable(&self, failed: Option<usize>) -> Option<Session> {
        self.find_writable_every(ROUND_PAUSE, failed).await
    }

    /// The same, and sooner.
    pub(super) async fn find_writable_soon(&self, failed: Option<usize>) -> Option<Session> {
        self.find_writable_every(FAITHFUL_ROUND_PAUSE, failed).await
    }

    async fn find_writable_every(&self, round_pause: Duration, failed: Option<usize>) -> Option<Session> {
        let first = failed.map_or(0, |place| place + 1);
        while !self.is_over() {
            for offset in 0..self.doors.len() {
                let place = (first + offset) % self.doors.len();
                if let Ok(client) = sql::connect(&self.doors[place].target, true, CONNECT_DEADLINE).await {
                    return Some(Session { client, place });
                }
            }
            sleep(round_pause).await;
        }
        None
    }

    /// This host and no other, whatever it is now; None if it does not let us in.
    pub(super) async fn knock(&self, place: usize) -> Option<Session> {
        let target: &Target = &self.doors[place].target;
        let client = sql::connect(target, false, CONNECT_DEADLINE).await.ok()?;
        Some(Session { client, place })
    }

    /// The stamp of an answer whose columns from `column` on are `STAMP`.
    pub(super) fn stamp(&self, place: usize, row: &Row, column: usize, began: Timestamp) -> Option<(Stamp, Lsn)> {
        let timeline = Timeline(u32::try_from(row.try_get::<_, i32>(column).ok()?).ok()?);
        let lsn: Lsn = row.try_get::<_, &str>(column + 1).ok()?.parse().ok()?;
        Some((Stamp { node: self.doors[place].id, timeline, epoch: self.epoch_of(place), began, ended: now() }, lsn))
    }

    /// Runs one change and writes down what came of it. False: the connection is of no use any more.
    pub(super) async fn attempt(
        &self,
        (client, place): (u32, usize),
        change: Change,
        statement: impl Future<Output = Result<Row, tokio_postgres::Error>>,
    ) -> bool {
        let began = now();
        let answer = timeout(STATEMENT_DEADLINE, statement).await;
        let stamped = answer.ok().and_then(Result::ok).and_then(|row| self.stamp(place, &row, 0, began));
        let known = stamped.is_some();
        self.recorder.record(match stamped {
            Some((stamp, lsn)) => Event::Acknowledged { change, client, stamp, lsn },
            None => Event::Unsure { change },
        });
        known
    }
}

/// Before the next try.
pub(super) async fn pause(duration: Duration) {
    sleep(duration).await;
}
