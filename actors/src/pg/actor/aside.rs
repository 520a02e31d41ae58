//! What may block, off the one thread that everything else runs on.

use super::operations::blocking;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Does one thing at a time: when a disk hangs, one thread hangs with it, however often it is looked at meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Aside {
    /// Does it as soon as nothing else is under way. Whoever no longer waits for its end leaves it to come to that.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("nobody closes the semaphore");
        blocking(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;
    use tokio::time::timeout;

    /// Looks that were given up while a disk hung must not each hold a thread.
    #[tokio::test]
    async fn nothing_is_begun_while_the_last_still_hangs() {
        let (aside, begun) = (Aside::default(), Arc::new(AtomicU32::new(0)));
        let (release, hangs) = channel::<()>();
        let count = || {
            let begun = Arc::clone(&begun);
            move || begun.fetch_add(1, Ordering::SeqCst)
        };
        let first = count();
        let hanging = aside.run(move || (first(), hangs.recv()));
        timeout(Duration::from_millis(50), hanging).await.expect_err("it hangs");
        for _ in 0..10 {
            timeout(Duration::from_millis(5), aside.run(count())).await.expect_err("the first still hangs");
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        release.send(()).expect("it waits for that");
        assert_eq!(aside.run(count()).await, 1);
    }
}
