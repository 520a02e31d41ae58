//! A daemon: its actors, and what outlives them in its process.

use super::event::{Chore, Event, Mail};
use super::story::Actor;
use super::tether::Tether;
use super::world::{World, id};
use actors::fsm::Newest;
use actors::machine::{Machine, Timestamp};
use actors::model::{Boot, Endpoint, LeaseTiming, Member, RaftId, Report, Tags, WallClock};
use actors::tree::restart::{RestartPolicy, RestartWindow, Verdict};
use actors::{fsm, pg, probe, raft};
use std::collections::BTreeMap;
use std::time::Duration;

/// An actor that lives.
#[derive(Debug)]
pub(super) struct Living<M> {
    pub(super) machine: M,
    pub(super) alarm: Alarm,
}

#[derive(Debug, Default)]
pub(super) struct Alarm {
    number: u64,
    armed_for: Option<Timestamp>,
}

/// The daemon of one host.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) life: u64,
    pub(super) fsm: Option<Living<fsm::Machine>>,
    pub(super) raft: Option<Living<raft::Machine>>,
    pub(super) pg: Option<Living<pg::Machine>>,
    pub(super) probes: BTreeMap<usize, Option<Living<probe::Probe>>>,
    /// The board before the FSM.
    pub(super) board: Newest,
    pub(super) report: Option<Report>,
    pub(super) order: Option<(u64, pg::Order, bool)>,
    pub(super) raft_life: u64,
    pub(super) alarms: u64,
    windows: BTreeMap<Actor, RestartWindow>,
    pub(super) tether: Tether,
    pub(super) work: Option<super::work::Work>,
    /// The look under way.
    pub(super) look: Option<u64>,
    /// The last look has seen a server that Witch did not start.
    pub(super) strange: bool,
    /// The kill under way was ordered while the node was to be fenced.
    pub(super) fences: bool,
    /// Since then no actor has died, and no guard was lost.
    pub(super) quiet_since: u64,
    pub(super) stopping: bool,
    /// What the judge knows of this daemon's beliefs.
    pub(super) belief: super::invariants::Belief,
}

/// The file of every node.
pub(super) fn members(nodes: usize) -> Vec<Member> {
    let endpoint = |node: usize, port: u16| Endpoint { host: format!("h{}", node + 1), port };
    let member = |node: usize| Member {
        node: id(node),
        raft_id: RaftId(0),
        name: format!("n{}", node + 1),
        witch: endpoint(node, 7000),
        database: endpoint(node, 5432),
        witness: false,
    };
    (0..nodes).map(member).collect()
}

/// The node whose database listens there.
pub(super) fn node_at(endpoint: &Endpoint) -> Option<usize> {
    endpoint.host.strip_prefix('h')?.parse::<usize>().ok()?.checked_sub(1)
}

impl World {
    /// A new life of the daemon.
    pub(super) fn start_daemon(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if host.daemon.is_some() || !host.powered {
            return;
        }
        host.lives += 1;
        let (life, released) = (host.lives, host.disk.released);
        let mut board = Newest::default();
        board.note(&fsm::Input::ReleaseRecorded { epoch: released });
        host.daemon = Some(Daemon {
            life,
            fsm: None,
            raft: None,
            pg: None,
            probes: (0..self.setting.nodes).filter(|peer| *peer != node).map(|peer| (peer, None)).collect(),
            board,
            report: None,
            order: None,
            raft_life: 0,
            alarms: 0,
            windows: BTreeMap::new(),
            tether: Tether::new(life),
            work: None,
            look: None,
            strange: false,
            fences: false,
            quiet_since: self.now,
            stopping: false,
            belief: super::invariants::Belief::default(),
        });
        self.tell_story(|| format!("node {}: the daemon starts", node + 1));
        self.begin_to_connect(node, 1_000_000);
        let peers: Vec<_> = (0..self.setting.nodes).filter(|peer| *peer != node).collect();
        for actor in [Actor::Raft, Actor::Fsm, Actor::Pg].into_iter().chain(peers.into_iter().map(Actor::Probe)) {
            self.start_actor(node, actor);
        }
    }

    /// The daemon's process is gone.
    pub(super) fn end_daemon(&mut self, node: usize) {
        let arrives = self.dice.one_in(2);
        let host = &mut self.hosts[node];
        if host.daemon.take().is_none() {
            return;
        }
        host.disk.abandon(arrives);
        host.daemon_wakes_at = 0;
        if let Some(guard) = &mut host.guard {
            guard.daemon = None;
        }
        self.note_exposure(node);
    }

