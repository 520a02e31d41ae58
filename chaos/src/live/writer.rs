//! The client that writes all the time and remembers what it was promised.
//!
//! It behaves as one with a URI of many hosts: one connection at a time, `target_session_attrs=read-write`, the next host after a failure.
//! Each connect attempt and each statement has a deadline of its own, because a server that hangs still accepts connections.

use super::clock::now;
use super::sql::{self, Target, WRITTEN_TIMELINE};
use crate::invariants::Acknowledgement;
use crate::ledger::{Ledger, Reconciled, Write};
use actors::machine::Timestamp;
use actors::model::Timeline;
use anyhow::{Context, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Statement};

/// For one host to let us in: a few milliseconds on a local network, and much more on a machine that is busy with three servers.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// For one statement. A slow disk may take a while; a client that waits longer than this has users who complain.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(1);
/// Between two writes: the precision of a measured outage. Nothing is gained by loading the machine.
const WRITE_PAUSE: Duration = Duration::from_millis(4);
/// For the set-up and the verdict.
const LONG_DEADLINE: Duration = Duration::from_secs(30);

/// A running writer; it stops when it is dropped.
#[derive(Debug)]
pub struct Writer {
    ledger: Arc<Mutex<Ledger>>,
    targets: Vec<Target>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Makes the table and begins to write. The databases are tried in the order given.
    pub async fn start(targets: Vec<Target>) -> Result<Self> {
        let create = "CREATE TABLE IF NOT EXISTS chaos_writes (id bigint NOT NULL, node bigint NOT NULL)";
        let set_up = async {
            let client = sql::await_writable(&targets, CONNECT_DEADLINE).await;
            client.batch_execute(create).await?;
            client.query_one("SELECT coalesce(max(id), 0) + 1 FROM chaos_writes", &[]).await
        };
        let next: i64 = timeout(LONG_DEADLINE, set_up).await.context("no database accepts writes")??.get(0);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let task = tokio::spawn(write_for_ever(targets.clone(), next, Arc::clone(&ledger)));
        Ok(Self { ledger, targets, task })
    }

    /// What it remembers so far.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Acknowledged writes per second within the last `window`.
    #[must_use]
    pub fn rate(&self, window: Duration) -> f64 {
        let now = now();
        let count = u32::try_from(self.ledger().count_between(now - window, now)).unwrap_or(u32::MAX);
        f64::from(count) / window.as_secs_f64()
    }

    /// Waits for a write that began after `instant` to be acknowledged.
    pub async fn acknowledged_after(&self, instant: Timestamp, deadline: Duration) -> Result<Write> {
        let wait = async {
            loop {
                if let Some(write) = self.ledger().first_begun_after(instant) {
                    return write;
                }
                sleep(WRITE_PAUSE).await;
            }
        };
        timeout(deadline, wait).await.with_context(|| format!("no write was acknowledged within {deadline:?}"))
    }

    /// Compares the ledger with what a writable database holds now; the writer may go on meanwhile.
    pub async fn reconcile(&self) -> Result<Reconciled> {
        // Taken before the look: what is acknowledged later need not be seen.
        let ledger = self.ledger().clone();
        let look = async {
            let client = sql::await_writable(&self.targets, CONNECT_DEADLINE).await;
            client.query("SELECT id FROM chaos_writes", &[]).await
        };
        let rows = timeout(LONG_DEADLINE, look).await.context("the rows were not read in time")??;
        Ok(ledger.reconcile(&rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_for_ever(mut targets: Vec<Target>, mut next: i64, ledger: Arc<Mutex<Ledger>>) {
    loop {
        if let Some((client, target)) = sql::writable(&targets, CONNECT_DEADLINE).await {
            let node = target.node;
            write_on(&client, target, &mut next, &ledger).await;
            // The host that just failed is tried last.
            let failed = targets.iter().position(|target| target.node == node).map_or(0, |index| index + 1);
            targets.rotate_left(failed);
        }
        sleep(sql::ROUND_PAUSE).await;
    }
}

/// Writes until something fails.
async fn write_on(client: &Client, target: &Target, next: &mut i64, ledger: &Mutex<Ledger>) {
    let Ok(Ok(statement)) = timeout(STATEMENT_DEADLINE, prepare(client)).await else { return };
    loop {
        let id = *next;
        // Whatever becomes of it, an id is tried once: a second try could not be told from a duplicate.
        *next += 1;
        let began = now();
        match timeout(STATEMENT_DEADLINE, client.query_one(&statement, &[&id, &i64::try_from(target.node.0).unwrap_or(-1)])).await {
            Ok(Ok(row)) => {
                let timeline = Timeline(u32::try_from(row.get::<_, i32>(0)).unwrap_or(0));
                let acknowledgement = Acknowledgement { node: target.node, timeline, began, ended: now() };
                lock(ledger).acknowledge(Write { id, acknowledgement });
            }
            Ok(Err(_)) | Err(_) => {
                lock(ledger).give_up();
                return;
            }
        }
        sleep(WRITE_PAUSE).await;
    }
}

async fn prepare(client: &Client) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(&format!("INSERT INTO chaos_writes (id, node) VALUES ($1, $2) RETURNING {WRITTEN_TIMELINE}")).await
}
