//! A model of what runs on each host beside the daemon: a PostgreSQL with its data directory, and the guard that holds its lease.
//!
//! It keeps the one invariant by itself: whenever anything changes, and at every millisecond, at most one server of the cluster may accept
//! writes. A server counts as writable from the instant at which it is told to become so until it is gone.

use super::wait;
use actors::machine::Timestamp;
use actors::model::{Directory, Endpoint, Epoch, LeaseTiming, Lsn, NodeId, Position, Promotion, SystemIdentifier, Timeline};
use actors::pg::{self, Budget, Control, Fork, Life, Observation, Operation, Outcome, Phase, Process, Sight, Stream, Upkeep, Upstream};
use actors::tree::Address;
use actors::tree::clock::Clock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A start, until the server answers.
const START: Duration = Duration::from_millis(100);
/// A promotion, until the server accepts writes.
const PROMOTE: Duration = Duration::from_millis(50);
/// A fast stop.
const STOP: Duration = Duration::from_millis(100);
/// A kill, until no process is left.
const KILL: Duration = Duration::from_millis(5);
/// What a writable server writes in a millisecond.
const WRITES: u64 = 100;

/// Why a server is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was asked to stop.
    Stopped,
    /// The daemon had it killed.
    Killed,
    /// The guard ended it, since the lease of this end ran out.
    LeaseOver(Timestamp),
    /// Its host lost power.
    PowerLost,
}

#[derive(Debug)]
enum Nature {
    Standby,
    /// A standby that writes from then on, and perhaps sooner.
    Promoting(Timestamp),
    Primary,
}

#[derive(Debug)]
struct Server {
    life: Life,
    nature: Nature,
    up_at: Timestamp,
    follows: Option<Endpoint>,
    streams: bool,
    /// Its upstream can be reached and never had all that lies here.
    diverged: bool,
    ends: Option<(Timestamp, Cause)>,
}

#[derive(Debug)]
struct Host {
    adapter: Address<pg::Input>,
    directory: Option<SystemIdentifier>,
    phase: Phase,
    standby_signal: bool,
    history: Vec<Promotion>,
    lsn: Lsn,
    server: Option<Server>,
    lives: u32,
    /// The guard's.
    lease: Option<(Epoch, Timestamp)>,
    /// S8's record.
    released: Epoch,
    ended: Vec<(Timestamp, Cause)>,
}

impl Host {
    fn new() -> Self {
        Self {
            adapter: Address::vacant(),
            directory: None,
            phase: Phase::Recovery,
            standby_signal: false,
            history: Vec::new(),
            lsn: Lsn(0),
            server: None,
            lives: 0,
            lease: None,
            released: Epoch(0),
            ended: Vec::new(),
        }
    }

