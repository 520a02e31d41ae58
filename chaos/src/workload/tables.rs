//! The tables of the clients: made at the beginning, read at the end.

use super::client::CONNECT_DEADLINE;
use crate::history::End;
use crate::live::{Door, sql};
use crate::nemesis::statuses;
use actors::model::{Lsn, Timeline};
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How many accounts there are.
pub const ACCOUNTS: i64 = 6;
/// How much is in all of them together.
pub const TOTAL: i64 = 6_000;
/// For both ends of a run.
const DEADLINE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

/// Makes the tables where writes are accepted.
pub async fn create(doors: &[Door]) -> Result<()> {
    let targets: Vec<_> = doors.iter().map(|door| door.target.clone()).collect();
    let each = TOTAL / ACCOUNTS;
    // No unique index on what must be unique: it would hide what the checkers look for.
    let tables = format!(
        "DROP TABLE IF EXISTS chaos_rows, chaos_lists, chaos_accounts, chaos_transfers;
         CREATE TABLE chaos_rows (id bigint NOT NULL);
         CREATE TABLE chaos_lists (key int PRIMARY KEY, items bigint[] NOT NULL);
         CREATE TABLE chaos_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
         CREATE TABLE chaos_transfers (id bigint NOT NULL);
         INSERT INTO chaos_accounts SELECT id, {each} FROM generate_series(0, {ACCOUNTS} - 1) AS id;"
    );
    let make = async || anyhow::Ok(sql::await_writable(&targets, CONNECT_DEADLINE).await.batch_execute(&tables).await?);
    repeated(make).await.context("cannot make the clients' tables")
}

/// What is interrupted by a primary's end is done anew on the next one.
async fn repeated<T>(work: impl AsyncFn() -> Result<T>) -> Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        match timeout_at(end, work()).await.context("no database accepts writes")? {
            Err(_) if Instant::now() + AGAIN < end => sleep(AGAIN).await,
            outcome => return outcome,
        }
    }
}

/// Reads all of them where a write is accepted.
pub async fn read_end(doors: &[Door], unhealed: Option<String>) -> Result<End> {
    let targets: Vec<_> = doors.iter().map(|door| door.target.clone()).collect();
    let read = async || {
        let client = sql::await_writable(&targets, CONNECT_DEADLINE).await;
        client.batch_execute("UPDATE chaos_accounts SET balance = balance").await?;
        let rows = client.query("SELECT id FROM chaos_rows", &[]).await?.iter().map(|row| row.get(0)).collect();
        let lists = client.query("SELECT key, items FROM chaos_lists ORDER BY key", &[]).await?;
        let lists = lists.iter().map(|row| (row.get(0), row.get(1))).collect();
        let transfers = client.query("SELECT id FROM chaos_transfers", &[]).await?.iter().map(|row| row.get(0)).collect();
        let total = client.query_one("SELECT sum(balance)::bigint FROM chaos_accounts", &[]).await?.get(0);
        let said = statuses(doors).await;
        let best = said.iter().flatten().filter_map(|status| status.state.as_ref());
        let best = best.max_by_key(|state| state.history.back().map(|entry| entry.index)).context("no daemon tells its state")?;
        let lineage: Vec<(Timeline, Lsn)> = best.lineage.iter().map(|point| (point.timeline, point.lsn)).collect();
        anyhow::Ok(End { unhealed: unhealed.clone(), rows, lists, transfers, total, lineage })
    };
    repeated(read).await.context("cannot write to the clients' tables and read them")
}
