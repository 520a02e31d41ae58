//! A deterministic world: true time, clocks that run at their own rates, a lossy network, disks that forget what was not yet on them.

mod effects;

use super::dice::Dice;
use super::file;
use super::holder::Holder;
use crate::machine::{Machine as _, Timestamp};
use crate::model::{Command, Epoch, NodeId, RaftId};
use crate::raft::{Batch, Config, Effect, Identity, Input, Machine, Order, PeerMessage, Stored};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use effects::write;

#[derive(Debug)]
enum Happening {
    Arrive { from: NodeId, message: Box<PeerMessage> },
    Linked(NodeId),
    Unlinked(NodeId),
    Durable(u64),
    Alarm,
    Act,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Parts per million by which its clock runs wrong, and what it showed at the true zero.
    drift_ppm: i64,
    offset: u64,
    pub(crate) machine: Option<Machine>,
    pub(crate) holder: Holder,
    life: u64,
    frozen_until: u64,
    /// What is on its disk, and what is on the way there.
    pub(crate) stored: Stored,
    writing: Vec<Batch>,
    disk_free_at: u64,
    pub(crate) disk_delay: (u64, u64),
    /// S8's durable record.
    released: Option<Epoch>,
    /// The guard's: it outlives the daemon. Epoch, and end in true time.
    pub(crate) lease: Option<(Epoch, u64)>,
    pub(crate) notes: Vec<String>,
    links: BTreeSet<NodeId>,
    pub(crate) config: Config,
}

/// An appointment as it was proposed, with the leases that were valid then.
#[derive(Debug)]
struct Proposed {
    still_valid: Vec<String>,
}

/// What happens beside the rules: how slow and lossy the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) delay: (u64, u64),
    /// One message in so many takes up to this long instead.
    pub(crate) straggle: (u64, u64),
    /// One in so many is lost; zero for none.
    pub(crate) loss: u64,
}

pub(crate) const LAN: Network = Network { delay: (100, 400), straggle: (0, 0), loss: 0 };

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) hosts: BTreeMap<NodeId, Host>,
    queue: BTreeMap<(u64, u64), (NodeId, u64, Happening)>,
    sequence: u64,
    stamp: u64,
    pub(crate) network: Network,
    /// Ordered pairs that cannot talk.
    pub(crate) cuts: BTreeSet<(NodeId, NodeId)>,
    proposed: BTreeMap<u64, Proposed>,
    pub(crate) appointments: BTreeMap<Epoch, u64>,
    pub(crate) grants: u64,
    /// How many grants were given, of use or not.
    pub(crate) granted: u64,
    /// How often each node said who it is.
    pub(crate) introductions: BTreeMap<NodeId, u64>,
    /// How often an alarm went off.
    pub(crate) alarms: u64,
    /// The most that any node has ever seen applied: nobody may contradict it.
    pub(crate) history: BTreeMap<u64, Vec<u8>>,
    /// A node that belongs to another cluster.
    pub(crate) foreign: Option<NodeId>,
    /// Called with every configuration before a life begins.
    pub(crate) adjust: fn(&mut Config),
}

