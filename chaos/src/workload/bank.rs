//! Money that moves between accounts and never becomes more or less, whoever counts it, and where.

use super::Desk;
use super::client::{KNOCK_PAUSE, STAMP, STATEMENT_DEADLINE, Session, pause};
use super::tables::ACCOUNTS;
use crate::history::{Change, Event};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Row, error::SqlState};

/// Between two transfers.
const TRANSFER_PAUSE: Duration = Duration::from_millis(30);
/// Between two counts on one database.
const COUNT_PAUSE: Duration = Duration::from_millis(250);

/// Moves money on the primary, in serializable transactions.
pub(super) async fn transfer(desk: Desk, client: u32) {
    let mut id = 0;
    let mut failed = None;
    while let Some(session) = desk.find_writable(failed).await {
        failed = Some(session.place);
        while !desk.is_over() {
            id += 1;
            if !desk.attempt((client, session.place), Change::Transfer { id }, move_money(&session, id)).await {
                break;
            }
            pause(TRANSFER_PAUSE).await;
        }
    }
}

async fn move_money(session: &Session, id: i64) -> Result<Row, tokio_postgres::Error> {
    // Some fixed walk through all pairs; chance would show no more.
    let (from, to) = (id % ACCOUNTS, (id / ACCOUNTS + id + 1) % ACCOUNTS);
    let amount = id % 7 + 1;
    let take = format!("UPDATE chaos_accounts SET balance = balance - {amount} WHERE id = {from}");
    let give = format!("UPDATE chaos_accounts SET balance = balance + {amount} WHERE id = {to}");
    session.client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    session.client.batch_execute(&take).await?;
    session.client.batch_execute(&give).await?;
    let row = session.client.query_one(&format!("INSERT INTO chaos_transfers (id) VALUES ({id}) RETURNING {STAMP}"), &[]).await?;
    // What the row says is worth nothing before this.
    session.client.batch_execute("COMMIT").await?;
    Ok(row)
}

/// Counts all money on one database, primary or standby, reading the accounts one after the other in one transaction.
pub(super) async fn count(desk: Desk, place: usize) {
    while !desk.is_over() {
        if let Some(session) = desk.knock(place).await {
            while !desk.is_over() {
                match timeout(STATEMENT_DEADLINE, add_up(&session)).await {
                    Ok(Ok((total, in_recovery))) => {
                        let node = desk.doors[place].id;
                        desk.recorder.record(Event::Total { total, node, in_recovery });
                    }
                    // A standby may have to break off a long look for its replay; it says so, and the next look is as good.
                    Ok(Err(error)) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) && !session.client.is_closed() => {
                        drop(session.client.batch_execute("ROLLBACK").await);
                    }
                    Ok(Err(_)) | Err(_) => break,
                }
                pause(COUNT_PAUSE).await;
            }
        }
        pause(KNOCK_PAUSE).await;
    }
}

async fn add_up(session: &Session) -> Result<(i64, bool), tokio_postgres::Error> {
    let client = &session.client;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut total = 0;
    let mut in_recovery = false;
    for account in 0..ACCOUNTS {
        let query = format!("SELECT balance, pg_is_in_recovery() FROM chaos_accounts WHERE id = {account}");
        let row = client.query_one(&query, &[]).await?;
        total += row.try_get::<_, i64>(0)?;
        in_recovery = row.try_get(1)?;
    }
    client.batch_execute("COMMIT").await?;
    Ok((total, in_recovery))
}
