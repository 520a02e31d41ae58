//! A typed address outlives the actor behind it: after a restart it leads to the successor.

use super::shell::Parcel;
use ractor::ActorRef;
use std::sync::{Arc, Mutex, PoisonError};

/// Where to tell facts of type `I`.
pub struct Address<I: Send + 'static> {
    behind: Arc<Mutex<Option<ActorRef<Parcel<I>>>>>,
}

impl<I: Send + 'static> Address<I> {
    /// An address that nobody lives at yet.
    #[must_use]
    pub fn vacant() -> Self {
        Self { behind: Arc::default() }
    }

    /// Tells a fact to whoever lives here. Never waits. False if nobody does: then the fact is lost, and whoever cares says it again.
    pub fn tell(&self, input: I) -> bool {
        let behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.as_ref().is_some_and(|actor| actor.send_message(Parcel::Told(input)).is_ok())
    }

    /// From now on, this actor lives here.
    pub(super) fn move_in(&self, actor: ActorRef<Parcel<I>>) {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }
}

impl<I: Send + 'static> Clone for Address<I> {
    fn clone(&self) -> Self {
        Self { behind: Arc::clone(&self.behind) }
    }
}

impl<I: Send + 'static> std::fmt::Debug for Address<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address<{}>", std::any::type_name::<I>())
    }
}
