//! The actor around a future: it lives as long as its actor, and its end is the actor's.

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinHandle;

/// What a task's future comes to.
pub(super) type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Carries a future.
pub(super) struct Task;

/// How the future ended; the error in words.
#[derive(Debug)]
pub(super) struct Ended(Result<(), String>);

/// Ends the future with the actor's state, which goes down with the actor however it dies.
pub(super) struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for Task {
    type Msg = Ended;
    type State = Running;
    type Arguments = BoxFuture<'static, Outcome>;

    async fn pre_start(&self, myself: ActorRef<Ended>, future: Self::Arguments) -> Result<Running, ActorProcessingErr> {
        Ok(Running(tokio::spawn(async move {
            // Nothing of an unwound future is used again: the next life begins with a new one.
            let ended = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(outcome) => outcome.map_err(|error| error.to_string()),
                Err(panic) => Err(words_of(panic.as_ref())),
            };
            // The actor is gone if this fails, and nobody waits for the news.
            let _ = myself.send_message(Ended(ended));
        })))
    }

    async fn handle(&self, _: ActorRef<Ended>, Ended(ended): Ended, _: &mut Running) -> Result<(), ActorProcessingErr> {
        // After `Ok` the actor stays, idle, so that its supervisor has no death to meet.
        ended.map_err(Into::into)
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "it panicked without words".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::tree::clock::Clock;
    use crate::tree::restart::RestartPolicy;
    use crate::tree::{Child, Tree};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// What the task of this life does.
    #[derive(Clone, Copy)]
    enum Does {
        Work,
        Finish,
        Fail,
        Panic,
    }

    /// Lives and, among them, futures that are alive.
    #[derive(Clone, Default)]
    struct Lives {
        begun: Arc<AtomicUsize>,
        alive: Arc<AtomicUsize>,
    }

    struct Alive(Arc<AtomicUsize>);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A tree with one task, whose first life does `first` and whose further lives work on for ever.
    async fn tree(first: Does) -> (Tree, Lives) {
        let lives = Lives::default();
        let seen = lives.clone();
        let child = Child::task("task", move || {
            let does = if seen.begun.fetch_add(1, Ordering::SeqCst) == 0 { first } else { Does::Work };
            seen.alive.fetch_add(1, Ordering::SeqCst);
            let alive = Alive(Arc::clone(&seen.alive));
            async move {
                let _alive = alive;
                match does {
                    Does::Work => futures::future::pending().await,
                    Does::Finish => Ok(()),
                    Does::Fail => Err("it failed on purpose".into()),
                    Does::Panic => panic!("it panicked on purpose"),
                }
            }
        });
        let clock = Clock::Runtime(tokio::time::Instant::now());
        let tree = Tree::start(clock, RestartPolicy::default(), vec![child]).await.expect("the task starts");
        tokio::time::sleep(Duration::from_secs(3)).await;
        (tree, lives)
    }

    fn counts(lives: &Lives) -> (usize, usize) {
        (lives.begun.load(Ordering::SeqCst), lives.alive.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_is_started_again() {
        for first in [Does::Fail, Does::Panic] {
            let (_tree, lives) = tree(first).await;
            assert_eq!(counts(&lives), (2, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_finished_is_left_alone() {
        let (_tree, lives) = tree(Does::Finish).await;
        assert_eq!(counts(&lives), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_future_of_a_killed_task_ends_before_the_next_begins() {
        let (tree, lives) = tree(Does::Work).await;
        tree.kill("task");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(counts(&lives), (2, 1));
        tree.stop();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(counts(&lives), (2, 0));
    }
}