    fn is_writable(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !matches!(server.nature, Nature::Standby))
    }

    fn position(&self) -> Position {
        let timeline = self.history.last().map(|promotion| promotion.timeline).unwrap_or_default();
        Position { timeline, lsn: self.lsn }
    }

    /// How far this history and the other go together: on which timeline of ours, and to where.
    fn common(&self, other: &Self) -> (usize, Lsn) {
        let shared = self.history.iter().zip(&other.history).take_while(|(ours, theirs)| ours == theirs).count();
        let end = |host: &Self| host.history.get(shared).map_or(host.lsn, |next| next.lsn);
        (shared, end(self).min(end(other)))
    }

    fn is_prefix_of(&self, other: &Self) -> bool {
        self.common(other) == (self.history.len(), self.lsn)
    }

    fn end(&mut self, now: Timestamp, cause: Cause) {
        let Some(server) = self.server.take() else { return };
        if cause == Cause::Stopped && matches!(server.nature, Nature::Primary) {
            self.phase = Phase::ShutDown;
        }
        self.ended.push((now, cause));
        if cause != Cause::PowerLost {
            self.adapter.tell(pg::Input::ServerExited { life: server.life, fenced: matches!(cause, Cause::LeaseOver(_)) });
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    clock: Clock,
    timing: LeaseTiming,
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    hosts: BTreeMap<NodeId, Host>,
    cut: BTreeSet<NodeId>,
    advanced: Timestamp,
}

/// Where the database of a node listens.
pub(crate) fn endpoint(node: NodeId) -> Endpoint {
    Endpoint { host: format!("h{node}"), port: 5432 }
}

impl Databases {
    /// Empty directories, and time that passes for them.
    pub(crate) fn new(clock: Clock, timing: LeaseTiming, nodes: impl Iterator<Item = NodeId>) -> Self {
        let world = World { hosts: nodes.map(|node| (node, Host::new())).collect(), ..World::default() };
        let databases = Self { clock, timing, world: Arc::new(Mutex::new(world)) };
        let passing = databases.clone();
        tokio::spawn(async move {
            loop {
                drop(passing.world());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        databases
    }

    /// The world as it is now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(self.clock.now(), &self.timing);
        world
    }

    /// A daemon has begun to watch; answers what the disk and the guard remember.
    pub(crate) fn attend(&self, node: NodeId, adapter: Address<pg::Input>) -> (Epoch, Option<(Epoch, Timestamp)>) {
        let mut world = self.world();
        let host = world.host(node);
        host.adapter = adapter;
        (host.released, host.lease)
    }

    /// The host of that node loses power: its server and its guard are gone, its disk stays.
    pub(crate) fn lose_power(&self, node: NodeId) {
        let now = self.clock.now();
        let mut world = self.world();
        let host = world.host(node);
        host.end(now, Cause::PowerLost);
        host.lease = None;
    }

    /// Whether that node's database can be reached by others.
    pub(crate) fn cut(&self, node: NodeId, cut: bool) {
        let mut world = self.world();
        if cut {
            world.cut.insert(node);
        } else {
            world.cut.remove(&node);
        }
    }

    /// The guard takes a new end of the lease. None: it does not, since that epoch is released.
    pub(crate) fn lease(&self, node: NodeId, epoch: Epoch, end: Timestamp) -> bool {
        let mut world = self.world();
        let host = world.host(node);
        if epoch <= host.released {
            return false;
        }
        host.lease = host.lease.max(Some((epoch, end)));
        true
    }

    /// To disk, and then to the guard.
    pub(crate) fn record_release(&self, node: NodeId, epoch: Epoch) {
        let mut world = self.world();
        let host = world.host(node);
        host.released = host.released.max(epoch);
        host.lease = host.lease.filter(|(held, _)| *held > host.released);
    }

    /// Kills every process of that server.
    pub(crate) fn kill(&self, node: NodeId) {
        let at = self.clock.now() + KILL;
        if let Some(server) = &mut self.world().host(node).server {
            server.ends = Some((at, Cause::Killed));
        }
    }

    /// Takes a look.
    pub(crate) fn look(&self, node: NodeId) -> Observation {
        let now = self.clock.now();
        self.world().host(node).see(now)
    }

    /// Whether a fresh connection is answered.
    pub(crate) fn answers(&self, node: NodeId) -> bool {
        let now = self.clock.now();
        let mut world = self.world();
        !world.cut.contains(&node) && world.host(node).server.as_ref().is_some_and(|server| now >= server.up_at)
    }

    /// Does to the world what the operation does.
    pub(crate) fn carry_out(&self, node: NodeId, operation: &Operation) -> Outcome {
        let now = self.clock.now();
        let mut world = self.world();
        let outcome = world.carry_out(now, &self.timing, node, operation);
        world.check(now);
        outcome.unwrap_or_else(|reason| Outcome::Failed { reason: reason.to_owned(), outlook: pg::Outlook::Open })
    }

    /// The process of that server, if one runs.
    pub(crate) fn life(&self, node: NodeId) -> Option<Life> {
        self.world().host(node).server.as_ref().map(|server| server.life)
    }

    /// Every end of a server of that node: when, and why.
    pub(crate) fn ended(&self, node: NodeId) -> Vec<(Timestamp, Cause)> {
        self.world().host(node).ended.clone()
    }

    /// Until when the guard of that node lets a server write.
    pub(crate) fn lease_end(&self, node: NodeId) -> Option<Timestamp> {
        self.world().host(node).lease.map(|(_, end)| end)
    }
}

impl Host {
    fn see(&self, now: Timestamp) -> Observation {
        let position = self.position();
        let timeline = position.timeline;
        let server = self.server.as_ref();
        Observation {
            directory: self.directory.map_or(Directory::Empty, |system_identifier| Directory::Database { system_identifier, timeline }),
            control: self.directory.map(|_| Control { timeline, phase: self.phase }),
            standby_signal: self.standby_signal,
            process: server.map_or(Process::Gone, |server| Process::Running {
                life: server.life,
                promoting: matches!(server.nature, Nature::Promoting(_)),
            }),
            sight: server.filter(|server| now >= server.up_at).map(|server| {
                let in_recovery = !matches!(server.nature, Nature::Primary);
                let from = server.follows.clone().filter(|_| server.streams && in_recovery);
                Sight {
                    open: true,
                    in_recovery,
                    position,
                    replayed: in_recovery.then_some(self.lsn),
                    hold: None,
                    stream: from.map(|from| Stream { timeline, from: Some(from) }),
                    lineage: if in_recovery { Vec::new() } else { self.history.clone() },
                    checkpointer: None,
                }
            }),
            turned_away: false,
            crash: None,
            end: (server.is_none() && self.phase == Phase::ShutDown).then_some(position),
            hint: server.is_some_and(|server| server.diverged),
            last_words: None,
            clones: Budget::default(),
            leftover: None,
            chosen: false,
            conditions: Vec::new(),
            upkeep: Upkeep::Nothing,
        }
    }

    fn launch(&mut self, now: Timestamp, nature: Nature, follows: Option<Endpoint>) -> Result<Outcome, &'static str> {
        if self.server.is_some() {
            return Err("a server runs");
        }
        if self.directory.is_none() {
            return Err("there is no database");
        }
        self.standby_signal = matches!(nature, Nature::Standby);
        self.phase = if self.standby_signal { Phase::Recovery } else { Phase::Production };
        self.lives += 1;
        let life = Life(self.lives);
        self.server = Some(Server { life, nature, up_at: now + START, follows, streams: false, diverged: false, ends: None });
        Ok(Outcome::Started(life))
    }

    fn take_from(&mut self, history: &[Promotion], lsn: Lsn) {
        (self.history, self.lsn) = (history.to_vec(), lsn);
        (self.phase, self.standby_signal) = (Phase::Recovery, true);
    }
}

impl World {
    fn host(&mut self, node: NodeId) -> &mut Host {
        self.hosts.get_mut(&node).expect("a host of this world")
    }

    fn advance(&mut self, now: Timestamp, timing: &LeaseTiming) {
        for host in self.hosts.values_mut() {
            let strike = host.lease.map(|(_, end)| end - timing.kill_margin);
            if host.is_writable() && strike.is_none_or(|strike| now >= strike) {
                host.end(now, Cause::LeaseOver(host.lease.map(|(_, end)| end).unwrap_or_default()));
            }
            if let Some((at, cause)) = host.server.as_ref().and_then(|server| server.ends)
                && now >= at
            {
                host.end(now, cause);
            }
            let promoted = matches!(host.server, Some(Server { nature: Nature::Promoting(at), .. }) if now >= at);
            if promoted && let Some(server) = &mut host.server {
                server.nature = Nature::Primary;
                let timeline = Timeline(host.history.last().map_or(0, |last| last.timeline.0) + 1);
                host.history.push(Promotion { timeline, lsn: host.lsn, mark: None });
                (host.phase, host.standby_signal) = (Phase::Production, false);
            }
        }
        self.stream(now);
        let passed = u64::try_from(now.since(self.advanced).as_millis()).expect("a short story");
        for host in self.hosts.values_mut() {
            if passed > 0 && host.server.as_ref().is_some_and(|server| matches!(server.nature, Nature::Primary) && now >= server.up_at) {
                host.lsn = Lsn(host.lsn.0 + passed * WRITES);
            }
        }
        if passed > 0 {
            self.advanced = now;
        }
        self.check(now);
    }

    /// Before anything new is written, so that a primary is always a little ahead.
    fn stream(&mut self, now: Timestamp) {
        let nodes: Vec<_> = self.hosts.keys().copied().collect();
        for node in nodes {
            let follows = self.hosts[&node].server.as_ref().filter(|server| now >= server.up_at).and_then(|server| server.follows.clone());
            let source = follows.and_then(|follows| self.source(now, node, &follows));
            let diverged = source.is_some_and(|source| !self.hosts[&node].is_prefix_of(source));
            let received = source.filter(|_| !diverged).map(|source| (source.history.clone(), source.lsn));
            let host = self.host(node);
            let Some(server) = host.server.as_mut().filter(|server| matches!(server.nature, Nature::Standby)) else { continue };
            (server.streams, server.diverged) = (received.is_some(), diverged);
            if let Some(received) = received {
                (host.history, host.lsn) = received;
            }
        }
    }

    /// The primary that listens there, if it can be reached from that node.
    fn source(&self, now: Timestamp, from: NodeId, at: &Endpoint) -> Option<&Host> {
        let (node, host) = self.hosts.iter().find(|(node, _)| endpoint(**node) == *at)?;
        let up = host.server.as_ref().is_some_and(|server| now >= server.up_at && matches!(server.nature, Nature::Primary));
        (up && !self.cut.contains(node) && !self.cut.contains(&from)).then_some(host)
    }

    fn upstream(&self, now: Timestamp, node: NodeId, upstream: &Upstream) -> Result<&Host, &'static str> {
        self.source(now, node, &upstream.database).ok_or("the upstream cannot be reached")
    }

    fn check(&self, now: Timestamp) {
        let writable: Vec<_> = self.hosts.iter().filter(|(_, host)| host.is_writable()).map(|(node, _)| *node).collect();
        if writable.len() > 1 {
            wait::never(format!("at {now:?} the servers of {writable:?} may all accept writes: {self:#?}"));
        }
    }

    fn carry_out(&mut self, now: Timestamp, timing: &LeaseTiming, node: NodeId, operation: &Operation) -> Result<Outcome, &'static str> {
        let leases = |host: &Host, epoch| host.lease.is_some_and(|(held, end)| held == epoch && now < end - timing.kill_margin);
        match operation {
            Operation::InitDb => {
                let host = self.host(node);
                host.directory = Some(SystemIdentifier(7000 + node.0));
                host.history = vec![Promotion { timeline: Timeline(1), lsn: Lsn(0), mark: None }];
                (host.phase, host.lsn, host.standby_signal) = (Phase::ShutDown, Lsn(0x1000), false);
                Ok(Outcome::Founded(SystemIdentifier(7000 + node.0)))
            }
            Operation::ClearReplay => Ok(Outcome::Done),
            Operation::Adopt => self.host(node).directory.map(Outcome::Founded).ok_or("there is no database"),
            Operation::StartPrimary(epoch, _) => {
                let host = self.host(node);
                if !leases(host, *epoch) {
                    return Err("the guard holds no lease for it");
                }
                host.launch(now, Nature::Primary, None)
            }
            Operation::StartStandby(upstream) => {
                self.host(node).launch(now, Nature::Standby, upstream.as_ref().map(|upstream| upstream.database.clone()))
            }
            Operation::Promote(epoch, _) => {
                let host = self.host(node);
                if !leases(host, *epoch) {
                    return Err("the guard holds no lease for it");
                }
                let server = host.server.as_mut().ok_or("no server runs")?;
                if matches!(server.nature, Nature::Standby) {
                    server.nature = Nature::Promoting(now + PROMOTE);
                }
                Ok(Outcome::Done)
            }
            Operation::Aim(upstream) => {
                let server = self.host(node).server.as_mut().ok_or("no server runs")?;
                server.follows = Some(upstream.database.clone());
                Ok(Outcome::Done)
            }
            Operation::StopFast | Operation::StopImmediately => {
                let server = self.host(node).server.as_mut().ok_or("no server runs")?;
                server.ends.get_or_insert((now + STOP, Cause::Stopped));
                Ok(Outcome::Done)
            }
            Operation::Compare(upstream) => {
                let prefix = self.hosts[&node].is_prefix_of(self.upstream(now, node, upstream)?);
                Ok(Outcome::Compared(if prefix { Fork::Prefix } else { Fork::Diverged }))
            }
            Operation::Rewind(upstream) => {
                let source = self.upstream(now, node, upstream)?;
                let (shared, fork) = self.hosts[&node].common(source);
                let history = source.history[..shared].to_vec();
                self.host(node).take_from(&history, fork);
                Ok(Outcome::Done)
            }
            Operation::Clone(upstream, _) => {
                let source = self.upstream(now, node, upstream)?;
                let (directory, history, lsn) = (source.directory, source.history.clone(), source.lsn);
                let host = self.host(node);
                host.directory = directory;
                host.take_from(&history, lsn);
                Ok(Outcome::Done)
            }
            Operation::Tend | Operation::Configure(_) | Operation::Checkpoint | Operation::Preserve(_) => Ok(Outcome::Done),
        }
    }
}
