//! The Raft machine: one step at a time, from a fact to what is to be done about it.
//!
//! ```text
//!   Ordered  (our FSM)   --> orders ---+
//!   Heard    (a peer)    --> hear -----+--> raft-rs --> ready --> Persist, Send, Tell
//!   Persisted (our disk) --> disk -----+        ^
//!   Woken    (the clock) --> duties ---+--------+
//! ```
//!
//! A node is *empty* until it prepares to be born or to join, *prepared* until it is, and then it runs a replica of the log. A replica that
//! leads keeps a *tenure*: everything that S4 and S5 ask of a leader in one term. Nothing here waits: what needs the disk is held back until
//! `Persisted` comes, and a disk that does not answer costs a leader its leadership, never its time.

mod duties;
mod found;
mod hear;
mod lease;
mod orders;
mod ready;
mod rejoin;
mod replica;
mod tenure;

use super::disk::{Disk, Durable};
use super::draw::Draw;
use super::log::Unusable;
use super::notes::Notes;
use super::peers::Peers;
use super::testimony::Memory;
use super::{Batch, Config, Effect, Fact, Identity, Input, Leadership, Stored};
use crate::machine::Timestamp;
use crate::model::{ClusterState, Member};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use replica::Replica;

/// After a pause, Raft's clock catches up by no more than so many ticks: what a sleeper missed it must not hold against its leader.
const CATCH_UP_MAX: u32 = 3;

/// The pure half of the RaftActor.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    draw: Draw,
    stage: Stage,
    /// What this node becomes when that batch is durable.
    becoming: Option<Becoming>,
    disk: Disk,
    peers: Peers,
    /// Of the rounds that this process has answered. It belongs to the host, not to the log: it outlives a change of the Raft id.
    memory: Memory,
    next_tick: Timestamp,
    /// So many ticks from the next one on only count: nobody is woken for them.
    idle_ticks: u32,
    introduce_at: Timestamp,
    join_at: Timestamp,
    alarm: Timestamp,
    /// To whom links were ordered.
    linked: Option<Vec<Member>>,
    told_index: u64,
    told_leadership: Option<Leadership>,
    ignored: Vec<String>,
    notes: Notes,
    halted: bool,
    out: Vec<Effect>,
}

/// How far this node is.
#[derive(Debug)]
enum Stage {
    Empty,
    Prepared(Identity),
    Running(Box<Replica>),
}

#[derive(Debug)]
struct Becoming {
    number: u64,
    stored: Stored,
}

