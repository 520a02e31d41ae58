//! The end of the server: by the guard if it answers, and by our own hand if not (S6).

use super::Tether;
use crate::guard::{self, Client};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

/// A guard that answers at all answers within this time, also while it kills. There is time for a sweep after it within the kill margin.
const ANSWER_MAX: Duration = Duration::from_millis(200);
/// Whose a server is stands in two small files.
const WHOSE_MAX: Duration = Duration::from_millis(50);
/// How often it is looked whether there is a guard again.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// What the guard and the sweep get to end the processes of a big server, or of one that a disk holds.
const KILL_MAX: Duration = Duration::from_secs(10);

impl Tether {
    /// Kills every process of the server, and returns when nobody is left, or nothing can be done about who is. At most one is under way:
    /// if there is one already, it does.
    pub async fn kill_server(&self) {
        self.kill_server_but(|| false).await;
    }

    /// The same, unless those who are left when the guard has killed its own are spared. What was known when the kill was ordered may be long over: a
    /// daemon that was stopped wakes up and ends a server that its guard has ended and an operator has replaced.
    pub(super) async fn kill_server_but(&self, spares: impl Fn() -> bool + Send + Sync + 'static) {
        let Ok(_alone) = self.killing.try_lock() else {
            // Not once more after it: by then another server may have been started, which nobody wants killed.
            drop(self.killing.lock().await);
            return;
        };
        let arguments = &self.options().arguments;
        let guard = match self.guard_at_hand().await {
            Some(client) if kills(&client).await => {
                if self.nobody_is_left().await {
                    return;
                }
                Some(client)
            }
            _ => None,
        };
        // A disk that does not say in time whose they are saves nobody.
        if matches!(timeout(WHOSE_MAX, spawn_blocking(spares)).await, Ok(Ok(true))) {
            tracing::warn!(
                "a server that Witch did not start runs in the data directory in the place of the one that was to be killed; it is left alone (S6)"
            );
            return;
        }
        let swept = match guard {
            Some(client) => guard::sweep_orphans(&arguments.pgdata, client.identity().pid, KILL_MAX).await,
            None => guard::sweep(&arguments.pgdata, &arguments.lock, KILL_MAX).await,
        };
        if let Err(error) = swept {
            tracing::error!(%error, "the server cannot be killed");
        }
    }

    /// The guard; one whose connection was just lost is given a moment to be reached again.
    async fn guard_at_hand(&self) -> Option<Client> {
        let deadline = Instant::now() + ANSWER_MAX;
        while self.client().is_none() && self.unanswered().is_none() && Instant::now() < deadline {
            sleep(TRY_EVERY).await;
        }
        self.client()
    }

    async fn nobody_is_left(&self) -> bool {
        let pgdata = self.options().arguments.pgdata.clone();
        spawn_blocking(move || guard::residents(&pgdata)).await.is_ok_and(|left| left.is_ok_and(|left| left.is_empty()))
    }
}

/// Has the guard kill its server. False: it does not answer, or will not. One that was late to answer last is not waited for.
async fn kills(guard: &Client) -> bool {
    if guard.silent_for().is_some() {
        return false;
    }
    let falls_silent = async {
        while guard.status(ANSWER_MAX).await.is_ok() {
            sleep(ANSWER_MAX).await;
        }
    };
    tokio::select! {
        killed = guard.kill(KILL_MAX) => killed.is_ok(),
        () = falls_silent => false,
    }
}
