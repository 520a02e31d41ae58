//! The adapter's machine: takes in facts, compares the order with what is observed, and begins one operation at a time.
//!
//! It believes only a look that was begun after the last thing that could have changed what there is to see: after an order, the end of an
//! operation, or the death of a server. So the loss of any message delays and never misleads: a look that is never answered is taken anew,
//! an operation of which nothing is heard is cancelled and planned again.

use super::backoff::{BackOff, delay};
use super::ladder::Ladder;
use super::plan::{Rule, Step, Stop, Wish, plan};
use super::server::{Run, StopAsked, derive};
use super::{Answer, Kind, Life, Observation, Operation, Order, Outcome, Process, Reported, Timing, Upstream, trouble};
use crate::machine::{Timestamp, Woken};
use crate::model::{Server, SystemIdentifier};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

mod report;
mod view;

#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod world;

/// Between two looks while something is expected to happen any instant.
const LOOK_HURRIED: Duration = Duration::from_millis(20);
/// Between two looks while something is expected and takes long.
const LOOK_PATIENT: Duration = Duration::from_millis(200);
/// So long after a change it is expected any instant.
const HURRY_MAX: Duration = Duration::from_secs(10);
/// Between two looks while nothing is expected.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// A look that was not answered after this time never will be.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// Between two kills, if the first did not do.
const KILL_AGAIN: Duration = Duration::from_millis(500);
/// A cancelled operation that does not say that it ended is gone after this time.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// Deaths are counted for this long.
const DEATHS_WINDOW: Duration = Duration::from_secs(600);
/// So many deaths within the window are restarted at once; later ones more and more slowly.
const DEATHS_FREE: u32 = 2;

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
        /// It surprised us, though we go on.
        warning: bool,
        /// The rule behind it.
        rule: &'static str,
        /// Its reason.
        because: &'static str,
        /// What is done, or happened.
        text: String,
    },
}

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
    ladder: Ladder,
    founded: Option<SystemIdentifier>,
    checkpointed: bool,
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
            ladder: Ladder::default(),
            founded: None,
            checkpointed: false,
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

    fn ordered(&mut self, now: Timestamp, next: Ordered, effects: &mut Vec<Effect>) {
        if next.number < self.order.number {
            return;
        }
        let last = core::mem::replace(&mut self.order, next);
        if last.order == self.order.order {
            return;
        }
        self.doubt();
        let wish = Wish::of(&self.order.order);
        if wish != Wish::of(&last.order) {
            self.back_off.clear();
            self.failure = None;
            self.starting_since = None;
            self.checkpointed = false;
        }
        if let Order::Follow(upstream) = &self.order.order
            && self.ladder.towards(upstream)
            && let Some(run) = &mut self.run
        {
            run.stream_due = now;
        }
        if let Some(working) = &mut self.working
            && working.cancelled.is_none()
            && !serves(&working.operation, &self.order.order)
        {
            working.cancelled = Some(now);
            effects.push(Effect::Cancel { id: working.id });
        }
        if wish == Wish::Fence {
            self.kill(now, effects);
        }
    }

    fn observed(&mut self, now: Timestamp, number: u64, observation: Observation) {
        if number != self.looking.number || number < self.looking.believed_from {
            return;
        }
        let Some((_, order)) = self.looking.under_way.take() else { return };
        match observation.process {
            Process::Running { life, promoting } if self.last_dead != Some(life) => {
                if self.run.as_ref().is_some_and(|run| run.life != life) {
                    self.died(now, false);
                }
                let begun_here = matches!(self.working, Some(Working { operation: Operation::StartStandby(_), .. }));
                let probes = self.probe.number;
                let probing = &mut self.probe;
                let run = self.run.get_or_insert_with(|| {
                    probing.counted_from = probes + 1;
                    Run { began_as_standby: begun_here, ..Run::new(life, now) }
                });
                run.promoting |= promoting;
                run.came_up |= observation.sight.is_some();
                run.wrote |= observation.sight.as_ref().is_some_and(|sight| !sight.in_recovery);
            }
            Process::Unsettled => {}
            _ if self.run.is_some() => self.died(now, false),
            _ => {}
        }
        // A look that found a server dead is itself the freshest there is.
        self.looking.believed_from = self.looking.believed_from.min(number);
        self.seen = Some(Seen { order, number, observation });
    }

    /// The server that ran has ended.
    fn died(&mut self, now: Timestamp, fenced: bool) {
        let Some(run) = self.run.take() else { return };
        self.last_dead = Some(run.life);
        self.doubt();
        if !fenced && !self.killed && !run.is_ending() {
            self.count_death(now, run.came_up);
        }
    }

    fn count_death(&mut self, now: Timestamp, came_up: bool) {
        self.deaths.push_back(now);
        self.forget_deaths(now);
        if !came_up {
            self.ladder.start_failed();
        }
        for kind in [Kind::StartPrimary, Kind::StartStandby] {
            let deaths = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
            let back_off = self.back_off.entry(kind).or_default();
            if came_up {
                *back_off = BackOff { failures: 0, until: now + delay(deaths.saturating_sub(DEATHS_FREE)) };
            } else {
                back_off.failed(now);
            }
        }
    }

    fn forget_deaths(&mut self, now: Timestamp) {
        while self.deaths.front().is_some_and(|death| now.since(*death) > DEATHS_WINDOW) {
            self.deaths.pop_front();
        }
    }

    fn server_exited(&mut self, now: Timestamp, life: Life, fenced: bool, effects: &mut Vec<Effect>) {
        if self.last_dead == Some(life) {
            return;
        }
        let surprising = self.run.as_ref().is_none_or(|run| run.life == life && !run.is_ending()) && !fenced && !self.killed;
        if self.run.as_ref().is_some_and(|run| run.life == life) {
            self.died(now, fenced);
        } else if self.run.is_none() {
            // It died before it was ever seen.
            self.last_dead = Some(life);
            self.doubt();
            if surprising {
                self.count_death(now, false);
            }
        } else {
            return;
        }
        if let Some(seen) = &mut self.seen {
            seen.observation.process = Process::Gone;
            seen.observation.sight = None;
            seen.observation.end = None;
        }
        if surprising {
            effects.push(Effect::Note {
                warning: true,
                rule: "pg-death",
                because: "nobody had asked the server to end",
                text: format!("the server (process {}) died; {} deaths within ten minutes", life.0, self.deaths.len()),
            });
        }
    }

    fn probed(&mut self, number: u64, answer: Answer) {
        let counted = number >= self.probe.counted_from;
        let Some(run) = self.run.as_mut().filter(|_| counted) else { return };
        match answer {
            Answer::Silent => run.misses = run.misses.saturating_add(1),
            Answer::Served | Answer::Refused => run.misses = 0,
        }
    }

    fn finished(&mut self, now: Timestamp, id: u64, outcome: Outcome, effects: &mut Vec<Effect>) {
        let Some(working) = self.working.take_if(|working| working.id == id) else { return };
        self.doubt();
        let kind = working.operation.kind();
        if let (Outcome::Failed { reason, hopeless }, None) = (&outcome, working.cancelled) {
            self.failed(now, kind, reason, *hopeless, effects);
            return;
        }
        let done = !matches!(outcome, Outcome::Cancelled | Outcome::Failed { .. });
        if done {
            self.done(now, working.operation, outcome);
        }
    }

    fn done(&mut self, now: Timestamp, operation: Operation, outcome: Outcome) {
        let kind = operation.kind();
        self.failure = None;
        // Neither has succeeded before the node is seen streaming: until then, each try comes later than the one before.
        if matches!(kind, Kind::Rewind | Kind::Clone) {
            self.back_off.entry(kind).or_default().failed(now);
        } else if !matches!(kind, Kind::StartPrimary | Kind::StartStandby) {
            self.back_off.remove(&kind);
        }
        match (operation, outcome) {
            (Operation::InitDb | Operation::Adopt, Outcome::Founded(identifier)) => self.founded = Some(identifier),
            (Operation::StartPrimary(_), Outcome::Started(life)) => self.started(now, life, None, false),
            (Operation::StartStandby(upstream), Outcome::Started(life)) => self.started(now, life, upstream.as_ref(), true),
            (Operation::Aim(upstream), _) => {
                if let Some(run) = &mut self.run {
                    run.aimed = Some(upstream.database);
                    run.stream_due = now;
                }
            }
            (Operation::Tend, _) => self.tended(now),
            (Operation::Checkpoint, _) => self.checkpointed = true,
            (Operation::Compare(_), Outcome::Compared(fork)) => self.ladder.compared(now, fork),
            (Operation::Preserve(_), _) => self.ladder.preserved(),
            (Operation::Rewind(_), _) => self.ladder.rewound(now),
            (Operation::Clone(_), _) => self.ladder.cloned(now),
            _ => {}
        }
    }

    fn started(&mut self, now: Timestamp, life: Life, upstream: Option<&Upstream>, as_standby: bool) {
        if self.last_dead == Some(life) {
            return;
        }
        if self.run.as_ref().is_none_or(|run| run.life != life) {
            self.probe.counted_from = self.probe.number + 1;
            self.run = Some(Run::new(life, now));
        }
        if let Some(run) = &mut self.run {
            run.began_as_standby = as_standby;
            run.aimed = upstream.map(|upstream| upstream.database.clone());
            run.stream_due = now;
        }
    }

    fn tended(&mut self, now: Timestamp) {
        let primary = self.server() == Some(Server::Primary);
        if let Some(run) = &mut self.run {
            run.tended = Some((now, primary));
        }
    }

    fn failed(&mut self, now: Timestamp, kind: Kind, reason: &str, hopeless: bool, effects: &mut Vec<Effect>) {
        let back_off = self.back_off.entry(kind).or_default();
        back_off.failed(now);
        let wait = back_off.until.since(now).as_secs();
        match kind {
            Kind::Checkpoint => self.checkpointed = true,
            Kind::Rewind => self.ladder.rewind_failed(hopeless),
            Kind::StopFast | Kind::StopImmediately => {
                if let Some(stop) = self.run.as_mut().and_then(|run| run.stop.as_mut()) {
                    stop.told = false;
                }
            }
            // The slots are looked after again at their time; nothing else waits for them.
            Kind::Tend => self.tended(now),
            _ => {}
        }
        if kind != Kind::Tend {
            self.failure = Some(format!("{}: {reason}", kind.name()));
        }
        effects.push(Effect::Note {
            warning: true,
            rule: self.rule.map_or("pg-watch", |(rule, _)| rule.id),
            because: self.rule.map_or("", |(rule, _)| rule.because),
            text: format!("{} failed: {reason}; next try in {wait} s at the earliest", kind.name()),
        });
    }

    /// An operation of which nothing is heard has failed, whatever it does.
    fn give_up_overdue(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(working) = &mut self.working else { return };
        let kind = working.operation.kind();
        let patience = kind.patience(self.timing.stop_timeout);
        match working.cancelled {
            Some(at) if now.since(at) >= CANCEL_MAX => {
                self.working = None;
                self.doubt();
            }
            None if now.since(working.heard) >= patience => {
                working.cancelled = Some(now);
                effects.push(Effect::Cancel { id: working.id });
                let reason = format!("nothing was heard of it for {} s, so it is given up", patience.as_secs());
                self.failed(now, kind, &reason, false, effects);
            }
            _ => {}
        }
    }

    fn decide(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(view) = self.view(now) else { return };
        let rule = plan(&view);
        // A kill waits for nothing; everything else waits for the operation under way, and for a look that may be believed.
        if rule.then != Step::Kill && (self.working.is_some() || !self.is_fresh()) {
            return;
        }
        let is_new = self.rule.is_none_or(|(last, _)| last.id != rule.id);
        if is_new {
            self.rule = Some((rule, now));
        }
        match rule.then {
            Step::Rest | Step::Wait => {
                if rule.then == Step::Rest {
                    // Whatever was in the way, all is as it should be.
                    self.failure = None;
                }
                if is_new {
                    effects.push(note(rule, false, if rule.then == Step::Rest { "rests".to_string() } else { "waits".to_string() }));
                }
            }
            Step::Refuse(trouble) => {
                if is_new && let Some(seen) = &self.seen {
                    effects.push(note(rule, true, trouble::text(trouble, &self.order.order, &seen.observation)));
                }
            }
            Step::Kill => {
                if now >= self.kill_again {
                    effects.push(note(rule, true, "kills every process of the server".to_string()));
                    if let Some(working) = self.working.as_mut().filter(|working| working.cancelled.is_none()) {
                        working.cancelled = Some(now);
                        effects.push(Effect::Cancel { id: working.id });
                    }
                    self.kill(now, effects);
                }
            }
            Step::Begin(kind) => self.begin(now, kind, rule, effects),
        }
    }

    fn kill(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::Kill);
        self.kill_again = now + KILL_AGAIN;
        self.killed = true;
        if let Some(run) = &mut self.run {
            run.killed = true;
        }
    }

    fn begin(&mut self, now: Timestamp, kind: Kind, rule: &'static Rule, effects: &mut Vec<Effect>) {
        if self.back_off.get(&kind).is_some_and(|back_off| now < back_off.until) {
            return;
        }
        let Some(operation) = self.operation(kind) else { return };
        match kind {
            Kind::Promote => {
                if let Some(run) = &mut self.run {
                    run.promoting = true;
                }
            }
            Kind::StopFast | Kind::StopImmediately => {
                if let Some(run) = &mut self.run {
                    let at = run.stop.map_or(now, |stop| stop.at);
                    run.stop = Some(StopAsked { at, told: true, immediate: kind == Kind::StopImmediately });
                }
            }
            Kind::StartPrimary | Kind::StartStandby => self.killed = false,
            _ => {}
        }
        self.operations += 1;
        let id = self.operations;
        effects.push(note(rule, false, format!("begins: {}", kind.name())));
        effects.push(Effect::Begin { id, operation: operation.clone() });
        self.working = Some(Working { id, operation, heard: now, cancelled: None, percent: None, detail: String::new() });
        self.doubt();
    }

    /// The operation of that kind which serves the order; None if the order says nothing that it could serve.
    fn operation(&self, kind: Kind) -> Option<Operation> {
        let upstream = if let Order::Follow(upstream) = &self.order.order { Some(upstream.clone()) } else { None };
        let epoch = if let Order::Lead { epoch } = self.order.order { Some(epoch) } else { None };
        Some(match kind {
            Kind::InitDb => Operation::InitDb,
            Kind::Adopt => Operation::Adopt,
            Kind::StartPrimary => Operation::StartPrimary(epoch?),
            Kind::StartStandby => Operation::StartStandby(upstream),
            Kind::Promote => Operation::Promote(epoch?),
            Kind::Aim => Operation::Aim(upstream?),
            Kind::Tend => Operation::Tend,
            Kind::Checkpoint => Operation::Checkpoint,
            Kind::StopFast => Operation::StopFast,
            Kind::StopImmediately => Operation::StopImmediately,
            Kind::Compare => Operation::Compare(upstream?),
            Kind::Preserve => Operation::Preserve(upstream?),
            Kind::Rewind => Operation::Rewind(upstream?),
            Kind::Clone => Operation::Clone(upstream?),
        })
    }

    /// How long after the last look the next one is due.
    fn pace(&self) -> Duration {
        let brief = self.working.as_ref().is_some_and(|working| working.cancelled.is_some() || is_brief(working.operation.kind()));
        let waiting = self.rule.filter(|(rule, _)| matches!(rule.then, Step::Wait | Step::Kill));
        match waiting {
            _ if self.order.hurry => LOOK_HURRIED,
            _ if brief => LOOK_HURRIED,
            _ if self.working.is_some() => LOOK_IDLE,
            Some((_, since)) if self.looking.last_begun.since(since) < HURRY_MAX => LOOK_HURRIED,
            Some(_) => LOOK_PATIENT,
            None => LOOK_IDLE,
        }
    }

    fn look_due(&self, now: Timestamp) -> Timestamp {
        if !self.is_looking_fresh() && !self.is_fresh() || self.order_unseen() {
            return now;
        }
        match self.looking.under_way {
            Some((begun, _)) => begun + LOOK_MAX,
            None => self.looking.last_begun + self.pace(),
        }
    }

    /// A look that will be believed is under way.
    fn is_looking_fresh(&self) -> bool {
        self.looking.under_way.is_some() && self.looking.number >= self.looking.believed_from
    }

    /// Neither a look that was taken nor one under way was begun under the order in force.
    fn order_unseen(&self) -> bool {
        let newest = self.looking.under_way.map(|(_, order)| order).or(self.seen.as_ref().map(|seen| seen.order));
        newest != Some(self.order.number)
    }

    fn look(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if now < self.look_due(now) {
            return;
        }
        self.looking.number += 1;
        self.looking.under_way = Some((now, self.order.number));
        self.looking.last_begun = now;
        effects.push(Effect::Look { number: self.looking.number });
    }

    /// A new health check begins at each interval, whether the last one has come to its end or not. True: the interval is over.
    fn check_health(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        if now < self.probe.due {
            return false;
        }
        self.probe.due = now + self.timing.health_check_interval;
        if self.run.is_some() {
            self.probe.number += 1;
            effects.push(Effect::Probe { number: self.probe.number, timeout: self.timing.health_check_timeout });
        }
        true
    }

    /// Keeps the account of how long the server has been on its way up.
    fn time_the_start(&mut self, now: Timestamp) {
        let on_its_way = match self.server() {
            Some(Server::StartingStandby | Server::StartingPrimary) => true,
            // Between two tries it is still the same attempt to come up.
            Some(Server::Stopped) => self.starting_since.is_some(),
            _ => false,
        };
        if !on_its_way {
            self.starting_since = None;
        } else if self.starting_since.is_none() {
            self.starting_since = Some(now);
        }
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
            Input::Observed { number, observation } => self.observed(now, number, *observation),
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

fn note(rule: &'static Rule, warning: bool, text: String) -> Effect {
    Effect::Note { warning, rule: rule.id, because: rule.because, text }
}

/// Whether its effect on the server is to be seen within moments.
const fn is_brief(kind: Kind) -> bool {
    matches!(kind, Kind::StartPrimary | Kind::StartStandby | Kind::Promote | Kind::StopFast | Kind::StopImmediately)
}

/// Whether an operation under way still serves the order.
fn serves(operation: &Operation, order: &Order) -> bool {
    let same_upstream = |upstream: &Upstream| matches!(order, Order::Follow(wanted) if wanted.database == upstream.database && wanted.epoch == upstream.epoch && wanted.promotion.is_some());
    match operation {
        Operation::InitDb | Operation::Adopt => *order == Order::Found,
        Operation::StartPrimary(epoch) | Operation::Promote(epoch) => *order == Order::Lead { epoch: *epoch },
        Operation::Checkpoint => *order == Order::StepDown,
        Operation::Compare(upstream) | Operation::Preserve(upstream) | Operation::Clone(upstream) => same_upstream(upstream),
        // Broken off in the middle it leaves nothing but a clone to do.
        Operation::Rewind(_) => matches!(order, Order::Follow(_) | Order::Watch | Order::StandAlone),
        Operation::StartStandby(_) | Operation::Aim(_) | Operation::Tend => *order != Order::Fence,
        Operation::StopFast | Operation::StopImmediately => true,
    }
}