impl World {
    /// `nodes` hosts without power, clocks exact.
    pub(crate) fn new(seed: u64, nodes: u64) -> Self {
        let mut world = Self {
            now: 0,
            dice: Dice::new(seed),
            hosts: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            stamp: 0,
            network: LAN,
            cuts: BTreeSet::new(),
            proposed: BTreeMap::new(),
            appointments: BTreeMap::new(),
            grants: 0,
            granted: 0,
            introductions: BTreeMap::new(),
            alarms: 0,
            history: BTreeMap::new(),
            foreign: None,
            adjust: |_| {},
        };
        for node in 1..=nodes {
            let config = Config::new(NodeId(node), "c".into(), file(nodes), 0);
            let host = Host {
                drift_ppm: 0,
                offset: world.dice.below(1 << 40),
                machine: None,
                holder: Holder::new(NodeId(node), 0, config.lease),
                life: 0,
                frozen_until: 0,
                stored: Stored::default(),
                writing: Vec::new(),
                disk_free_at: 0,
                disk_delay: (200, 1000),
                released: None,
                lease: None,
                notes: Vec::new(),
                links: BTreeSet::new(),
                config,
            };
            world.hosts.insert(NodeId(node), host);
        }
        world
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// All clocks at the edge of what rho allows, or exact, at random.
    pub(crate) fn drift(&mut self) {
        for host in self.hosts.values_mut() {
            host.drift_ppm = [-10_000, 0, 10_000][usize::try_from(self.dice.below(3)).unwrap_or(0)];
        }
    }

    pub(crate) fn host(&self, node: u64) -> &Host {
        &self.hosts[&NodeId(node)]
    }

    pub(crate) fn host_mut(&mut self, node: u64) -> &mut Host {
        self.hosts.get_mut(&NodeId(node)).expect("a host of this world")
    }

    pub(crate) fn local(&self, node: NodeId, at: u64) -> Timestamp {
        let host = &self.hosts[&node];
        let rate = u128::try_from(1_000_000 + host.drift_ppm).expect("clocks run forward");
        Timestamp::from_micros(host.offset + u64::try_from(u128::from(at) * rate / 1_000_000).expect("a short story"))
    }

    /// The first true instant at which that clock shows this.
    fn true_time(&self, node: NodeId, at: Timestamp) -> u64 {
        let host = &self.hosts[&node];
        let rate = u128::try_from(1_000_000 + host.drift_ppm).expect("clocks run forward");
        let elapsed = u128::from(at.as_micros().saturating_sub(host.offset));
        u64::try_from((elapsed * 1_000_000).div_ceil(rate)).expect("a short story")
    }

    fn schedule(&mut self, at: u64, node: NodeId, happening: Happening) {
        self.sequence += 1;
        let life = self.hosts[&node].life;
        self.queue.insert((at, self.sequence), (node, life, happening));
    }

    /// Power on, with what the disk holds.
    pub(crate) fn start(&mut self, node: NodeId) {
        let now = self.local(node, self.now);
        let seed = self.dice.next();
        let boot = self.dice.next();
        let host = self.hosts.get_mut(&node).expect("a host of this world");
        host.life += 1;
        host.config.seed = seed;
        (self.adjust)(&mut host.config);
        host.machine = Some(Machine::new(host.config.clone(), &host.stored, now).expect("its own log"));
        host.holder = Holder::new(node, boot, host.config.lease);
        host.links.clear();
        self.schedule(self.now, node, Happening::Alarm);
        self.schedule(self.now, node, Happening::Act);
        for peer in self.nodes() {
            if peer != node && self.hosts[&peer].machine.is_some() {
                let (there, back) = (self.now + self.dice.between(500, 3000), self.now + self.dice.between(500, 3000));
                self.schedule(there, node, Happening::Linked(peer));
                self.schedule(back, peer, Happening::Linked(node));
            }
        }
    }

    /// What a machine orders first that begins with what that node's disk holds now.
    pub(crate) fn first_words(&self, node: NodeId) -> Vec<Effect> {
        let (host, now) = (&self.hosts[&node], self.local(node, self.now));
        Machine::new(host.config.clone(), &host.stored, now).expect("its own log").step(now, Input::Woken)
    }

    /// Power off: what was not on disk is lost. With luck, some of what was on the way arrived.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let lucky = self.dice.below(4);
        let host = self.hosts.get_mut(&node).expect("a host of this world");
        if host.machine.take().is_none() {
            return;
        }
        host.life += 1;
        let writing = core::mem::take(&mut host.writing);
        for batch in writing.into_iter().take(usize::try_from(lucky).unwrap_or(0)) {
            write(&mut host.stored, batch);
        }
        for peer in self.nodes() {
            if peer != node && self.hosts[&peer].machine.is_some() {
                self.schedule(self.now + 1000, peer, Happening::Unlinked(node));
            }
        }
    }

    /// The disk is replaced by an empty one; the guard's lease is not on it.
    pub(crate) fn wipe(&mut self, node: NodeId) {
        self.host_mut(node.0).stored = Stored::default();
    }

    /// Its processes stand still until then; its clock does not.
    pub(crate) fn freeze(&mut self, node: NodeId, until: u64) {
        self.host_mut(node.0).frozen_until = until;
    }

