//! What goes into the machine and what comes out of it.

use super::{Answer, Life, Observation, Operation, Order, Outcome, Reported};
use crate::machine::Woken;
use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

/// A fact for the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The alarm went off.
    Woken,
    /// The FSM ordered something.
    Ordered {
        /// Grows with each order; an older one than the one in force is void.
        number: u64,
        /// The order.
        order: Order,
        /// Somebody waits for this: look more often.
        hurry: bool,
    },
    /// A look was taken.
    Observed {
        /// Which.
        number: u64,
        /// What was seen.
        observation: Box<Observation>,
    },
    /// The guard says that every process of a server is gone.
    ServerExited {
        /// Of this one.
        life: Life,
        /// The guard itself ended it, since the lease had run out.
        fenced: bool,
    },
    /// A health check came to an end.
    Probed {
        /// Which.
        number: u64,
        /// How.
        answer: Answer,
    },
    /// An operation tells how far it is.
    Progressed {
        /// Which.
        id: u64,
        /// Done, where it can be told.
        percent: Option<u8>,
        /// Details for people.
        detail: String,
    },
    /// An operation ended.
    Finished {
        /// Which.
        id: u64,
        /// How.
        outcome: Outcome,
    },
}

impl From<Woken> for Input {
    fn from(_: Woken) -> Self {
        Self::Woken
    }
}

/// An order of the adapter's machine to its hands.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Begin this; say `Progressed` now and then, and `Finished` at its end. Never two at a time.
    Begin {
        /// Its number.
        id: u64,
        /// What to do.
        operation: Operation,
    },
    /// End this operation and everything that belongs to it at once, and say `Finished` then.
    Cancel {
        /// Its number.
        id: u64,
    },
    /// Kill every process of the server, now.
    Kill,
    /// Take a look and say `Observed`. It takes the place of a look under way.
    Look {
        /// Its number.
        number: u64,
    },
    /// Ask the server how it is over a fresh connection, and say `Probed`.
    Probe {
        /// Its number.
        number: u64,
        /// The server gets this much time.
        timeout: Duration,
    },
    /// Tell the FSM.
    Report(Reported),
    /// Write one line into the log of the daemon.
    Note {
        /// How loud.
        importance: Importance,
        /// The rule behind it.
        rule: &'static str,
        /// Its reason.
        because: &'static str,
        /// What is done, or happened.
        text: String,
    },
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// It comes round again and again while all is well.
    Routine,
    /// Something changes.
    News,
    /// It surprised us, though we go on.
    Warning,
}
