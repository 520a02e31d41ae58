//! Since when the guard has said nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Since the first answer that was late. Not since the last answer: after a daemon was stopped itself, that would be long ago though the guard
/// is well.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer is late.
    pub(super) fn begins(&self) {
        self.since().get_or_insert_with(Instant::now);
    }

    /// The guard said something.
    pub(super) fn ends(&self) {
        *self.since() = None;
    }

    pub(super) fn lasts(&self) -> Option<Duration> {
        self.since().map(|since| since.elapsed())
    }
}
