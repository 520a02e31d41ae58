//! What was told to the FSM, newest of each kind, for its next life.

use crate::fsm::{Input, Newest};
use crate::tree::Address;
use std::sync::{Arc, Mutex, PoisonError};

/// Hands facts to the FSM and keeps the newest of each kind.
#[derive(Clone, Debug)]
pub struct Board {
    fsm: Address<Input>,
    newest: Arc<Mutex<Newest>>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Timestamp;
    use crate::model::Epoch;

    #[test]
    fn a_new_life_learns_the_newest_of_each_kind() {
        let board = Board::new(Address::vacant());
        let at = Timestamp::from_micros;
        board.tell(Input::GuardFound { lease: None });
        board.tell(Input::LeaseGuarded { epoch: Epoch(3), end: at(10) });
        board.tell(Input::LeaseGuarded { epoch: Epoch(3), end: at(20) });
        board.tell(Input::GuardRemembers { released: Epoch(1) });
        board.tell(Input::ReleaseRecorded { epoch: Epoch(2) });
        board.tell(Input::Woken);
        let expected = [
            Input::GuardFound { lease: Some((Epoch(3), at(20))) },
            Input::GuardRemembers { released: Epoch(1) },
            Input::ReleaseRecorded { epoch: Epoch(2) },
        ];
        assert_eq!(board.facts(), expected);
    }
}
