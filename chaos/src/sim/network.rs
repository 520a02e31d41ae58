//! The network: links that come up and break, and messages that are late, lost, doubled or out of order.

use super::event::{Event, Mail};
use super::world::{World, id};
use actors::machine::Machine as _;
use actors::raft::{self, PeerMessage};
use actors::{model::NodeId, probe};
use std::collections::BTreeMap;

/// Between two looks after a link.
const LOOK_AFTER: u64 = 200_000;

/// The cables, and the connections over them.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// From, to, until when.
    pub(super) cuts: Vec<(usize, usize, u64)>,
    links: BTreeMap<(usize, usize), Link>,
}

/// A connection, as the one who dialled it knows it.
#[derive(Clone, Copy, Debug)]
struct Link {
    from_life: u64,
    to_life: u64,
    /// Nothing has come through since.
    silent_since: Option<u64>,
    last_arrival: u64,
}

impl Network {
    fn is_cut(&self, now: u64, from: usize, to: usize) -> bool {
        self.cuts.iter().any(|cut| (cut.0, cut.1) == (from, to) && cut.2 > now)
    }

    /// Peers to whom that life of a daemon has a link.
    pub(super) fn peers_of(&self, node: usize, life: u64) -> Vec<usize> {
        self.links.iter().filter(|((from, _), link)| *from == node && link.from_life == life).map(|((_, to), _)| *to).collect()
    }
}

impl World {
    /// Whether both directions between two hosts work, and both have power.
    pub(super) fn reaches(&self, one: usize, other: usize) -> bool {
        let works = one == other || !self.network.is_cut(self.now, one, other) && !self.network.is_cut(self.now, other, one);
        works && self.hosts[one].powered && self.hosts[other].powered
    }

    /// What a message between two hosts takes.
    pub(super) fn latency(&mut self, from: usize, to: usize) -> u64 {
        let setting = self.setting.network;
        let usual = if setting.straggle_one_in > 0 && self.dice.one_in(setting.straggle_one_in) {
            self.dice.between((setting.delay.1, setting.straggle))
        } else {
            self.dice.between(setting.delay)
        };
        let slow = |host: usize| {
            let (until, more) = self.hosts[host].slow_links;
            if self.now < until { more } else { 0 }
        };
        usual + slow(from) + slow(to)
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Box<PeerMessage>) {
        let life = self.hosts[from].daemon.as_ref().map(|daemon| daemon.life);
        let Some(link) = self.network.links.get(&(from, to)).copied().filter(|link| Some(link.from_life) == life) else { return };
        let setting = self.setting.network;
        let lost = setting.loss_one_in > 0 && self.dice.one_in(setting.loss_one_in);
        if lost || !self.hosts[to].powered || self.network.is_cut(self.now, from, to) {
            return;
        }
        if setting.twice_one_in > 0 && self.dice.one_in(setting.twice_one_in) {
            let at = self.now + self.latency(from, to);
            self.schedule(at, Event::Arrive { from, to, life: link.to_life, message: message.clone() });
        }
        let mut at = self.now + self.latency(from, to);
        if !setting.reorders {
            at = at.max(link.last_arrival);
            if let Some(link) = self.network.links.get_mut(&(from, to)) {
                link.last_arrival = at;
            }
        }
        self.schedule(at, Event::Arrive { from, to, life: link.to_life, message });
    }

    pub(super) fn arrive(&mut self, from: usize, to: usize, life: u64, message: PeerMessage) {
        if self.network.is_cut(self.now, from, to) {
            return;
        }
        match message {
            PeerMessage::Report(report) => self.mail(to, life, Mail::Probe(from, Box::new(probe::Input::Heard(report)))),
            message => {
                let heard = raft::Input::Heard { from: id(from), message: Box::new(message) };
                self.mail(to, life, Mail::Raft(Box::new(heard)));
            }
        }
    }

    /// Looks after the link from one node to another.
    pub(super) fn tend_link(&mut self, from: usize, to: usize) {
        self.schedule(self.now + LOOK_AFTER, Event::Link(from, to));
        let now = self.now;
        let life = |node: usize| self.hosts[node].daemon.as_ref().map(|daemon| daemon.life);
        let (ours, theirs) = (life(from), life(to));
        let open = self.reaches(from, to);
        let key = (from, to);
        match self.network.links.get_mut(&key) {
            Some(link) if Some(link.from_life) != ours => {
                self.network.links.remove(&key);
            }
            Some(link) => {
                let (ours, reset) = (link.from_life, open && Some(link.to_life) != theirs);
                if open {
                    link.silent_since = None;
                } else {
                    link.silent_since.get_or_insert(now);
                }
                let silent = link.silent_since.is_some_and(|since| now - since > 1_500_000);
                if reset || silent {
                    self.network.links.remove(&key);
                    self.announce(from, ours, to, false);
                }
            }
            None => {
                let asleep = self.hosts[from].daemon_wakes_at > now || self.hosts[to].daemon_wakes_at > now;
                if let (Some(from_life), Some(to_life), true, false) = (ours, theirs, open, asleep) {
                    self.network.links.insert(key, Link { from_life, to_life, silent_since: None, last_arrival: 0 });
                    self.announce(from, from_life, to, true);
                }
            }
        }
    }

    /// A link came up or broke: consensus and the probe of that peer hear it.
    pub(super) fn announce(&mut self, node: usize, life: u64, peer: usize, up: bool) {
        let (machine, watcher) = if up {
            (raft::Input::Linked { node: id(peer) }, probe::Input::Linked)
        } else {
            (raft::Input::Unlinked { node: id(peer) }, probe::Input::Unlinked)
        };
        self.mail(node, life, Mail::Probe(peer, Box::new(watcher)));
        self.mail(node, life, Mail::Raft(Box::new(machine)));
    }

    /// A probe asks its peer's database.
    pub(super) fn ask_database(&mut self, node: usize, life: u64, peer: usize, number: u64) {
        let answers = self.reaches(node, peer)
            && self.hosts[peer].server_wakes_at <= self.now
            && self.hosts[peer].server.as_ref().is_some_and(|server| server.up);
        let after = if answers { 2_000 } else { 1_000_000 };
        let opinion = probe::Input::Asked(probe::Opinion { number, reachable: answers });
        self.schedule(self.now + after, Event::Told(node, life, Mail::Probe(peer, Box::new(opinion))));
    }

    /// The probe of a peer is stepped.
    pub(super) fn step_probe(&mut self, node: usize, peer: usize, input: probe::Input) {
        let now = self.local(node);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        let Some(probe) = daemon.probes.get_mut(&peer).and_then(Option::as_mut) else { return };
        for effect in probe.machine.step(now, input) {
            match effect {
                probe::Effect::Send(report) => self.send(node, peer, Box::new(PeerMessage::Report(report))),
                probe::Effect::AskDatabase { number } => self.ask_database(node, life, peer, number),
                probe::Effect::Tell(observed) => {
                    let probe::Observed { peer, health, report, .. } = observed;
                    self.tell_fsm(node, actors::fsm::Input::Observed { peer, health, report: report.map(Box::new) });
                }
            }
        }
    }
}

/// The node of that index.
pub(super) fn index(node: NodeId) -> usize {
    usize::try_from(node.0).expect("a small number").saturating_sub(1)
}
