//! What was told to the FSM, newest of each kind, for its next life.

use crate::fsm::Input;
use crate::machine::Timestamp;
use crate::model::{Epoch, NodeId};
use crate::raft::Fact;
use crate::tree::Address;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Hands facts to the FSM and keeps the newest of each kind.
#[derive(Clone, Debug)]
pub struct Board {
    fsm: Address<Input>,
    newest: Arc<Mutex<Newest>>,
}

#[derive(Debug, Default)]
struct Newest {
    committed: Option<Input>,
    led: Option<Input>,
    reported: Option<Input>,
    observed: BTreeMap<NodeId, Input>,
    guard: Option<Option<(Epoch, Timestamp)>>,
    released: Option<Epoch>,
    stopped: bool,
}

impl Board {
    /// A board before the FSM that lives at this address.
    #[must_use]
    pub fn new(fsm: Address<Input>) -> Self {
        Self { fsm, newest: Arc::default() }
    }

    /// Tells the FSM, and remembers.
    pub fn tell(&self, input: Input) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).note(&input);
        // An FSM that is being restarted reads the board.
        self.fsm.tell(input);
    }

    /// Everything that a new life of the FSM must know.
    #[must_use]
    pub fn facts(&self) -> Vec<Input> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).facts()
    }
}

impl Newest {
    fn note(&mut self, input: &Input) {
        match input {
            Input::Raft(Fact::Committed { .. }) => self.committed = Some(input.clone()),
            Input::Raft(Fact::Led(_)) => self.led = Some(input.clone()),
            Input::Reported(_) => self.reported = Some(input.clone()),
            Input::Observed { peer, .. } => {
                self.observed.insert(*peer, input.clone());
            }
            Input::GuardFound { lease } => self.guard = Some(*lease),
            Input::LeaseGuarded { epoch, end } => self.guard = Some(Some((*epoch, *end))),
            Input::ReleaseRecorded { epoch } => self.released = self.released.max(Some(*epoch)),
            Input::Stopped => self.stopped = true,
            Input::Woken | Input::Raft(_) | Input::Requested { .. } | Input::Recalled(_) => {}
        }
    }

    fn facts(&self) -> Vec<Input> {
        let released = self.released.map(|epoch| Input::ReleaseRecorded { epoch });
        let guard = self.guard.map(|lease| Input::GuardFound { lease });
        let mut facts: Vec<_> = [&self.committed, &self.led, &self.reported].into_iter().flatten().cloned().collect();
        facts.extend(self.observed.values().cloned());
        facts.extend(guard);
        facts.extend(released);
        facts.extend(self.stopped.then_some(Input::Stopped));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_life_learns_the_newest_of_each_kind() {
        let board = Board::new(Address::vacant());
        let at = Timestamp::from_micros;
        board.tell(Input::GuardFound { lease: None });
        board.tell(Input::LeaseGuarded { epoch: Epoch(3), end: at(10) });
        board.tell(Input::LeaseGuarded { epoch: Epoch(3), end: at(20) });
        board.tell(Input::ReleaseRecorded { epoch: Epoch(2) });
        board.tell(Input::Woken);
        let expected = [Input::GuardFound { lease: Some((Epoch(3), at(20))) }, Input::ReleaseRecorded { epoch: Epoch(2) }];
        assert_eq!(board.facts(), expected);
    }
}
