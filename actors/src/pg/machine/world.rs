//! A small world for the transcripts: one data directory, one server, one upstream, and hands that do what they are told, late, and at
//! times without telling.

use super::*;
use crate::machine::Machine as _;
use crate::model::{Condition, Directory, Endpoint, Epoch, Lsn, NodeId, Position, Promotion, Timeline};
use crate::pg::classify::LastWords;
use crate::pg::{
    Answer, Budget, Control, Fork, Hold, Importance, Leftover, Outcome, Outlook, Phase, Process, Sight, Stream, Upkeep, Upstream,
};
use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

pub(super) const OURS: SystemIdentifier = SystemIdentifier(7001);
pub(super) const ANOTHER: SystemIdentifier = SystemIdentifier(9999);

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

pub(super) fn upstream(promoted: bool) -> Upstream {
    Upstream {
        node: NodeId(2),
        epoch: Epoch(2),
        database: Endpoint { host: "two".into(), port: 5432 },
        system_identifier: OURS,
        promotion: promoted.then_some(Promotion { timeline: Timeline(2), lsn: Lsn(0x5000), mark: None }),
    }
}

/// What the fake hands find and change.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) directory: Directory,
    pub(super) phase: Phase,
    pub(super) standby_signal: bool,
    pub(super) server: Option<Fake>,
    pub(super) stranger: Option<u32>,
    pub(super) orphaned: bool,
    /// The guard does not answer.
    pub(super) silent: bool,
    /// How this directory relates to the upstream.
    pub(super) fork: Fork,
    pub(super) wal_removed: bool,
    /// After the comparison the upstream before is heard of once more.
    pub(super) receives_on: bool,
    pub(super) upstream_up: bool,
    pub(super) rewind_works: bool,
    /// The upstream can be asked, and the comparison fails.
    pub(super) comparable: bool,
    /// What diverged can be kept.
    pub(super) keepable: bool,
    /// It ends before it must.
    pub(super) older: bool,
    /// The server dies while it starts.
    pub(super) dies: bool,
    /// What the server's log says of that.
    pub(super) last_words: Option<LastWords>,
    /// A client has put hints into the server's log.
    pub(super) planted: bool,
    /// The primary refuses the login.
    pub(super) refused: bool,
    /// There is no room for a copy.
    pub(super) no_room: bool,
    /// So many copies are broken off.
    pub(super) broken_copies: u32,
    pub(super) clones: Budget,
    /// Who is left once the server has shut down, and does not go by itself.
    pub(super) leftover: Option<Leftover>,
    pub(super) chosen: bool,
    pub(super) hold: Option<Hold>,
    pub(super) replayed: Option<Lsn>,
    /// The running standby cannot be told to follow another upstream.
    pub(super) unaimable: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) upkeep: Upkeep,
    /// The running server cannot start a receiver any more.
    pub(super) outdated: bool,
    /// The server does not obey a fast stop.
    pub(super) obstinate: bool,
    /// The end of the log cannot be read.
    pub(super) unreadable: bool,
    /// The server lets nobody in.
    pub(super) closed: bool,
    /// The server does not answer.
    pub(super) frozen: bool,
    /// What the server's log says of a process that ended.
    pub(super) crash: Option<String>,
    /// How long a start takes.
    pub(super) start: u64,
    /// How long it takes to look after the slots.
    pub(super) slots_take: u64,
    pub(super) next_life: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) life: Life,
    primary: bool,
    up_at: Timestamp,
    recovers: bool,
    checkpointer: u32,
    pub(super) follows: Option<Endpoint>,
}

impl World {
    pub(super) fn empty() -> Self {
        Self {
            directory: Directory::Empty,
            phase: Phase::Recovery,
            standby_signal: false,
            server: None,
            stranger: None,
            orphaned: false,
            silent: false,
            fork: Fork::Prefix,
            wal_removed: false,
            receives_on: false,
            upstream_up: true,
            rewind_works: true,
            comparable: true,
            keepable: true,
            older: false,
            dies: false,
            last_words: None,
            planted: false,
            refused: false,
            no_room: false,
            broken_copies: 0,
            clones: Budget::default(),
            leftover: None,
            chosen: false,
            hold: None,
            replayed: None,
            unaimable: false,
            conditions: Vec::new(),
            upkeep: Upkeep::Nothing,
            outdated: false,
            obstinate: false,
            unreadable: false,
            closed: false,
            frozen: false,
            crash: None,
            start: 300,
            slots_take: 10,
            next_life: 100,
        }
    }

    fn database() -> Directory {
        Directory::Database { system_identifier: OURS, timeline: Timeline(1) }
    }

    pub(super) fn stopped_primary() -> Self {
        Self { directory: Self::database(), phase: Phase::ShutDown, ..Self::empty() }
    }

