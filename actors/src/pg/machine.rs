//! The adapter's machine: takes in facts, compares the order with what is observed, and begins one operation at a time.
//!
//! It believes only a look that was begun after the last thing that could have changed what there is to see: after an order, the end of an
//! operation, or the death of a server. So the loss of any message delays and never misleads: a look that is never answered is taken anew,
//! an operation of which nothing is heard is cancelled and planned again.

use super::backoff::BackOff;
use super::ladder::Ladder;
use super::plan::Rule;
use super::server::{Run, derive};
use super::{Effect, Input, Kind, Life, Observation, Operation, Order, Reported, Timing};
use crate::machine::Timestamp;
use crate::model::{Server, SystemIdentifier};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use outcomes::CANCEL_MAX;
use watching::LOOK_MAX;

mod deaths;
mod decisions;
mod orders;
mod outcomes;
mod report;
mod view;
mod watching;

#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod world;

/// The adapter's machine.
#[derive(Debug)]
pub struct Machine {
    timing: Timing,
    order: Ordered,
    /// The newest look that may be believed.
    seen: Option<Seen>,
    looking: Looking,
    /// The server that runs.
    run: Option<Run>,
    /// The last server that ended.
    last_dead: Option<Life>,
    deaths: VecDeque<Timestamp>,
    /// The server has not been of use since.
    starting_since: Option<Timestamp>,
    working: Option<Working>,
    operations: u64,
    back_off: BTreeMap<Kind, BackOff>,
    failure: Option<String>,
    /// What the database lacks for this node to lead with it, as the hands found.
    older: Option<String>,
    /// Why the server did not start the last time.
    died_of: Option<String>,
    /// No clone could be made then, for a reason that only a person can see to.
    clone_barred: Option<Timestamp>,
    ladder: Ladder,
    founded: Option<SystemIdentifier>,
    checkpointed: bool,
    /// Since when the server is cleanly stopped and the end of its log is not known.
    endless_since: Option<Timestamp>,
    /// The row that holds, and since when.
    rule: Option<(&'static Rule, Timestamp)>,
    kill_again: Timestamp,
    /// A kill was ordered since the last start: no end is a surprise.
    killed: bool,
    probe: Probing,
    reported: Option<Reported>,
}

#[derive(Debug)]
struct Ordered {
    number: u64,
    order: Order,
    hurry: bool,
}

#[derive(Debug)]
struct Seen {
    order: u64,
    number: u64,
    observation: Observation,
}

#[derive(Debug)]
struct Looking {
    /// Of the look that was begun last.
    number: u64,
    /// When it was begun and under which order; None once it is answered.
    under_way: Option<(Timestamp, u64)>,
    /// Only looks from this one on are believed.
    believed_from: u64,
    last_begun: Timestamp,
}

#[derive(Debug)]
struct Probing {
    number: u64,
    due: Timestamp,
    /// Earlier ones asked an earlier server.
    counted_from: u64,
}

#[derive(Debug)]
struct Working {
    id: u64,
    operation: Operation,
    /// When something was last heard of it.
    heard: Timestamp,
    cancelled: Option<Timestamp>,
    percent: Option<u8>,
    detail: String,
}

impl Machine {
    /// Knows nothing and is ordered to watch.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            order: Ordered { number: 0, order: Order::Watch, hurry: false },
            seen: None,
            looking: Looking { number: 0, under_way: None, believed_from: 1, last_begun: Timestamp::default() },
            run: None,
            last_dead: None,
            deaths: VecDeque::new(),
            starting_since: None,
            working: None,
            operations: 0,
            back_off: BTreeMap::new(),
            failure: None,
            older: None,
            died_of: None,
            clone_barred: None,
            ladder: Ladder::default(),
            founded: None,
            checkpointed: false,
            endless_since: None,
            rule: None,
            kill_again: Timestamp::default(),
            killed: false,
            probe: Probing { number: 0, due: Timestamp::default(), counted_from: 1 },
            reported: None,
        }
    }

    fn server(&self) -> Option<Server> {
        let starting = self.working.as_ref().map(|working| working.operation.kind());
        let seen = self.seen.as_ref()?;
        Some(derive(&seen.observation, self.run.as_ref(), starting, self.timing.health_check_failures))
    }

    /// What was seen until now may have changed: only a look begun from here on is believed.
    fn doubt(&mut self) {
        self.looking.believed_from = self.looking.number + 1;
    }

    fn is_fresh(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.number >= self.looking.believed_from)
    }
}

impl crate::machine::Machine for Machine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Woken => {}
            Input::Ordered { number, order, hurry } => self.ordered(now, Ordered { number, order, hurry }, &mut effects),
            Input::Observed { number, observation } => self.observed(now, number, *observation, &mut effects),
            Input::ServerExited { life, fenced } => self.server_exited(now, life, fenced, &mut effects),
            Input::Probed { number, answer } => self.probed(number, answer),
            Input::Progressed { id, percent, detail } => {
                if let Some(working) = self.working.as_mut().filter(|working| working.id == id) {
                    (working.heard, working.percent, working.detail) = (now, percent, detail);
                }
            }
            Input::Finished { id, outcome } => self.finished(now, id, outcome, &mut effects),
        }
        self.give_up_overdue(now, &mut effects);
        self.forget_deaths(now);
        self.climb(now);
        self.decide(now, &mut effects);
        self.time_the_start(now);
        self.time_the_end(now);
        self.look(now, &mut effects);
        let due = self.check_health(now, &mut effects);
        self.report(now, due, &mut effects);
        effects
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let look = match self.looking.under_way {
            Some((begun, _)) => begun + LOOK_MAX,
            None => self.looking.last_begun + self.pace(),
        };
        let working = self.working.as_ref().map(|working| match working.cancelled {
            Some(at) => at + CANCEL_MAX,
            None => working.heard + working.operation.kind().patience(self.timing.stop_timeout),
        });
        [Some(look), Some(self.probe.due), working].into_iter().flatten().min()
    }
}
