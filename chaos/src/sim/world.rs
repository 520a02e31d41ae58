//! The world: true time, one queue of what will happen, and the hosts.

use super::client::Commit;
use super::clock::Clock;
use super::dice::Dice;
use super::event::{Chore, Event, Mail};
use super::host::Host;
use super::invariants::Judge;
use super::liveness::Liveness;
use super::network::Network;
use super::story::{Blow, Story};
use super::tally::Tally;
use super::trace::Trace;
use crate::invariants::Acknowledgement;
use actors::machine::Timestamp;
use actors::model::{NodeId, Settings, Tags};
use std::collections::{BTreeMap, VecDeque};

/// A range in microseconds.
type Span = (u64, u64);

/// What kind of network this world has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) delay: Span,
    /// One message in so many takes up to `straggle`; zero for none.
    pub(super) straggle_one_in: u64,
    pub(super) straggle: u64,
    pub(super) loss_one_in: u64,
    pub(super) twice_one_in: u64,
    pub(super) reorders: bool,
}

/// A switch in a rack.
pub(super) const QUIET: Weather =
    Weather { delay: (100, 500), straggle_one_in: 0, straggle: 0, loss_one_in: 0, twice_one_in: 0, reorders: false };

/// What the seed decides of the world, once.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) network: Weather,
    pub(super) disk: Span,
    pub(super) flush: Span,
    pub(super) lag: Span,
    pub(super) writes: Span,
    pub(super) start: Span,
    pub(super) stop: Span,
    pub(super) promote: Span,
    pub(super) clone: Span,
    /// A kill, until no process is left.
    pub(super) kill: Span,
    /// The kernel's signal after the guard's death, until no process is left: less than the kill margin.
    pub(super) quit: Span,
    /// What the files of the nodes say of them.
    pub(super) tags: Vec<Tags>,
    /// What the cluster is born with.
    pub(super) settings: Settings,
}

impl Setting {
    fn draw(dice: &mut Dice, nodes: usize) -> Self {
        let network = match dice.below(4) {
            0 => Weather {
                delay: (500, 20_000),
                straggle_one_in: 20,
                straggle: 2_000_000,
                loss_one_in: 100,
                twice_one_in: 50,
                reorders: true,
            },
            1 => Weather {
                delay: (1_000, 40_000),
                straggle_one_in: 200,
                straggle: 4_000_000,
                loss_one_in: 30,
                twice_one_in: 0,
                reorders: true,
            },
            _ => QUIET,
        };
        Self {
            nodes,
            network,
            disk: dice.one_of(&[(200, 1_500), (1_000, 12_000), (5_000, 80_000)]),
            flush: dice.one_of(&[(100, 1_000), (500, 10_000)]),
            lag: dice.one_of(&[(50, 500), (1_000, 100_000)]),
            writes: dice.one_of(&[(20_000, 60_000), (5_000, 300_000)]),
            start: dice.one_of(&[(50_000, 200_000), (100_000, 3_000_000)]),
            stop: dice.one_of(&[(20_000, 100_000), (100_000, 4_000_000)]),
            promote: dice.one_of(&[(20_000, 100_000), (50_000, 1_500_000)]),
            clone: dice.one_of(&[(500_000, 2_000_000), (2_000_000, 12_000_000)]),
            kill: dice.one_of(&[(200, 5_000), (1_000, 250_000)]),
            quit: dice.one_of(&[(1_000, 30_000), (5_000, 400_000)]),
            tags: vec![Tags::default(); nodes],
            settings: Settings::default(),
        }
    }

    /// What people wrote into the files. Mostly all nodes are alike; in some clusters one must never be appointed, in some their priorities differ.
    fn draw_files(&mut self, mut dice: Dice) {
        self.settings.max_replication_lag = dice.one_of(&[1 << 14, 1 << 17, 1 << 20]);
        match dice.below(6) {
            0 => {
                let node = usize::try_from(dice.below(self.tags.len() as u64)).expect("a small number");
                self.tags[node].nofailover = true;
            }
            1 => {
                for tags in &mut self.tags {
                    tags.failover_priority = dice.one_of(&[50, 100, 200]);
                }
            }
            _ => {}
        }
    }
}