impl Machine {
    /// Takes up where the store left off.
    ///
    /// # Errors
    /// If the configuration has faults, or if what is stored is no log of this node that it could go on with.
    pub fn new(config: Config, stored: &Stored, now: Timestamp) -> Result<Self, Unusable> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(Unusable::Config(faults));
        }
        let last_index = stored.entries.last().map(|entry| entry.index).or(stored.snapshot.as_ref().map(|image| image.index));
        let durable = Durable { term: stored.hard_state.term, last_index: last_index.unwrap_or(0) };
        Ok(Self {
            draw: Draw::new(config.seed),
            stage: Stage::of(&config, stored)?,
            becoming: None,
            disk: Disk::holding(durable),
            peers: Peers::default(),
            memory: Memory::new(now),
            next_tick: now,
            idle_ticks: 0,
            introduce_at: now,
            join_at: now,
            alarm: now,
            linked: None,
            told_index: 0,
            told_leadership: None,
            ignored: Vec::new(),
            notes: Notes::default(),
            halted: false,
            out: Vec::new(),
            config,
        })
    }

    fn state(&self) -> Option<&ClusterState> {
        match &self.stage {
            Stage::Running(replica) => replica.state(),
            _ => None,
        }
    }

    /// The Raft ids that vote, as this node has applied them: those of now, and, in the middle of a change, those of before it. A majority
    /// of both is needed.
    #[must_use]
    pub fn voters(&self) -> [Vec<u64>; 2] {
        match &self.stage {
            Stage::Running(replica) => {
                replica.image().map(|image| [image.voters.clone(), image.voters_outgoing.clone()]).unwrap_or_default()
            }
            _ => Default::default(),
        }
    }

    fn persisted(&mut self, now: Timestamp, number: u64) {
        for settled in self.disk.settle(number) {
            if let Stage::Running(replica) = &mut self.stage {
                replica.settle(&settled);
            }
            for message in settled.promises {
                self.post(now, &message);
            }
        }
        if self.becoming.as_ref().is_some_and(|becoming| becoming.number <= number)
            && let Some(becoming) = self.becoming.take()
        {
            match Stage::of(&self.config, &becoming.stored) {
                Ok(stage) => self.stage = stage,
                Err(unusable) => self.halt(alloc::format!("the log that was just begun cannot be used: {unusable}")),
            }
            self.introduce_at = now;
        }
    }

    /// The ticks that were slept through are counted before what came later is taken in, so that Raft sees what it would have seen awake.
    /// Answers whether there were any: heartbeats that come again and again just before the alarm must not keep the duties waiting for ever.
    fn count_idle_ticks(&mut self, now: Timestamp) -> bool {
        let Stage::Running(replica) = &mut self.stage else { return false };
        let before = self.idle_ticks;
        while self.idle_ticks > 0 && self.next_tick <= now {
            self.idle_ticks -= 1;
            self.next_tick = self.next_tick + self.config.tick;
            let acted = replica.raw.tick();
            debug_assert!(!acted, "a tick that was slept through had something to do");
        }
        self.idle_ticks < before
    }

    /// How many ticks may be slept through: while all is settled, until Raft has something to do again, and never for longer than a
    /// heartbeat, because other duties are looked after at ticks, too.
    fn idle_ticks(&self, now: Timestamp) -> u32 {
        let Stage::Running(replica) = &self.stage else { return 0 };
        let settled = match &replica.tenure {
            Some(tenure) => tenure.leaving.is_none() && now.since(tenure.since) > self.config.lease.wait(),
            None => self.leader().is_some(),
        };
        if !settled || !replica.identity.born || !self.disk.is_idle() {
            return 0;
        }
        u32::try_from(replica.idle_ticks().min(self.config.heartbeat_ticks())).unwrap_or(0)
    }

    /// Raft's clock.
    fn tick(&mut self, now: Timestamp, counted: bool) {
        let mut ticks = 0;
        while self.next_tick <= now && ticks < CATCH_UP_MAX {
            self.next_tick = self.next_tick + self.config.tick;
            ticks += 1;
        }
        if self.next_tick <= now {
            self.next_tick = now + self.config.tick;
        }
        if ticks == 0 && !counted {
            return;
        }
        if let Stage::Running(replica) = &mut self.stage
            && (replica.leads() || replica.may_stand(&self.disk))
        {
            for _ in 0..ticks {
                replica.raw.tick();
            }
        }
        self.duties(now);
    }

    /// Tells what has changed. Whoever may not decide hears that before the state, which after a restart may be older than the one that was told
    /// before; whoever may hears it after the state, so that it decides on all that is committed.
    fn tell(&mut self, now: Timestamp) {
        let leadership = self.leadership(now);
        if !leadership.ready {
            self.tell_leadership(leadership);
        }
        if let Stage::Running(replica) = &self.stage
            && let Some(image) = replica.image()
            && image.index != self.told_index
        {
            self.told_index = image.index;
            let ignored = mem::take(&mut self.ignored);
            let ignored = (!ignored.is_empty()).then(|| ignored.join("; "));
            self.out.push(Effect::Tell(Fact::Committed { index: image.index, state: Box::new(image.state.clone()), ignored }));
        }
        self.link();
        self.tell_leadership(leadership);
        self.idle_ticks = self.idle_ticks(now);
        let due = self.next_tick + self.config.tick * self.idle_ticks;
        self.alarm = self.gate_opens_at().filter(|at| *at > now).map_or(due, |at| at.min(due));
    }

    fn tell_leadership(&mut self, leadership: Leadership) {
        if self.told_leadership != Some(leadership) {
            self.told_leadership = Some(leadership);
            self.out.push(Effect::Tell(Fact::Led(leadership)));
        }
    }

    /// Orders links to the members that the log names, or, before there is a log, the file.
    fn link(&mut self) {
        let node = self.config.node;
        let others = |members: &mut dyn Iterator<Item = &Member>| members.filter(|member| member.node != node).cloned().collect::<Vec<_>>();
        let wanted = match self.state() {
            Some(state) => others(&mut state.members.values()),
            None => others(&mut self.config.members.iter()),
        };
        if self.linked.as_ref() != Some(&wanted) {
            let nodes: Vec<_> = wanted.iter().map(|member| member.node).collect();
            self.peers.keep(&nodes);
            self.linked = Some(wanted.clone());
            self.out.push(Effect::Link(wanted));
        }
    }

    /// Orders a batch that is no ready of raft-rs.
    fn order(&mut self, now: Timestamp, binding: bool, makes: Durable, mut batch: Batch) -> u64 {
        batch.number = self.disk.order(now, None, binding, None, makes);
        let number = batch.number;
        self.out.push(Effect::Persist(Box::new(batch)));
        number
    }

    fn note(&mut self, warning: bool, text: String) {
        self.out.push(Effect::Note { warning, text });
    }

    /// Notes something that would otherwise be noted with every message.
    fn note_rarely(&mut self, now: Timestamp, matter: (&'static str, u64), text: String) {
        if self.notes.admit(now, matter, &text) {
            self.note(true, text);
        }
    }

    fn halt(&mut self, reason: String) {
        self.halted = true;
        self.out.push(Effect::Halt { reason });
    }
}

impl Stage {
    /// What a store's contents make of a node.
    fn of(config: &Config, stored: &Stored) -> Result<Self, Unusable> {
        let Some(identity) = &stored.identity else {
            if *stored == Stored::default() {
                return Ok(Self::Empty);
            }
            return Err(Unusable::Damaged(String::from("there are entries, but nothing says whose log it is")));
        };
        if identity.node != config.node {
            return Err(Unusable::ForeignNode { stored: identity.node, configured: config.node });
        }
        if identity.cluster != config.cluster {
            return Err(Unusable::ForeignCluster { stored: identity.cluster.clone(), configured: config.cluster.clone() });
        }
        if identity.born && stored.snapshot.is_none() {
            return Err(Unusable::Damaged(String::from("it was born, but its beginning is missing")));
        }
        if identity.born || identity.joining {
            return Ok(Self::Running(Box::new(Replica::new(config, identity.clone(), stored)?)));
        }
        Ok(Self::Prepared(identity.clone()))
    }
}

impl crate::machine::Machine for Machine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        if self.halted {
            return Vec::new();
        }
        let counted = self.count_idle_ticks(now);
        match input {
            Input::Woken => {}
            Input::Ordered(order) => self.ordered(now, order),
            Input::Heard { from, message } => self.heard(now, from, *message),
            Input::Linked { node } => self.introduce_to(node),
            Input::Unlinked { node } => self.unlinked(node),
            Input::Persisted { number } => self.persisted(now, number),
        }
        self.tick(now, counted);
        self.drain(now);
        self.hear_put_off(now);
        self.grant_due();
        self.tell(now);
        mem::take(&mut self.out)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        (!self.halted).then_some(self.alarm)
    }
}

/// How often a node without a log says so.
const UNSETTLED: Duration = Duration::from_millis(500);
