//! The clients that ignore every advice: one for each database, which goes on trying to write there and nowhere else.
//!
//! A client with a URI of many hosts stays with the primary it has, so it may never notice a second one. These notice.

use super::clock::now;
use super::sql::{self, Target, WRITTEN_TIMELINE};
use crate::invariants::{Acknowledgement, Violation, at_most_one_writer};
use actors::model::Timeline;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

/// Between two attempts on one database.
const PAUSE: Duration = Duration::from_millis(20);
/// For a connect attempt, and for a statement.
const DEADLINE: Duration = Duration::from_secs(1);
/// For the first database to accept writes.
const SET_UP_DEADLINE: Duration = Duration::from_secs(30);

/// Running watchers; they stop when this is dropped.
#[derive(Debug)]
pub struct SplitBrainWatch {
    history: Arc<Mutex<Vec<Acknowledgement>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl SplitBrainWatch {
    /// Makes the table where writes are accepted now, and begins to watch every database.
    pub async fn start(targets: Vec<Target>) -> Result<Self> {
        let create = "CREATE TABLE IF NOT EXISTS chaos_watch (node bigint NOT NULL)";
        let set_up = async { sql::await_writable(&targets, DEADLINE).await.batch_execute(create).await };
        timeout(SET_UP_DEADLINE, set_up).await.context("no database accepts writes, so there is nothing to watch")??;
        let history = Arc::new(Mutex::new(Vec::new()));
        let tasks = targets.into_iter().map(|target| tokio::spawn(watch(target, Arc::clone(&history)))).collect();
        Ok(Self { history, tasks })
    }

    /// Every write that some database acknowledged to its watcher.
    #[must_use]
    pub fn history(&self) -> Vec<Acknowledgement> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where two databases accepted writes at once.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        at_most_one_writer(&self.history())
    }

    /// An error that names the violations, if there are any; also if nothing was watched.
    pub fn verdict(&self) -> Result<()> {
        if self.history().is_empty() {
            bail!("no watcher ever got a write acknowledged, so nothing was shown");
        }
        let mut text = String::new();
        for violation in self.violations() {
            write!(text, "\n{violation}").expect("a string takes all");
        }
        if text.is_empty() { Ok(()) } else { bail!("two databases accepted writes at once:{text}") }
    }
}

impl Drop for SplitBrainWatch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn watch(target: Target, history: Arc<Mutex<Vec<Acknowledgement>>>) {
    loop {
        if let Ok(client) = sql::connect(&target, false, DEADLINE).await {
            // Any failure ends this connection and the next one tells more.
            while let Ok(Ok(acknowledged)) = timeout(DEADLINE, attempt(&client, &target)).await {
                if let Some(acknowledgement) = acknowledged {
                    history.lock().unwrap_or_else(PoisonError::into_inner).push(acknowledgement);
                }
                sleep(PAUSE).await;
            }
        }
        sleep(PAUSE).await;
    }
}

/// One write, if the database is not in recovery: asking first spares the standbys' logs an error for every attempt.
async fn attempt(client: &Client, target: &Target) -> Result<Option<Acknowledgement>> {
    let in_recovery: bool = client.query_one("SELECT pg_is_in_recovery()", &[]).await?.get(0);
    if in_recovery {
        return Ok(None);
    }
    let began = now();
    let insert = format!("INSERT INTO chaos_watch (node) VALUES ({}) RETURNING {WRITTEN_TIMELINE}", target.node);
    let row = client.query_one(&insert, &[]).await?;
    let timeline = Timeline(u32::try_from(row.get::<_, i32>(0))?);
    Ok(Some(Acknowledgement { node: target.node, timeline, began, ended: now() }))
}
