//! Lists that only grow at their end, each read again and again on the primary.

use super::Desk;
use super::client::{STAMP, STATEMENT_DEADLINE, Session, pause};
use crate::history::{Change, Event};
use crate::live::now;
use std::time::Duration;
use tokio::time::timeout;

/// Between an append and a read.
const PAUSE: Duration = Duration::from_millis(25);
/// So many values are tried on a list before the next list is begun; longer lists show no more and cost more.
const LIST_LENGTH: i64 = 50;
/// Values of one client lie in a range of their own; two clients share each list.
const VALUES_PER_CLIENT: i64 = 1_000_000_000;

pub(super) async fn run(desk: Desk, client: u32) {
    let mut tried = 0;
    let mut failed = None;
    while let Some(session) = desk.find_writable(failed).await {
        failed = Some(session.place);
        while !desk.is_over() {
            let key = i32::try_from(tried / LIST_LENGTH).unwrap_or(i32::MAX);
            let value = i64::from(client) * VALUES_PER_CLIENT + tried;
            tried += 1;
            let statement = format!(
                "INSERT INTO chaos_lists AS list (key, items) VALUES ({key}, ARRAY[{value}::bigint]) \
                 ON CONFLICT (key) DO UPDATE SET items = list.items || EXCLUDED.items RETURNING {STAMP}"
            );
            let append = session.client.query_one(&statement, &[]);
            if !desk.attempt((client, session.place), Change::Append { key, value }, append).await {
                break;
            }
            pause(PAUSE).await;
            if read(&desk, &session, key).await.is_none() {
                break;
            }
            pause(PAUSE).await;
        }
    }
}

/// Reads a list where it was written. A standby answers too, if the node was demoted meanwhile; then there is no stamp, and no record.
async fn read(desk: &Desk, session: &Session, key: i32) -> Option<()> {
    let began = now();
    let query = format!("SELECT {STAMP}, items FROM chaos_lists WHERE key = {key}");
    let row = timeout(STATEMENT_DEADLINE, session.client.query_opt(&query, &[])).await.ok()?.ok()?;
    // No row: the list begins anew, because its first values were lost. The checkers see that by the end.
    let Some(row) = row else { return Some(()) };
    let (stamp, _) = desk.stamp(session.place, &row, 0, began)?;
    let items = row.try_get(2).ok()?;
    desk.recorder.record(Event::List { key, items, stamp });
    Some(())
}