    pub(crate) fn isolate(&mut self, node: NodeId) {
        for peer in self.nodes() {
            self.cuts.insert((node, peer));
            self.cuts.insert((peer, node));
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        for node in self.nodes() {
            for peer in self.nodes() {
                if peer != node && self.hosts[&peer].machine.is_some() && self.hosts[&node].machine.is_some() {
                    self.schedule(self.now + 1000, node, Happening::Linked(peer));
                }
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + u64::try_from(duration.as_micros()).expect("a short story");
        while let Some((&(at, _), _)) = self.queue.first_key_value()
            && at <= until
        {
            self.advance();
        }
        self.now = until;
    }

    /// Lets time pass until something holds; panics after so many seconds. Answers how long it took.
    pub(crate) fn run_until(&mut self, seconds: u64, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        while !holds(self) {
            assert!(self.now < begun + seconds * 1_000_000, "after {seconds} s it is not so that {what}\n{}", self.describe());
            self.advance();
        }
        Duration::from_micros(self.now - begun)
    }

    fn advance(&mut self) {
        let Some(((at, _), (node, life, happening))) = self.queue.pop_first() else { panic!("nothing can happen any more") };
        self.now = self.now.max(at);
        let host = &self.hosts[&node];
        let frozen_until = host.frozen_until;
        if host.life != life {
            return;
        }
        if frozen_until > self.now {
            self.schedule(frozen_until, node, happening);
            return;
        }
        match happening {
            Happening::Arrive { from, message } => {
                if self.hosts[&node].links.contains(&from) {
                    self.step(node, Input::Heard { from, message });
                }
            }
            Happening::Linked(peer) => self.step(node, Input::Linked { node: peer }),
            Happening::Unlinked(peer) => self.step(node, Input::Unlinked { node: peer }),
            Happening::Durable(number) => {
                let host = self.host_mut(node.0);
                let done = host.writing.iter().take_while(|batch| batch.number <= number).count();
                for batch in host.writing.drain(..done) {
                    write(&mut host.stored, batch);
                }
                self.step(node, Input::Persisted { number });
            }
            Happening::Alarm => {
                let due = self.hosts[&node].machine.as_ref().and_then(crate::machine::Machine::wake_at);
                if due.is_some_and(|due| due <= self.local(node, self.now)) {
                    self.alarms += 1;
                    self.step(node, Input::Woken);
                }
            }
            Happening::Act => {
                let orders = self.holder_acts(node);
                for order in orders {
                    self.order(node, order);
                }
                self.schedule(self.now + 10_000, node, Happening::Act);
            }
        }
    }

    fn holder_acts(&mut self, node: NodeId) -> Vec<Order> {
        let now = self.local(node, self.now);
        self.stamp += 1;
        let (stamp, lot) = (self.stamp, self.dice.next());
        let host = self.host_mut(node.0);
        if host.machine.is_none() {
            return Vec::new();
        }
        if host.holder.stopping
            && let Some((epoch, _)) = host.lease
        {
            // The server is stopped, this is recorded, and the guard drops the lease.
            host.released = Some(epoch);
            host.lease = None;
            host.holder.stopping = false;
        }
        host.holder.act(now, host.released, stamp, lot)
    }

    pub(crate) fn order(&mut self, node: NodeId, order: Order) {
        if let Order::Propose(proposal) = &order
            && matches!(proposal.command, Command::Appoint { .. })
        {
            let still_valid = self.valid_leases();
            self.proposed.insert(proposal.at.0, Proposed { still_valid });
        }
        self.step(node, Input::Ordered(order));
    }

    fn valid_leases(&self) -> Vec<String> {
        let valid = self.hosts.iter().filter_map(|(node, host)| {
            let (epoch, end) = host.lease?;
            (end > self.now).then(|| format!("node {node} holds epoch {epoch} for another {} us", end - self.now))
        });
        valid.collect()
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        let led = self.hosts.iter().filter(|(_, host)| host.machine.is_some() && host.holder.led.ready);
        led.max_by_key(|(_, host)| host.holder.led.term).map(|(node, _)| *node)
    }

    pub(crate) fn lease_holder(&self) -> Option<NodeId> {
        self.hosts.iter().find(|(_, host)| host.lease.is_some_and(|(_, end)| end > self.now)).map(|(node, _)| *node)
    }

    /// Everybody powered on is a member and has applied the same.
    pub(crate) fn is_whole(&self) -> bool {
        let up = || self.hosts.values().filter(|host| host.machine.is_some());
        let first = up().next().and_then(|host| host.holder.state.clone());
        first.is_some() && up().all(|host| host.holder.led.member && host.holder.led.leader.is_some() && host.holder.state == first)
    }

    pub(crate) fn describe(&self) -> String {
        let line = |(node, host): (&NodeId, &Host)| {
            let (led, lease) = (host.holder.led, host.lease);
            let notes = host.notes.iter().rev().take(4).cloned().collect::<Vec<_>>().join(" | ");
            format!("node {node}: up={} {led:?} lease={lease:?} {:?} notes: {notes}", host.machine.is_some(), host.machine)
        };
        self.hosts.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn raft_id(&self, node: u64) -> Option<RaftId> {
        self.host(node).stored.identity.as_ref().map(|identity: &Identity| identity.raft_id)
    }

    /// The voters' Raft ids, as that node has applied them.
    pub(crate) fn votes(&self, node: u64) -> Vec<u64> {
        self.host(node).machine.as_ref().map(|machine| machine.voters()[0].clone()).unwrap_or_default()
    }

    /// All nodes on, and a leader.
    pub(crate) fn founded(seed: u64, nodes: u64) -> Self {
        let mut world = Self::new(seed, nodes);
        for node in world.nodes() {
            world.start(node);
        }
        world.run_until(10, "a leader is ready", |world| world.leader().is_some() && world.is_whole());
        world
    }
}
