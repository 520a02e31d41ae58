//! A counter that panics on demand, under virtual time.

use super::*;
use crate::machine::{Timestamp, Woken};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Debug)]
enum Input {
    Woken,
    Counted,
    Poisoned,
}

impl From<Woken> for Input {
    fn from(_: Woken) -> Self {
        Self::Woken
    }
}

#[derive(Default)]
struct Counter {
    next: Option<Timestamp>,
}

impl Machine for Counter {
    type Input = Input;
    type Effect = ();

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<()> {
        match input {
            Input::Woken => {
                let due = self.next.is_none_or(|next| now >= next);
                if due {
                    self.next = Some(now + Duration::from_secs(1));
                }
                Vec::new()
            }
            Input::Counted => vec![()],
            Input::Poisoned => panic!("poisoned on purpose"),
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.next
    }
}

struct Tally(Arc<AtomicUsize>);

impl Hands<Counter> for Tally {
    fn perform(&mut self, _: Timestamp, (): (), _: &Address<Input>) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn tree() -> (Tree, Address<Input>, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let clock = Clock::Runtime(tokio::time::Instant::now());
    let (tally, lives) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let address = Address::vacant();
    let (hands, births) = (Arc::clone(&tally), Arc::clone(&lives));
    let child = Child::new("counter", clock, address.clone(), move || {
        births.fetch_add(1, Ordering::SeqCst);
        Ok(Life::new(Counter::default(), Tally(Arc::clone(&hands))))
    });
    let tree = Tree::start(clock, RestartPolicy::default(), vec![child]).await.expect("the counter starts");
    (tree, address, tally, lives)
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_actor_is_restarted_behind_the_same_address() {
    let (_tree, address, tally, lives) = tree().await;
    settle().await;
    assert!(address.tell(Input::Counted));
    address.tell(Input::Poisoned);
    settle().await;
    assert!(address.tell(Input::Counted));
    settle().await;
    assert_eq!((tally.load(Ordering::SeqCst), lives.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_killed_actor_is_restarted() {
    let (tree, address, tally, lives) = tree().await;
    tree.kill("counter");
    settle().await;
    assert!(address.tell(Input::Counted));
    settle().await;
    assert_eq!((tally.load(Ordering::SeqCst), lives.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_dies_too_often_is_given_up_with_its_cause() {
    let (mut tree, address, _, _) = tree().await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        address.tell(Input::Poisoned);
    }
    let gave_up = tokio::time::timeout(Duration::from_secs(10), tree.gave_up()).await.expect("it gives up in time");
    assert_eq!(gave_up.actor, "counter");
    assert!(gave_up.cause.contains("poisoned on purpose"), "{}", gave_up.cause);
}
