//! Rows of their own: one client that follows the primary, and one for each database that never goes anywhere else.
//!
//! A client that follows stays with the primary it has, so it may never notice a second one. The stubborn ones do.

use super::Desk;
use super::client::{KNOCK_PAUSE, STAMP, STATEMENT_DEADLINE, Session, pause};
use crate::history::Change;
use std::time::Duration;
use tokio::time::timeout;

/// Between two rows of the faithful client: the precision of a measured outage.
const FAITHFUL_PAUSE: Duration = Duration::from_millis(10);
/// Between two tries of a stubborn one.
const STUBBORN_PAUSE: Duration = Duration::from_millis(40);
/// Ids of one client lie in a range of their own.
const IDS_PER_CLIENT: i64 = 1_000_000_000;

/// Follows the primary, as a client with a URI of all hosts.
pub(super) async fn faithful(desk: Desk, client: u32) {
    let mut next = i64::from(client) * IDS_PER_CLIENT;
    let mut failed = None;
    while let Some(session) = desk.find_writable_soon(failed).await {
        failed = Some(session.place);
        while !desk.is_over() && insert(&desk, &session, client, &mut next).await {
            pause(FAITHFUL_PAUSE).await;
        }
    }
}

/// Writes on one database whenever it is no standby.
pub(super) async fn stubborn(desk: Desk, place: usize, client: u32) {
    let mut next = i64::from(client) * IDS_PER_CLIENT;
    while !desk.is_over() {
        if let Some(session) = desk.knock(place).await {
            // Any failure ends this connection, and the next one tells more. Asking first spares a standby's log an error for every try.
            while let Some(in_recovery) = is_in_recovery(&session).await {
                if desk.is_over() || !(in_recovery || insert(&desk, &session, client, &mut next).await) {
                    break;
                }
                pause(STUBBORN_PAUSE).await;
            }
        }
        pause(KNOCK_PAUSE).await;
    }
}

async fn is_in_recovery(session: &Session) -> Option<bool> {
    let row = timeout(STATEMENT_DEADLINE, session.client.query_one("SELECT pg_is_in_recovery()", &[])).await.ok()?.ok()?;
    row.try_get(0).ok()
}

async fn insert(desk: &Desk, session: &Session, client: u32, next: &mut i64) -> bool {
    let id = *next;
    // Whatever becomes of it, an id is tried once: a second try could not be told from a duplicate.
    *next += 1;
    let statement = format!("INSERT INTO chaos_rows (id) VALUES ({id}) RETURNING {STAMP}");
    desk.attempt((client, session.place), Change::Insert { id }, session.client.query_one(&statement, &[])).await
}
