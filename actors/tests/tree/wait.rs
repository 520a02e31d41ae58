//! Letting virtual time pass, a millisecond at a time, and never past a broken invariant.
//!
//! What goes wrong inside an actor or a task is caught there by whoever supervises it, so it is noted here, and fails the test that waits.

use super::log;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MOMENT: Duration = Duration::from_millis(1);

thread_local! {
    static BROKEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Begins a test on this thread.
pub(crate) fn begin() {
    BROKEN.take();
}

/// Something happened that never may.
pub(crate) fn never(what: String) {
    BROKEN.with_borrow_mut(|broken| _ = broken.get_or_insert(what));
}

async fn moment() {
    sleep(MOMENT).await;
    if let Some(broken) = BROKEN.take() {
        panic!("{broken}; the end of the log:\n{}", log::end());
    }
}

/// Lets time pass.
pub(crate) async fn pass(duration: Duration) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        moment().await;
    }
}

/// Lets time pass until something holds; answers how long that took. Panics after `max`.
pub(crate) async fn until(max: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < max, "after {max:?} it is not so that {what}; the end of the log:\n{}", log::end());
        moment().await;
    }
    begun.elapsed()
}