    pub(super) fn stopped_standby() -> Self {
        Self { directory: Self::database(), phase: Phase::Recovery, standby_signal: true, ..Self::empty() }
    }

    pub(super) fn running_primary() -> Self {
        let mut world = Self { phase: Phase::Production, ..Self::stopped_primary() };
        world.launch(at(0), true, None, 0);
        world
    }

    pub(super) fn running_standby() -> Self {
        let mut world = Self::stopped_standby();
        world.launch(at(0), false, None, 0);
        world
    }

    pub(super) fn is_writable(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.primary)
    }

    fn launch(&mut self, now: Timestamp, primary: bool, follows: Option<Endpoint>, after: u64) -> Life {
        self.next_life += 1;
        let life = Life(self.next_life);
        self.standby_signal = !primary;
        if primary {
            self.phase = Phase::Production;
        }
        let up_at = now + Duration::from_millis(after);
        self.server = Some(Fake { life, primary, up_at, recovers: false, checkpointer: life.0 + 1000, follows });
        life
    }

    fn see(&self, now: Timestamp) -> Observation {
        let position = Position { timeline: Timeline(1), lsn: Lsn(0x4000) };
        let up = self.server.as_ref().filter(|server| now >= server.up_at && !self.frozen);
        let follows = up.and_then(|server| server.follows.clone());
        let hint = follows.is_some() && (self.fork == Fork::Diverged || self.wal_removed);
        let stream = follows
            .filter(|_| !self.closed && self.upstream_up && !self.outdated && !hint)
            .map(|from| Stream { timeline: Timeline(2), from: Some(from) });
        let in_recovery = !self.is_writable();
        let lineage = if in_recovery { Vec::new() } else { vec![Promotion { timeline: Timeline(1), lsn: Lsn(0), mark: None }] };
        Observation {
            directory: self.directory.clone(),
            control: matches!(self.directory, Directory::Database { .. }).then_some(Control { timeline: Timeline(1), phase: self.phase }),
            standby_signal: self.standby_signal,
            process: match &self.server {
                _ if self.orphaned => Process::Orphaned,
                Some(_) if self.silent => Process::Silent,
                Some(server) => Process::Running { life: server.life, promoting: false },
                None => self.stranger.map_or(Process::Gone, |pid| Process::Stranger { pid }),
            },
            sight: up.map(|_| Sight {
                open: !self.closed,
                in_recovery,
                position,
                replayed: self.replayed,
                hold: self.hold,
                stream: stream.clone(),
                lineage: lineage.clone(),
                checkpointer: self.server.as_ref().map(|server| server.checkpointer),
            }),
            turned_away: up.is_none() && !self.frozen && self.server.as_ref().is_some_and(|server| server.recovers),
            crash: self.crash.clone(),
            end: (self.server.is_none() && !self.unreadable).then_some(position),
            hint: stream.is_none() && (hint || self.planted),
            last_words: self.last_words.clone().filter(|_| self.server.is_none()),
            clones: self.clones.clone(),
            chosen: self.chosen,
            leftover: self.leftover.clone().filter(|_| self.server.is_some() && self.phase == Phase::ShutDown),
            conditions: self.conditions.clone(),
            upkeep: self.upkeep,
        }
    }

    /// Carries out what an operation does to the world at its end.
    fn carry_out(&mut self, now: Timestamp, operation: &Operation) -> Outcome {
        match operation {
            Operation::InitDb => {
                (self.directory, self.phase, self.standby_signal) = (Self::database(), Phase::ShutDown, false);
                Outcome::Founded(OURS)
            }
            Operation::Adopt => Outcome::Founded(OURS),
            Operation::StartPrimary(..) | Operation::Promote(..) if self.older => Outcome::Older("it ends at 0/1000".into()),
            Operation::StartPrimary(..) => Outcome::Started(self.launch(now, true, None, self.start)),
            Operation::StartStandby(upstream) => {
                if self.outdated {
                    (self.outdated, self.upkeep) = (false, Upkeep::Nothing);
                }
                let follows = upstream.as_ref().map(|upstream| upstream.database.clone());
                (self.hold, self.unaimable) = (None, false);
                Outcome::Started(self.launch(now, false, follows, self.start))
            }
            Operation::Promote(..) => {
                if let Some(server) = &mut self.server {
                    server.primary = true;
                    (self.phase, self.standby_signal) = (Phase::Production, false);
                }
                Outcome::Done
            }
            Operation::Aim(_) if !self.upstream_up => {
                if let Some(server) = &mut self.server {
                    server.follows = None;
                }
                failed("two:5432 cannot be reached", Outlook::Waiting)
            }
            Operation::Aim(_) if self.unaimable => failed("it still receives from its upstream before", Outlook::Hopeless),
            Operation::ClearReplay => {
                self.hold = None;
                Outcome::Done
            }
            Operation::Aim(_) if self.receives_on => {
                self.fork = Fork::Twin;
                Outcome::Compared(self.fork)
            }
            Operation::Aim(upstream) => {
                if let Some(server) = &mut self.server {
                    server.follows = Some(upstream.database.clone());
                }
                Outcome::Done
            }
            Operation::Preserve(_) if !self.keepable => failed("the disk is full", Outlook::Open),
            Operation::Configure(_) => {
                self.upkeep = Upkeep::Nothing;
                Outcome::Done
            }
            Operation::Tend | Operation::Checkpoint | Operation::Preserve(_) | Operation::StopFast | Operation::StopImmediately => {
                Outcome::Done
            }
            Operation::Compare(_) if !self.upstream_up => failed("two:5432 cannot be reached", Outlook::Waiting),
            Operation::Compare(_) if self.refused => failed("two:5432 refused to accept a connection (SQLSTATE 28P01)", Outlook::Barred),
            Operation::Compare(_) if !self.comparable => failed("the history of timeline 2 is missing", Outlook::Hopeless),
            Operation::Compare(_) if self.wal_removed && self.fork == Fork::Prefix => Outcome::Compared(Fork::Removed),
            Operation::Compare(_) => Outcome::Compared(self.fork),
            Operation::Rewind(_) if !self.rewind_works => failed("a file is missing", Outlook::Hopeless),
            Operation::Rewind(_) => {
                self.fork = Fork::Prefix;
                Outcome::Done
            }
            Operation::Clone(..) if self.no_room => failed("there is no room", Outlook::Barred),
            Operation::Clone(_, mend) => {
                self.clones.spend(now.as_micros() / 1000, mend).expect("it is asked before");
                if self.broken_copies > 0 {
                    self.broken_copies -= 1;
                    return failed("pg_basebackup failed", Outlook::Open);
                }
                self.clones.is_whole(mend);
                (self.directory, self.phase, self.standby_signal) = (Self::database(), Phase::Production, true);
                (self.fork, self.wal_removed, self.comparable) = (Fork::Prefix, false, true);
                Outcome::Done
            }
        }
    }
}

