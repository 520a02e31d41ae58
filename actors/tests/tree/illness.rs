//! Machines that fall ill on demand: one that panics at its next step, one that panics at every step, and one that goes on running and does
//! nothing any more.

use actors::machine::{Machine, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What every panic on demand says.
pub(crate) const FELL_ILL: &str = "fell ill on demand";

/// What an actor suffers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Illness {
    /// It panics at its next step, and is well in its next life.
    Panics,
    /// It panics at every step of every life.
    PanicsAlways,
    /// It takes everything in and answers nothing. Its next life is well.
    Wedged,
}

/// Who of a node is ill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ward {
    patients: Arc<Mutex<BTreeMap<&'static str, Illness>>>,
}

impl Ward {
    pub(crate) fn infect(&self, actor: &'static str, illness: Illness) {
        self.patients.lock().unwrap_or_else(PoisonError::into_inner).insert(actor, illness);
    }

    /// A new life begins.
    fn admit(&self, actor: &'static str) {
        self.patients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name, illness| *name != actor || *illness == Illness::PanicsAlways);
    }

    /// Whether that actor is wedged; panics if it is to panic.
    pub(crate) fn examine(&self, actor: &'static str) -> bool {
        let illness = {
            let mut patients = self.patients.lock().unwrap_or_else(PoisonError::into_inner);
            let illness = patients.get(actor).copied();
            if illness == Some(Illness::Panics) {
                patients.remove(actor);
            }
            illness
        };
        match illness {
            None => false,
            Some(Illness::Wedged) => true,
            Some(Illness::Panics | Illness::PanicsAlways) => panic!("the {actor} actor {FELL_ILL}"),
        }
    }
}

/// A machine that may fall ill.
#[derive(Debug)]
pub(crate) struct Mortal<M> {
    name: &'static str,
    ward: Ward,
    machine: M,
    wedged: bool,
}

impl<M> Mortal<M> {
    pub(crate) fn new(name: &'static str, ward: &Ward, machine: M) -> Self {
        ward.admit(name);
        Self { name, ward: ward.clone(), machine, wedged: false }
    }
}

impl<M: Machine> Machine for Mortal<M> {
    type Input = M::Input;
    type Effect = M::Effect;

    fn step(&mut self, now: Timestamp, input: M::Input) -> Vec<M::Effect> {
        self.wedged |= self.ward.examine(self.name);
        if self.wedged { Vec::new() } else { self.machine.step(now, input) }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        if self.wedged { None } else { self.machine.wake_at() }
    }
}
