//! What was told to the FSM, newest of each kind: what its next life must know.

use super::Input;
use crate::machine::Timestamp;
use crate::model::{Epoch, NodeId};
use crate::raft::Fact;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The newest of each kind.
#[derive(Debug, Default)]
pub struct Newest {
    committed: Option<Input>,
    led: Option<Input>,
    reported: Option<Input>,
    observed: BTreeMap<NodeId, Input>,
    guard: Option<Option<(Epoch, Timestamp)>>,
    remembered: Option<Epoch>,
    released: Option<Epoch>,
    stopped: bool,
}

impl Newest {
    /// Remembers a fact that is being told.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Raft(Fact::Committed { .. }) => self.committed = Some(input.clone()),
            Input::Raft(Fact::Led(_)) => self.led = Some(input.clone()),
            Input::Reported(_) => self.reported = Some(input.clone()),
            Input::Observed { peer, .. } => {
                self.observed.insert(*peer, input.clone());
            }
            Input::GuardFound { lease } => self.guard = Some(*lease),
            Input::GuardRemembers { released } => self.remembered = self.remembered.max(Some(*released)),
            Input::LeaseGuarded { epoch, end } => self.guard = Some(Some((*epoch, *end))),
            Input::ReleaseRecorded { epoch } => self.released = self.released.max(Some(*epoch)),
            Input::Stopped => self.stopped = true,
            Input::Woken | Input::Raft(_) | Input::Requested { .. } | Input::Recalled(_) => {}
        }
    }

    /// Everything that a new life of the FSM must know.
    #[must_use]
    pub fn facts(&self) -> Vec<Input> {
        let released = self.released.map(|epoch| Input::ReleaseRecorded { epoch });
        let guard = self.guard.map(|lease| Input::GuardFound { lease });
        let remembered = self.remembered.map(|released| Input::GuardRemembers { released });
        let mut facts: Vec<_> = [&self.committed, &self.led, &self.reported].into_iter().flatten().cloned().collect();
        facts.extend(self.observed.values().cloned());
        facts.extend(guard);
        facts.extend(remembered);
        facts.extend(released);
        facts.extend(self.stopped.then_some(Input::Stopped));
        facts
    }
}