/// The node of that index.
pub(super) fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) story: Story,
    pub(super) now: u64,
    pub(super) dice: Dice,
    pub(super) setting: Setting,
    pub(super) hosts: Vec<Host>,
    pub(super) network: Network,
    queue: BTreeMap<(u64, u64), Event>,
    /// What happens at this very instant, in order.
    soon: VecDeque<Event>,
    sequence: u64,
    records: u64,
    /// What waits for whoever is promoted next.
    pub(super) ambush: Option<(Blow, u64, u64)>,
    pub(super) judge: Judge,
    pub(super) history: Vec<Acknowledgement>,
    pub(super) commits: Vec<Commit>,
    pub(super) liveness: Liveness,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
}

impl World {
    pub(super) fn new(story: Story, explain: bool) -> Self {
        let mut dice = Dice::new(story.seed, 2);
        let mut setting = Setting::draw(&mut dice, story.nodes);
        setting.draw_files(Dice::new(story.seed, 3));
        // At the edge of rho, or anywhere within; beyond the promises, anywhere.
        let rates = [-9_900, 9_900, 0, i64::try_from(dice.below(19_800)).expect("a small number") - 9_900];
        let hosts = (0..story.nodes)
            .map(|_| {
                let rate = dice.one_of(&rates);
                let wild = i64::try_from(dice.below(400_000)).expect("a small number") - 200_000;
                let offset = dice.below(1 << 40) + 1_000_000;
                Host::new(Clock::new(offset, if story.beyond { wild } else { rate }))
            })
            .collect();
        let trace = Trace { lines: explain.then(Vec::new), ..Trace::default() };
        let mut world = Self {
            now: 0,
            dice,
            setting,
            hosts,
            network: Network::default(),
            queue: BTreeMap::new(),
            soon: VecDeque::new(),
            sequence: 0,
            records: 0,
            ambush: None,
            judge: Judge::default(),
            history: Vec::new(),
            commits: Vec::new(),
            liveness: Liveness::default(),
            tally: Tally::default(),
            trace,
            story,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let nodes = self.setting.nodes;
        for node in 0..nodes {
            let at = self.dice.between((0, 500_000));
            self.start_later(node, at);
            self.schedule(at + 1, Event::Client(node));
            for peer in (0..nodes).filter(|peer| *peer != node) {
                let at = self.dice.between((1_000, 200_000));
                self.schedule(at, Event::Link(node, peer));
            }
        }
        for index in 0..self.story.faults.len() {
            self.schedule(self.story.faults[index].at * 1000, Event::Fault(index));
        }
        self.schedule(self.story.heal_at * 1000, Event::Heal);
    }

    pub(super) fn next_record(&mut self) -> u64 {
        self.records += 1;
        self.records
    }

    /// What that node's clock shows.
    pub(super) fn local(&self, node: usize) -> Timestamp {
        self.hosts[node].clock.at(self.now)
    }

    /// A line of the story, if somebody wants to read it.
    pub(super) fn tell_story(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace.lines {
            lines.push(format!("{:>4}.{:06}  {}", self.now / 1_000_000, self.now % 1_000_000, line()));
        }
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        if at <= self.now {
            self.soon.push_back(event);
        } else {
            self.sequence += 1;
            self.queue.insert((at, self.sequence), event);
        }
    }

    /// Puts a letter into an actor's mailbox.
    pub(super) fn mail(&mut self, node: usize, life: u64, mail: Mail) {
        self.soon.push_back(Event::Told(node, life, mail));
    }

    /// The next thing happens. False: the story is over.
    pub(super) fn advance(&mut self) -> bool {
        if self.judge.violation.is_some() || self.liveness.done {
            return false;
        }
        let event = match self.soon.pop_front() {
            Some(event) => event,
            None => match self.queue.pop_first() {
                Some(((at, _), event)) => {
                    self.now = at;
                    event
                }
                None => return false,
            },
        };
        if let Some(wakes_at) = self.asleep_until(&event) {
            self.schedule(wakes_at, event);
            return true;
        }
        if let Event::Told(node, ..) | Event::Alarm(node, ..) | Event::Guard(node, ..) = &event {
            self.end_exposure(*node);
        }
        let (number, what) = (self.sequence, kind(&event));
        self.trace.note(self.now, number, what);
        self.happen(event);
        true
    }

    /// Whoever this is for stands still until then.
    fn asleep_until(&self, event: &Event) -> Option<u64> {
        let wakes_at = match event {
            Event::Told(node, ..) | Event::Alarm(node, ..) | Event::Arrive { to: node, .. } => self.hosts[*node].daemon_wakes_at,
            // The disk, a sweep and a supervisor outside of the process do not stand still with it.
            Event::Chore(node, _, _) => self.hosts[*node].daemon_wakes_at,
            Event::Guard(node, ..) => self.hosts[*node].guard_wakes_at,
            Event::Server(node, _, super::event::ServerEvent::Gone) => {
                let _ = node;
                0
            }
            Event::Server(node, ..) => self.hosts[*node].server_wakes_at,
            _ => 0,
        };
        (wakes_at > self.now).then_some(wakes_at)
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.hosts[node].daemon.as_ref().is_some_and(|daemon| daemon.life == life)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Told(node, life, mail) if self.lives(node, life) => self.step(node, mail),
            Event::Alarm(node, life, actor, number) if self.lives(node, life) => self.alarm(node, actor, number),
            Event::Chore(node, life, chore) if self.lives(node, life) => self.chore(node, chore),
            Event::Told(..) | Event::Alarm(..) | Event::Chore(..) => {}
            Event::Guard(node, life, event) => {
                if self.hosts[node].guard.as_ref().is_some_and(|guard| guard.life == life) {
                    self.guard_event(node, event);
                }
            }
            Event::Server(node, pid, event) => self.server_event(node, pid, event),
            Event::Arrive { from, to, life, message } => {
                if self.lives(to, life) {
                    self.arrive(from, to, life, *message);
                }
            }
            Event::Link(from, to) => self.tend_link(from, to),
            Event::Start(node, number) => {
                if self.hosts[node].start == number {
                    self.hosts[node].powered = true;
                    if self.hosts[node].daemon.as_ref().is_some_and(|daemon| daemon.stopping) {
                        // It has not come to its end yet.
                        self.start_later(node, 1_000_000);
                    } else {
                        self.start_daemon(node);
                    }
                }
            }
            Event::Fault(index) => self.inflict(self.story.faults[index].fault),
            // Once the core is healed, nobody waits for anybody.
            Event::Struck(fault) if self.liveness.core.is_empty() => self.inflict(fault),
            Event::Struck(_) => {}
            Event::Client(client) => self.client_writes(client),
            Event::MoveAway(node) => self.move_away(node),
            Event::StopByHand(node, pid) => self.stop_by_hand(node, pid),
            Event::Resume => self.resume(),
            Event::Heal => self.heal(),
            Event::Poll => self.poll(),
        }
    }