    /// Somebody like systemd starts the daemon after that time.
    pub(super) fn start_later(&mut self, node: usize, after: u64) {
        self.hosts[node].start += 1;
        let start = self.hosts[node].start;
        self.schedule(self.now + after, Event::Start(node, start));
    }

    fn consensus(&self, node: usize, boot: u64) -> raft::Config {
        let settings = self.setting.settings.clone();
        raft::Config { settings, ..raft::Config::new(id(node), "sim".into(), members(self.setting.nodes), boot) }
    }

    /// Who votes, as that node knows it, or will once it has read its log.
    pub(super) fn membership(&self, node: usize) -> [Vec<u64>; 2] {
        let host = &self.hosts[node];
        match host.daemon.as_ref().and_then(|daemon| daemon.raft.as_ref()) {
            Some(raft) => raft.machine.voters(),
            None => raft::Machine::new(self.consensus(node, 1), &host.disk.stored, self.local(node))
                .map(|machine| machine.voters())
                .unwrap_or_default(),
        }
    }

    /// A life of an actor begins, with what it must be told first.
    fn start_actor(&mut self, node: usize, actor: Actor) {
        let now = self.local(node);
        let (boot, wall) = (self.dice.between((1, u64::MAX >> 1)), self.now / 1000);
        let tags = self.setting.tags[node].clone();
        let true_now = self.now;
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        match actor {
            Actor::Fsm => {
                let machine = fsm::Machine::new(fsm_config(node, tags, Boot(boot), now, WallClock(wall)));
                daemon.fsm = Some(Living { machine, alarm: Alarm::default() });
                let recalled = fsm::Input::Recalled(daemon.board.facts());
                self.step_fsm(node, recalled);
                self.step_fsm(node, fsm::Input::Woken);
            }
            Actor::Raft => {
                daemon.raft_life += 1;
                let host = &mut self.hosts[node];
                let Some(stored) = host.disk.begin_life(true_now) else {
                    self.actor_died(node, actor, "the disk does not answer");
                    return;
                };
                match raft::Machine::new(self.consensus(node, boot), &stored, now) {
                    Ok(machine) => {
                        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
                            daemon.raft = Some(Living { machine, alarm: Alarm::default() });
                        }
                        for peer in self.network.peers_of(node, life) {
                            self.announce(node, life, peer, true);
                        }
                        self.step_raft(node, raft::Input::Woken);
                    }
                    Err(unusable) => self.violate("L3", format!("node {} cannot read its own log: {unusable}", node + 1)),
                }
            }
            Actor::Pg => {
                let machine = pg::Machine::new(pg::Timing::default());
                daemon.pg = Some(Living { machine, alarm: Alarm::default() });
                (daemon.work, daemon.look) = (None, None);
                if let Some((number, order, hurry)) = daemon.order.clone() {
                    self.step_pg(node, pg::Input::Ordered { number, order, hurry });
                }
                self.step_pg(node, pg::Input::Woken);
            }
            Actor::Probe(peer) => {
                let machine = probe::Probe::new(id(peer), probe::Config::default());
                daemon.probes.insert(peer, Some(Living { machine, alarm: Alarm::default() }));
                if let Some(report) = daemon.report.clone() {
                    self.step(node, Mail::Probe(peer, Box::new(probe::Input::Reported(report))));
                }
                self.step(node, Mail::Probe(peer, Box::new(probe::Input::Woken)));
                return;
            }
        }
        self.arm(node, actor);
    }

    /// An actor dies; its supervisor takes over (L3).
    pub(super) fn actor_died(&mut self, node: usize, actor: Actor, cause: &str) {
        let (now, true_now) = (self.local(node), self.now);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        daemon.quiet_since = true_now;
        match actor {
            Actor::Fsm => daemon.fsm = None,
            Actor::Raft => {
                daemon.raft = None;
                // What an earlier life ordered is void from here on.
                daemon.raft_life += 1;
            }
            Actor::Pg => (daemon.pg, daemon.work, daemon.look) = (None, None, None),
            Actor::Probe(peer) => {
                daemon.probes.insert(peer, None);
            }
        }
        let life = daemon.life;
        let window = daemon.windows.entry(actor).or_insert_with(|| RestartWindow::new(RestartPolicy::default()));
        match window.died(now) {
            Verdict::Restart(delay) => {
                let delay = u64::try_from(delay.as_micros()).expect("a short time");
                self.tell_story(|| format!("node {}: {actor:?} died ({cause}) and is started again", node + 1));
                self.schedule(self.now + delay, Event::Chore(node, life, Chore::Restart(actor)));
            }
            Verdict::GiveUp => {
                self.tell_story(|| format!("node {}: {actor:?} dies too often, so the daemon ends", node + 1));
                self.end_daemon(node);
                self.start_later(node, 500_000);
            }
        }
    }

    pub(super) fn restart_actor(&mut self, node: usize, actor: Actor) {
        let Some(daemon) = &self.hosts[node].daemon else { return };
        let lives = match actor {
            Actor::Fsm => daemon.fsm.is_some(),
            Actor::Raft => daemon.raft.is_some(),
            Actor::Pg => daemon.pg.is_some(),
            Actor::Probe(peer) => daemon.probes.get(&peer).is_some_and(Option::is_some),
        };
        if !lives {
            self.start_actor(node, actor);
        }
    }

    /// Re-arms the one alarm of an actor.
    pub(super) fn arm(&mut self, node: usize, actor: Actor) {
        let host = &mut self.hosts[node];
        let clock = host.clock;
        let Some(daemon) = host.daemon.as_mut() else { return };
        let life = daemon.life;
        let (wanted, alarm) = match actor {
            Actor::Fsm => daemon.fsm.as_mut().map(|living| (living.machine.wake_at(), &mut living.alarm)),
            Actor::Raft => daemon.raft.as_mut().map(|living| (living.machine.wake_at(), &mut living.alarm)),
            Actor::Pg => daemon.pg.as_mut().map(|living| (living.machine.wake_at(), &mut living.alarm)),
            Actor::Probe(peer) => {
                daemon.probes.get_mut(&peer).and_then(Option::as_mut).map(|living| (living.machine.wake_at(), &mut living.alarm))
            }
        }
        .unzip();
        let (Some(wanted), Some(alarm)) = (wanted, alarm) else { return };
        if wanted == alarm.armed_for {
            return;
        }
        daemon.alarms += 1;
        (alarm.number, alarm.armed_for) = (daemon.alarms, wanted);
        let number = alarm.number;
        if let Some(at) = wanted {
            // A shell is never quicker than this.
            let at = clock.when(at).max(self.now + 20);
            self.schedule(at, Event::Alarm(node, life, actor, number));
        }
    }

    pub(super) fn alarm(&mut self, node: usize, actor: Actor, number: u64) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let alarm = match actor {
            Actor::Fsm => daemon.fsm.as_mut().map(|living| &mut living.alarm),
            Actor::Raft => daemon.raft.as_mut().map(|living| &mut living.alarm),
            Actor::Pg => daemon.pg.as_mut().map(|living| &mut living.alarm),
            Actor::Probe(peer) => daemon.probes.get_mut(&peer).and_then(Option::as_mut).map(|living| &mut living.alarm),
        };
        let Some(alarm) = alarm.filter(|alarm| alarm.number == number) else { return };
        alarm.armed_for = None;
        self.step(
            node,
            match actor {
                Actor::Fsm => Mail::Fsm(Box::new(fsm::Input::Woken)),
                Actor::Raft => Mail::Raft(Box::new(raft::Input::Woken)),
                Actor::Pg => Mail::Pg(Box::new(pg::Input::Woken)),
                Actor::Probe(peer) => Mail::Probe(peer, Box::new(probe::Input::Woken)),
            },
        );
    }

    /// One step of an actor.
    pub(super) fn step(&mut self, node: usize, mail: Mail) {
        match mail {
            Mail::Fsm(input) => {
                self.step_fsm(node, *input);
                self.arm(node, Actor::Fsm);
            }
            Mail::Raft(input) => {
                self.step_raft(node, *input);
                self.arm(node, Actor::Raft);
            }
            Mail::Pg(input) => {
                self.step_pg(node, *input);
                self.arm(node, Actor::Pg);
            }
            Mail::Probe(peer, input) => {
                self.step_probe(node, peer, *input);
                self.arm(node, Actor::Probe(peer));
            }
        }
    }
}

/// As `witch` makes it of a file without `[failover]`.
fn fsm_config(node: usize, tags: Tags, boot: Boot, started: Timestamp, started_at: WallClock) -> fsm::Config {
    fsm::Config {
        node: id(node),
        name: format!("n{}", node + 1),
        // As the log has them: no address changes here.
        members: Vec::new(),
        witness: false,
        boot,
        started,
        started_at,
        tags,
        timing: LeaseTiming::default(),
        patience: Duration::from_secs(5),
        step_down_max: Duration::from_secs(65),
        catch_up_max: Duration::from_secs(5),
        start_max: Duration::from_secs(60),
        restarts_in_place: 2,
    }
}
