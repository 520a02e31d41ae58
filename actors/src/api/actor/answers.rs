//! Where the FSM's refusals find those who asked.

use crate::api::outcome::Fate;
use crate::fsm::Refusal;
use crate::model::RequestId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// So many requests are remembered for `GET /requests/{id}`.
const REMEMBERED_MAX: usize = 64;

/// The requests made at this node. It outlives the API's actor.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// Those who wait; as many as changes are allowed at a time.
    waiting: BTreeMap<RequestId, oneshot::Sender<Refusal>>,
    /// What was asked last, oldest first, and how it was refused.
    asked: VecDeque<(RequestId, Option<Refusal>)>,
}

/// Waits for the refusal of one request. Dropping it ends the waiting.
pub(super) struct Waiting {
    id: RequestId,
    answers: Answers,
    pub(super) refusal: oneshot::Receiver<Refusal>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answers.book().waiting.remove(&self.id);
    }
}

impl Answers {
    /// Nobody waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The FSM refuses a request. Whoever asked learns it now, or later by the request's id.
    pub fn refuse(&self, id: RequestId, refusal: Refusal) {
        let mut book = self.book();
        if let Some((_, refused)) = book.asked.iter_mut().find(|(asked, _)| *asked == id) {
            *refused = Some(refusal.clone());
        }
        if let Some(waiting) = book.waiting.remove(&id) {
            // The asker left meanwhile.
            let _ = waiting.send(refusal);
        }
    }

    /// Before the request is told to the FSM.
    pub(super) fn expect(&self, id: RequestId) -> Waiting {
        let (sender, refusal) = oneshot::channel();
        let mut book = self.book();
        if book.asked.len() == REMEMBERED_MAX {
            book.asked.pop_front();
        }
        book.asked.push_back((id, None));
        book.waiting.insert(id, sender);
        Waiting { id, answers: self.clone(), refusal }
    }

    /// What this node knows of a request of which the committed state says nothing.
    pub(super) fn fate(&self, id: RequestId) -> Option<Fate> {
        let book = self.book();
        let (_, refusal) = book.asked.iter().find(|(asked, _)| *asked == id)?;
        Some(refusal.clone().map_or(Fate::Pending { id }, |refusal| Fate::Refused { id, refusal }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
