//! Before a primary is stopped for another one: whether its archiver gets on, and how long it may take over the last segments.
//!
//! A server that shuts down has its archiver bring away what it wrote last, while nobody can write. The successor takes that for archived, so to end
//! an archiver that is merely slow would leave a hole in the archive, and to wait for one that hangs would only prolong the outage. Which of the two
//! it is shows while writes are still accepted: it is handed a segment, and watched.

use super::Shop;
use super::operations::{Failure, Session};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The one statement.
const BRIEF: Duration = Duration::from_secs(2);
/// An archive command that takes longer than this over what is there hangs, for all that is known.
const TRIAL_MAX: Duration = Duration::from_secs(5);
/// What an archiver may take after the stop that took no time before, or was not tried. It is a part of the outage.
pub(super) const LEAST: Duration = Duration::from_secs(2);
/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Hands the archiver a segment, and answers how long it may take over what the shutdown leaves it.
///
/// # Errors
/// The server does not answer.
pub(super) async fn try_archiver(shop: &Shop, session: &mut Session) -> Result<Duration, Failure> {
    let Some(segment) = session.switch_segment(BRIEF).await? else { return Ok(LEAST) };
    let ready = shop.site().data_dir().join(format!("pg_wal/archive_status/{segment}.ready"));
    let begun = Instant::now();
    loop {
        let path = ready.clone();
        if shop.disk.run(move || !path.exists()).await {
            // Its next turn may take longer.
            return Ok((begun.elapsed() * 2).max(LEAST));
        }
        if begun.elapsed() >= TRIAL_MAX {
            tracing::warn!(
                segment,
                "archive_command has not brought a segment of the log away in {} s: the stop does not wait for it, and what is left is named by \
                 the condition archive-gap",
                TRIAL_MAX.as_secs()
            );
            return Ok(Duration::ZERO);
        }
        sleep(STEP).await;
    }
}