fn failed(reason: &str, outlook: Outlook) -> Outcome {
    Outcome::Failed { reason: reason.into(), outlook }
}

#[derive(Clone, Debug)]
enum Event {
    Tell(Input),
    End { id: u64, operation: Operation },
    Exit { life: Life },
}

/// The machine in its world.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) world: World,
    pub(super) now: Timestamp,
    /// What was begun, and `kill`.
    pub(super) done: Vec<String>,
    pub(super) reports: Vec<(Timestamp, Reported)>,
    /// What the log says to everybody.
    pub(super) news: Vec<String>,
    /// The message of this number, counted over `Observed` and `Finished`, is lost.
    pub(super) lose: Option<usize>,
    pub(super) told: usize,
    events: Vec<(Timestamp, Event)>,
    number: u64,
    tending: bool,
}

impl Bench {
    pub(super) fn new(world: World) -> Self {
        let mut bench = Self {
            machine: Machine::new(Timing::default()),
            world,
            now: at(1000),
            done: Vec::new(),
            reports: Vec::new(),
            news: Vec::new(),
            lose: None,
            told: 0,
            events: Vec::new(),
            number: 0,
            tending: false,
        };
        bench.step(Input::Woken);
        bench
    }

    /// Gives an order and lets some time pass.
    pub(super) fn order(&mut self, order: Order, millis: u64) -> &mut Self {
        self.number += 1;
        self.step(Input::Ordered { number: self.number, order, hurry: false });
        self.pass(millis)
    }

    pub(super) fn pass(&mut self, millis: u64) -> &mut Self {
        let end = self.now + Duration::from_millis(millis);
        let mut idle = 0;
        loop {
            let event = self.events.iter().map(|(at, _)| *at).min();
            let next = [event, self.machine.wake_at()].into_iter().flatten().min().unwrap_or(end).max(self.now);
            if next > end {
                break;
            }
            idle = if next > self.now || event == Some(next) { 0 } else { idle + 1 };
            assert!(idle < 10, "the machine spins at {next:?}: {:#?}", self.machine);
            self.now = next;
            if event == Some(next) {
                let index = self.events.iter().position(|(at, _)| *at == next).expect("it was found a moment ago");
                let (_, event) = self.events.remove(index);
                self.happen(event);
            } else {
                self.step(Input::Woken);
            }
            assert!(
                !self.world.is_writable() || !matches!(self.machine.order.order, Order::Found),
                "a server accepts writes while the database is founded"
            );
        }
        self.now = end;
        self
    }

