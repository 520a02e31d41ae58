//! The connection to the guard, kept for as long as the daemon lives.
//!
//! The guard takes one connection at a time, so everybody in the daemon who speaks to it does so by this one.

use super::{Input, exit_fact};
use crate::guard::{Client, Event, Options};
use crate::machine::Timestamp;
use crate::model::Epoch;
use crate::tree::Address;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What one try to find or start a guard gets.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Hears of the lease that a guard holds.
pub type Found = Arc<dyn Fn(Option<(Epoch, Timestamp)>) + Send + Sync>;

/// Finds the guard, starts it if there is none, and finds or starts it again whenever it is lost.
#[derive(Clone, Debug)]
pub struct Tether {
    options: Options,
    state: Arc<Mutex<State>>,
    _keeper: Arc<Keeper>,
}

#[derive(Debug)]
struct State {
    client: Option<Client>,
    /// Since when there has been a guard, or none.
    since: Instant,
    /// The directory may hold processes that are no child of this guard.
    unswept: bool,
}

#[derive(Debug)]
struct Keeper(tokio::task::JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tether {
    /// Begins to look for the guard. Its events are told to `adapter`; what lease it holds is told to `found` whenever it was found, and
    /// that none is certain whenever it was lost.
    #[must_use]
    pub fn start(options: Options, adapter: Address<Input>, found: Found) -> Self {
        let state = Arc::new(Mutex::new(State { client: None, since: Instant::now(), unswept: true }));
        let keeper = tokio::spawn(keep(options.clone(), Arc::clone(&state), adapter, found));
        Self { options, state, _keeper: Arc::new(Keeper(keeper)) }
    }

    /// The guard, while there is one that answers.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        lock(&self.state).client.clone()
    }

    /// How to reach the guard.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// How long there has been no guard.
    pub(super) fn lost_for(&self) -> Duration {
        let state = lock(&self.state);
        if state.client.is_some() { Duration::ZERO } else { state.since.elapsed() }
    }

    /// Whether the directory may hold processes that are not this guard's children.
    pub(super) fn is_unswept(&self) -> bool {
        lock(&self.state).unswept
    }

    /// Nobody but children of this guard is in the directory.
    pub(super) fn is_swept(&self) {
        lock(&self.state).unswept = false;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What lease the guard holds from before. None if it does not say: then it is asked for anew.
async fn lease_of(client: &Client) -> Option<(Epoch, Timestamp)> {
    let status = client.status(CONNECT_MAX).await.ok()?;
    status.lease.filter(|lease| status.dropped.is_none_or(|dropped| dropped < lease.epoch)).map(|lease| (lease.epoch, lease.end))
}

async fn keep(options: Options, state: Arc<Mutex<State>>, adapter: Address<Input>, found: Found) {
    let mut last_guard = None;
    loop {
        match Client::spawn_or_connect(options.clone(), CONNECT_MAX).await {
            Ok((client, mut events)) => {
                let pid = client.identity().pid;
                let speaker = client.clone();
                {
                    let mut state = lock(&state);
                    // The children of another guard are orphans by now, if any is left.
                    state.unswept |= last_guard != Some(pid);
                    (state.client, state.since) = (Some(client), Instant::now());
                }
                found(lease_of(&speaker).await);
                tracing::info!(guard = pid, again = last_guard == Some(pid), "connected to the guard");
                last_guard = Some(pid);
                while let Some(Event::ServerExited(exit)) = events.recv().await {
                    if let Some(fact) = exit_fact(exit) {
                        adapter.tell(fact);
                    }
                }
                {
                    let mut state = lock(&state);
                    (state.client, state.since) = (None, Instant::now());
                }
                found(None);
                tracing::warn!(guard = pid, "the connection to the guard is lost");
            }
            Err(error) => tracing::error!(%error, "there is no guard, and so no server can be started"),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}