    fn chore(&mut self, node: usize, chore: Chore) {
        match chore {
            Chore::Answered(number, answer) => self.answered(node, number, *answer),
            Chore::TimedOut(number) => self.timed_out(node, number),
            Chore::Connect => self.connect(node),
            Chore::Patience(number) => self.lose_patience(node, number),
            Chore::GuardLost(guard) => self.guard_lost(node, guard),
            Chore::Work(id) => self.work(node, id),
            Chore::Written(number) => self.written(node, number),
            Chore::WriteNow => self.write_now(node),
            Chore::Released(epoch) => self.released(node, epoch),
            Chore::Restart(actor) => self.restart_actor(node, actor),
            Chore::Overdue => self.overdue(node),
            Chore::Swept => self.swept(node),
        }
    }
}

/// A number for what kind of thing this is, and for whom.
fn kind(event: &Event) -> u64 {
    let of = |kind: u64, node: usize| kind << 8 | node as u64;
    match event {
        Event::Told(node, _, Mail::Fsm(_)) => of(1, *node),
        Event::Told(node, _, Mail::Raft(_)) => of(2, *node),
        Event::Told(node, _, Mail::Pg(_)) => of(3, *node),
        Event::Told(node, _, Mail::Probe(..)) => of(4, *node),
        Event::Alarm(node, _, _, number) => of(5, *node) ^ (number << 16),
        Event::Chore(node, ..) => of(6, *node),
        Event::Guard(node, ..) => of(7, *node),
        Event::Server(node, ..) => of(8, *node),
        Event::Arrive { to, .. } => of(9, *to),
        Event::Link(from, _) => of(10, *from),
        Event::Start(node, _) => of(11, *node),
        Event::Fault(index) => of(12, *index),
        Event::Struck(_) => 18,
        Event::Client(client) => of(13, *client),
        Event::MoveAway(node) => of(14, *node),
        Event::StopByHand(node, _) => of(19, *node),
        Event::Resume => 15,
        Event::Heal => 16,
        Event::Poll => 17,
    }
}
