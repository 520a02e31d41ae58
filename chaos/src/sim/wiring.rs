//! The star of a node: where each effect goes, as `star.rs` and the hands of the real daemon send it.

use super::event::{Chore, Event, Mail};
use super::network::index;
use super::tether::Purpose;
use super::world::World;
use actors::guard::wire::Request;
use actors::machine::Machine;
use actors::model::{LeaseTiming, NodeId};
use actors::raft::{Fact, PeerMessage};
use actors::{fsm, pg, probe, raft};

/// The guard gets so long to take a lease, or to drop it.
const GUARD_MAX: u64 = 500_000;

impl World {
    /// Puts a fact on the board, and tells the FSM.
    pub(super) fn tell_fsm(&mut self, node: usize, input: fsm::Input) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        daemon.board.note(&input);
        if let fsm::Input::Observed { peer, report: Some(report), .. } = &input {
            daemon.belief.heard_at.insert(index(*peer), self.now);
            if let Some(position) = report.database.as_ref().and_then(|database| database.position) {
                daemon.belief.positions.insert(index(*peer), position);
            }
        }
        let life = daemon.life;
        self.mail(node, life, Mail::Fsm(Box::new(input)));
    }

    pub(super) fn step_fsm(&mut self, node: usize, input: fsm::Input) {
        let now = self.local(node);
        self.note_told(node, &input);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let Some(fsm) = daemon.fsm.as_mut() else { return };
        for effect in fsm.machine.step(now, input) {
            self.perform_fsm(node, effect);
        }
        self.judge_leading(node);
    }

    fn perform_fsm(&mut self, node: usize, effect: fsm::Effect) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        match effect {
            fsm::Effect::Raft(order) => {
                self.judge_order(node, &order);
                self.mail(node, life, Mail::Raft(Box::new(raft::Input::Ordered(order))));
            }
            fsm::Effect::Database { number, order, hurry } => {
                daemon.order = Some((number, order.clone(), hurry));
                daemon.belief.told.leads = if let pg::Order::Lead { epoch, .. } = &order { Some(*epoch) } else { None };
                self.mail(node, life, Mail::Pg(Box::new(pg::Input::Ordered { number, order, hurry })));
            }
            fsm::Effect::GuardLease { epoch, end } => {
                self.judge_grant_taken(node, epoch, end);
                self.ask_guard(node, Purpose::Lease(epoch), Request::Lease { epoch, end }, GUARD_MAX);
            }
            fsm::Effect::RecordRelease { epoch } => {
                self.judge_recorded(node, epoch);
                let takes = self.dice.between(self.setting.disk);
                self.schedule(self.now + takes, Event::Chore(node, life, Chore::Released(epoch)));
            }
            fsm::Effect::Report(report) => {
                daemon.report = Some((*report).clone());
                daemon.belief.told.hear(&report);
                if let Some(position) = report.database.as_ref().and_then(|database| database.position) {
                    daemon.belief.positions.insert(node, position);
                }
                let peers: Vec<_> = daemon.probes.keys().copied().collect();
                for peer in peers {
                    self.mail(node, life, Mail::Probe(peer, Box::new(probe::Input::Reported((*report).clone()))));
                }
            }
            fsm::Effect::Decided { what, why } => {
                self.tally.rule(&why.rule);
                self.tell_story(|| format!("node {}: {what} by {}: {}", node + 1, why.rule, why.because));
            }
            fsm::Effect::Refuse { refusal, .. } => {
                self.tally.rule(&refusal.rule);
                self.tell_story(|| format!("node {}: refuses by {}: {}", node + 1, refusal.rule, refusal.reason));
            }
            fsm::Effect::Publish(status) => self.judge_published(node, status.writable),
            fsm::Effect::Pulse => {}
            fsm::Effect::Exit => self.exits(node),
        }
    }

    /// S8: the release is on disk; the guard drops the lease next, and then the FSM is told.
    pub(super) fn released(&mut self, node: usize, epoch: actors::model::Epoch) {
        let host = &mut self.hosts[node];
        if self.now < host.disk.full_until {
            self.end_daemon(node);
            self.start_later(node, 1_000_000);
            return;
        }
        host.disk.released = host.disk.released.max(epoch);
        let connected = host.daemon.as_ref().is_some_and(|daemon| daemon.tether.connected.is_some());
        if connected {
            self.ask_guard(node, Purpose::Drop(epoch), Request::DropLease { epoch }, GUARD_MAX);
        } else {
            self.tell_fsm(node, fsm::Input::ReleaseRecorded { epoch });
        }
    }

    pub(super) fn step_raft(&mut self, node: usize, input: raft::Input) {
        let now = self.local(node);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        let Some(raft) = daemon.raft.as_mut() else { return };
        // A leader that hears a grant of the one before it has not granted anything.
        let hears_a_grant = matches!(&input, raft::Input::Heard { message, .. } if matches!(**message, PeerMessage::LeaseGrant(_)));
        for effect in raft.machine.step(now, input) {
            match effect {
                raft::Effect::Persist(batch) => self.persist(node, *batch),
                raft::Effect::Send { to, message } => {
                    self.judge_sent(node, &message);
                    self.send(node, index(to), message);
                }
                raft::Effect::Tell(fact) => {
                    match &fact {
                        Fact::Committed { index, state, .. } => self.judge_committed(node, *index, state),
                        Fact::Led(led) => self.judge_led(node, *led),
                        Fact::Leased(grant) if self.leads(node) && !hears_a_grant => self.judge_granted(node, grant),
                        _ => {}
                    }
                    self.tell_fsm(node, fsm::Input::Raft(fact));
                }
                raft::Effect::Link(_) => {}
                raft::Effect::Note { text, .. } => self.tell_story(|| format!("node {}: raft: {text}", node + 1)),
                raft::Effect::Halt { reason } => {
                    self.violate("L3", format!("node {} halts though its disk is well: {reason}", node + 1));
                }
            }
            if self.hosts[node].daemon.as_ref().map(|daemon| daemon.life) != Some(life) {
                return;
            }
        }
    }

    pub(super) fn step_pg(&mut self, node: usize, input: pg::Input) {
        let now = self.local(node);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        let Some(machine) = daemon.pg.as_mut() else { return };
        for effect in machine.machine.step(now, input) {
            match effect {
                pg::Effect::Begin { id, operation } => self.begin_work(node, id, operation),
                pg::Effect::Cancel { id } => self.cancel_work(node, life, id),
                pg::Effect::Kill => self.kill_server(node),
                pg::Effect::Look { number } => self.look(node, number),
                pg::Effect::Probe { number, timeout } => self.probe_server(node, life, number, timeout),
                pg::Effect::Report(reported) => {
                    self.judge_reported(node, reported.database.server);
                    self.tell_fsm(node, fsm::Input::Reported(Box::new(reported)));
                }
                pg::Effect::Note { rule, text, because, .. } => {
                    self.tally.rule(rule);
                    self.tell_story(|| format!("node {}: database: {text} by {rule}: {because}", node + 1));
                }
            }
        }
    }

    /// Whether that node leads, as far as it knows.
    pub(super) fn leads(&self, node: usize) -> bool {
        let me = Some(NodeId(node as u64 + 1));
        self.hosts[node].daemon.as_ref().is_some_and(|daemon| daemon.belief.led.leader == me)
    }

    /// Everything that had to be done before the end is done.
    fn exits(&mut self, node: usize) {
        self.tell_story(|| format!("node {}: the daemon has done all that it had to and ends", node + 1));
        let host = &mut self.hosts[node];
        // It dismisses its guard, which no server needs.
        if host.server.is_none() && host.guard_wakes_at <= self.now {
            host.guard = None;
        }
        self.end_daemon(node);
    }
}

/// The numbers of the lease, the same everywhere.
pub(super) fn timing() -> LeaseTiming {
    LeaseTiming::default()
}
