//! The connection to the guard, kept for as long as the daemon lives.
//!
//! The guard serves one daemon at a time, so everybody in the daemon who speaks to it does so by this one.

use super::{Input, exit_fact};
use crate::guard::{Client, Error, Event, Options};
use crate::machine::Timestamp;
use crate::model::Epoch;
use crate::tree::Address;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until};

/// What one try to find or start a guard gets.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// A daemon that has just begun knows of no lease: it is waited so long for the guard to tell. A guard that is stopped fences nobody, and
/// whoever killed the daemon has taken time away from the lease already.
const FIND_MAX: Duration = Duration::from_secs(1);
/// A guard that was lost and is there again within this time has the lease that it had. Anything may take its place at the socket for a moment.
const RETURN_MAX: Duration = Duration::from_millis(300);
/// A guard that has just answered says within this time which lease it holds.
const LEASE_MAX: Duration = Duration::from_millis(500);

/// What a guard that was found holds from before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// A lease, and when it ends.
    pub lease: Option<(Epoch, Timestamp)>,
    /// The last epoch whose lease it was told to drop for good (S8).
    pub released: Option<Epoch>,
}

/// Hears of it.
pub type Found = Arc<dyn Fn(Held) + Send + Sync>;

/// Finds the guard, starts it if there is none, and finds or starts it again whenever it is lost.
#[derive(Clone, Debug)]
pub struct Tether {
    options: Options,
    state: Arc<Mutex<State>>,
    /// Held by whoever kills the server: two at once would only be in each other's way.
    pub(super) killing: Arc<tokio::sync::Mutex<()>>,
    keeper: Arc<Keeper>,
}

#[derive(Debug)]
struct State {
    client: Option<Client>,
    /// Since the first try in vain to reach a guard. Not since it was lost: a daemon that was stopped itself would count that time, too.
    missed: Option<Missed>,
    /// The directory may hold processes that are no child of this guard.
    unswept: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missed {
    since: Instant,
    /// Somebody holds the socket and says nothing.
    mute: bool,
}

/// A guard that does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    /// For how long.
    pub(super) lasts: Duration,
    /// It is there.
    pub(super) mute: bool,
}

#[derive(Debug)]
struct Keeper(tokio::task::JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tether {
    /// Begins to look for the guard. Its events are told to `adapter`. What lease it holds is told to `found` whenever another guard was
    /// found, and that none is certain whenever no guard could be reached for a while.
    #[must_use]
    pub fn start(options: Options, adapter: Address<Input>, found: Found) -> Self {
        let state = Arc::new(Mutex::new(State { client: None, missed: None, unswept: true }));
        let keeper = tokio::spawn(keep(options.clone(), Arc::clone(&state), adapter, found));
        Self { options, state, killing: Arc::default(), keeper: Arc::new(Keeper(keeper)) }
    }

    /// The guard, while there is one.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        lock(&self.state).client.clone()
    }

    /// Ends the guard, which has no server, and looks for no other one: it would be started in the place of the one that goes.
    ///
    /// # Errors
    /// It does not answer, or still has a server.
    pub async fn dismiss(&self, within: Duration) -> Result<(), Error> {
        self.keeper.0.abort();
        match self.client() {
            Some(guard) => guard.quit(within).await,
            None => Ok(()),
        }
    }

    /// How to reach the guard.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// None: the guard answers, or was not yet asked in vain.
    pub(super) fn unanswered(&self) -> Option<Unanswered> {
        let state = lock(&self.state);
        match &state.client {
            Some(client) => client.silent_for().map(|lasts| Unanswered { lasts, mute: true }),
            None => state.missed.map(|missed| Unanswered { lasts: missed.since.elapsed(), mute: missed.mute }),
        }
    }

    /// Whether the directory may hold processes that are not this guard's children.
    pub(super) fn is_unswept(&self) -> bool {
        lock(&self.state).unswept
    }

    /// Nobody but children of this guard was in the directory when it was asked.
    pub(super) fn is_swept(&self, guard: &Client) {
        let mut state = lock(&self.state);
        if state.client.as_ref().is_some_and(|client| client.identity() == guard.identity()) {
            state.unswept = false;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the guard holds. Nothing if it does not say: then a lease is asked for anew.
async fn held_by(client: &Client) -> Held {
    let Ok(status) = client.status(LEASE_MAX).await else { return Held::default() };
    let lease = status.lease.filter(|lease| status.dropped.is_none_or(|dropped| dropped < lease.epoch));
    Held { lease: lease.map(|lease| (lease.epoch, lease.end)), released: status.dropped }
}

/// A guard that was reached.
struct Reached {
    client: Client,
    events: Receiver<Event>,
    /// It took so long that nobody counts on a lease any more.
    forgotten: bool,
}

/// Tries until there is a guard. After `patience` the lease is forgotten, and that is told.
async fn reach(options: &Options, state: &Mutex<State>, patience: Duration, found: &Found) -> Reached {
    let give_up = Instant::now() + patience;
    let mut forgotten = false;
    loop {
        let mut attempt = Box::pin(Client::spawn_or_connect(options.clone(), CONNECT_MAX));
        let reached = tokio::select! {
            reached = &mut attempt => reached,
            () = sleep_until(give_up), if !forgotten => {
                found(Held::default());
                forgotten = true;
                attempt.await
            }
        };
        match reached {
            Ok((client, events)) => return Reached { client, events, forgotten },
            Err(error) => {
                tracing::error!(%error, "there is no guard, and so no server can be started");
                let mute = matches!(error, Error::Late(_));
                let mut state = lock(state);
                let since = state.missed.map_or_else(Instant::now, |missed| missed.since);
                state.missed = Some(Missed { since, mute });
            }
        }
        sleep(TRY_EVERY).await;
    }
}

async fn keep(options: Options, state: Arc<Mutex<State>>, adapter: Address<Input>, found: Found) {
    let mut last_guard = None;
    let mut patience = FIND_MAX;
    loop {
        let Reached { client, mut events, forgotten } = reach(&options, &state, patience, &found).await;
        let pid = client.identity().pid;
        let again = last_guard == Some(pid);
        {
            let mut state = lock(&state);
            // The children of another guard are orphans by now, if any is left.
            state.unswept |= !again;
            (state.client, state.missed) = (Some(client.clone()), None);
        }
        if forgotten || !again {
            found(held_by(&client).await);
        }
        drop(client);
        tracing::info!(guard = pid, again, "connected to the guard");
        (last_guard, patience) = (Some(pid), RETURN_MAX);
        while let Some(Event::ServerExited(exit)) = events.recv().await {
            if let Some(fact) = exit_fact(exit) {
                adapter.tell(fact);
            }
        }
        lock(&state).client = None;
        tracing::warn!(guard = pid, "the connection to the guard is lost");
    }
}