    /// The server dies by itself.
    pub(super) fn crash(&mut self) -> &mut Self {
        let life = self.world.server.take().expect("a server runs").life;
        self.happen(Event::Tell(Input::ServerExited { life, fenced: false }));
        self
    }

    /// A process of the server is killed: the server takes so long to recover in place.
    pub(super) fn kill_a_backend(&mut self, millis: u64) -> &mut Self {
        let server = self.world.server.as_mut().expect("a server runs");
        (server.recovers, server.up_at) = (true, self.now + Duration::from_millis(millis));
        server.checkpointer += 1;
        self
    }

    pub(super) fn last(&self) -> &Reported {
        &self.reports.last().expect("something was reported").1
    }

    pub(super) fn server(&self) -> Server {
        self.last().database.server
    }

    /// What was done since the last time this was asked, without the looking after slots.
    pub(super) fn transcript(&mut self) -> Vec<String> {
        core::mem::take(&mut self.done).into_iter().filter(|line| line != "tend slots").collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tell(input) => {
                if matches!(input, Input::Observed { .. } | Input::Finished { .. }) {
                    self.told += 1;
                    if self.lose == Some(self.told - 1) {
                        return;
                    }
                }
                self.step(input);
            }
            Event::End { id, operation } => {
                let outcome = self.world.carry_out(self.now, &operation);
                match operation {
                    Operation::StopFast if !self.world.obstinate && !self.world.frozen => self.end_server(100),
                    Operation::StopImmediately if !self.world.frozen => self.end_server(10),
                    Operation::StartPrimary(..) | Operation::StartStandby(_) if self.world.dies => self.end_server(50),
                    _ => {}
                }
                self.happen(Event::Tell(Input::Finished { id, outcome }));
            }
            Event::Exit { life } => {
                if self.world.server.as_ref().is_some_and(|server| server.life == life) {
                    if self.world.phase == Phase::Production && !self.world.dies {
                        self.world.phase = Phase::ShutDown;
                    }
                    self.world.server = None;
                    self.happen(Event::Tell(Input::ServerExited { life, fenced: false }));
                }
            }
        }
    }

    fn end_server(&mut self, after: u64) {
        if let Some(server) = &self.world.server {
            self.events.push((self.now + Duration::from_millis(after), Event::Exit { life: server.life }));
        }
    }

    fn after(&mut self, millis: u64, input: Input) {
        self.events.push((self.now + Duration::from_millis(millis), Event::Tell(input)));
    }

    pub(super) fn step(&mut self, input: Input) {
        for effect in self.machine.step(self.now, input) {
            match effect {
                Effect::Look { number } => {
                    let observation = Box::new(self.world.see(self.now));
                    self.after(3, Input::Observed { number, observation });
                }
                Effect::Probe { number, timeout } => {
                    let up = self.world.server.as_ref().is_some_and(|server| self.now >= server.up_at && !self.world.closed);
                    let silent = u64::try_from(timeout.as_millis()).expect("a short time");
                    match (up, self.world.frozen) {
                        (true, false) => self.after(1, Input::Probed { number, answer: Answer::Served }),
                        (false, false) => self.after(1, Input::Probed { number, answer: Answer::Refused }),
                        (_, true) => self.after(silent, Input::Probed { number, answer: Answer::Silent }),
                    }
                }
                Effect::Begin { id, operation } => {
                    assert!(!self.tending || !self.has_operation(), "two operations at once");
                    self.done.push(operation.kind().name().into());
                    let takes = match operation.kind() {
                        Kind::Clone | Kind::Rewind | Kind::InitDb => 5000,
                        Kind::Checkpoint => 1000,
                        Kind::Tend => self.world.slots_take,
                        _ => 10,
                    };
                    self.tending = true;
                    self.events.push((self.now + Duration::from_millis(takes), Event::End { id, operation }));
                }
                Effect::Cancel { id } => {
                    self.done.push("cancel".into());
                    self.events.retain(|(_, event)| !matches!(event, Event::End { id: other, .. } if *other == id));
                    self.after(1, Input::Finished { id, outcome: Outcome::Cancelled });
                }
                Effect::Kill => {
                    self.done.push("kill".into());
                    self.world.orphaned = false;
                    self.end_server(1);
                }
                Effect::Report(report) => self.reports.push((self.now, report)),
                Effect::Note { importance: Importance::Routine, .. } => {}
                Effect::Note { text, .. } => self.news.push(text),
            }
        }
    }

    fn has_operation(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::End { .. }))
    }
}

pub(super) fn lead() -> Order {
    Order::Lead { epoch: Epoch(1), system_identifier: OURS, least: None }
}

pub(super) fn follow() -> Order {
    Order::Follow(upstream(true))
}

pub(super) fn nothing() -> Vec<String> {
    vec![]
}
