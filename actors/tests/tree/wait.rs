//! Waiting for a condition, with a deadline, a virtual millisecond at a time.

use super::log;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Waits until something holds; answers how long that took. Panics after `max`.
pub(crate) async fn until(max: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < max, "after {max:?} it is not so that {what}; the end of the log:\n{}", log::end());
        sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}
