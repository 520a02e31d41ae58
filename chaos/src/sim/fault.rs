//! Faults, and operators with bad timing, as the schedule orders them.

use super::event::{Event, Mail};
use super::postgres::Data;
use super::story::{Blow, Fault, Who};
use super::world::World;
use actors::fsm::{self, Request};
use actors::guard::wire::ExitStatus;
use actors::model::{NodeId, RaftId, RequestId, SystemIdentifier};

const MILLI: u64 = 1000;

impl World {
    fn whom(&self, who: Who) -> usize {
        match who {
            Who::Node(node) => node,
            Who::Primary => {
                let primary = self.judge.newest.as_ref().and_then(|(_, state)| state.primary.as_ref()).map(|primary| primary.node);
                primary.map_or(0, super::network::index)
            }
            Who::Leader => (0..self.setting.nodes).find(|node| self.leads(*node)).unwrap_or(0),
        }
    }

    /// Somebody was promoted, and may have been waited for.
    pub(super) fn spring(&mut self, node: usize) {
        let Some((blow, after, span)) = self.ambush.take() else { return };
        let who = Who::Node(node);
        let fault = match blow {
            Blow::PowerOff => Fault::PowerOff(who, span),
            Blow::Isolate => Fault::Isolate(who, span),
            Blow::PauseHost => Fault::PauseHost(who, span),
        };
        self.schedule(self.now + after * MILLI, Event::Struck(fault));
    }

    /// The fault happens, where it can.
    pub(super) fn inflict(&mut self, fault: Fault) {
        self.tell_story(|| format!("--- {fault:?}"));
        if self.try_to_inflict(fault) {
            self.tally.fault(fault.name());
        } else {
            self.tell_story(|| "--- ... which does not apply now".to_owned());
        }
    }

    fn try_to_inflict(&mut self, fault: Fault) -> bool {
        let until = |millis: u64| self.now + millis * MILLI;
        match fault {
            Fault::Ambush(blow, after, span) => self.ambush = Some((blow, after, span)),
            Fault::KillDaemon(who, down) => {
                let node = self.whom(who);
                if self.hosts[node].daemon.is_none() {
                    return false;
                }
                self.end_daemon(node);
                self.start_later(node, down * MILLI);
            }
            Fault::StopDaemon(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                if self.hosts[node].daemon.is_none() {
                    return false;
                }
                let host = &mut self.hosts[node];
                host.daemon_wakes_at = host.daemon_wakes_at.max(until);
                self.note_exposure(node);
            }
            Fault::KillGuard(who) => {
                let node = self.whom(who);
                if self.hosts[node].guard.is_none() {
                    return false;
                }
                self.end_guard(node);
            }
            Fault::StopGuard(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                if self.hosts[node].guard.is_none() {
                    return false;
                }
                let host = &mut self.hosts[node];
                host.guard_wakes_at = host.guard_wakes_at.max(until);
                self.note_exposure(node);
            }
            Fault::KillServer(who) => {
                let node = self.whom(who);
                let Some(server) = self.hosts[node].server.as_mut().filter(|server| !server.is_strange()) else { return false };
                // Its backends live on until the guard has ended them.
                server.dying = true;
                let guard = server.guard;
                let ended = super::event::GuardEvent::Ended(ExitStatus::Signal(9));
                self.schedule(self.now + 100, Event::Guard(node, guard, ended));
            }
            Fault::KillBackend(who, takes) => {
                let node = self.whom(who);
                return self.kill_backend(node, takes * MILLI);
            }
            Fault::StopServer(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                if self.hosts[node].server.is_none() {
                    return false;
                }
                let host = &mut self.hosts[node];
                host.server_wakes_at = host.server_wakes_at.max(until);
            }
            Fault::PowerOff(who, down) => {
                let node = self.whom(who);
                return self.power_off(node, Some(down));
            }
            Fault::PauseHost(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                return self.pause_host(node, until);
            }
            Fault::FreezeHost(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                if !self.pause_host(node, until) {
                    return false;
                }
                self.hosts[node].clock.froze(self.now, until);
            }
            Fault::KillActor(who, actor) => {
                let node = self.whom(who);
                let peer_is_us = matches!(actor, super::story::Actor::Probe(peer) if peer == node);
                if self.hosts[node].daemon_is_away(self.now) || peer_is_us {
                    return false;
                }
                self.actor_died(node, actor, "killed");
            }
            Fault::Isolate(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                for peer in (0..self.setting.nodes).filter(|peer| *peer != node) {
                    self.network.cuts.extend([(node, peer, until), (peer, node, until)]);
                }
            }
            Fault::CutOneWay(from, to, span) => self.network.cuts.push((from, to, until(span))),
            Fault::CutPair(one, other, span) => {
                let until = until(span);
                self.network.cuts.extend([(one, other, until), (other, one, until)]);
            }
            Fault::SlowLinks(who, more, span) => {
                let (node, until) = (self.whom(who), until(span));
                self.hosts[node].slow_links = (until, more * MILLI);
            }
            Fault::SlowDisk(who, takes, span) => {
                let (node, until) = (self.whom(who), until(span));
                self.hosts[node].disk.slow = (until, takes * MILLI);
            }
            Fault::FullDisk(who, span) => {
                let (node, until) = (self.whom(who), until(span));
                self.hosts[node].disk.full_until = until;
            }
            Fault::LoseLog(who, down) => {
                let node = self.whom(who);
                return self.lose_log(node, down);
            }
            Fault::ForeignDatabase(who, down) => {
                let node = self.whom(who);
                if !self.power_off(node, Some(down)) {
                    return false;
                }
                let (identifier, number) = (SystemIdentifier(self.dice.between((1, u64::MAX >> 1))), self.next_record());
                self.hosts[node].data = Some(Data { foreign: true, ..Data::fresh(identifier, number) });
                self.hosts[node].replaced_at = Some(self.now);
                self.schedule(self.now + (down + 10_000) * MILLI, Event::MoveAway(node));
            }
            Fault::LoseDatabase(who, down) => {
                let node = self.whom(who);
                if !self.power_off(node, Some(down)) {
                    return false;
                }
                self.hosts[node].data = None;
                self.hosts[node].replaced_at = Some(self.now);
            }
            Fault::CopyDisk(node) => {
                let host = &mut self.hosts[node];
                host.copy = host.data.clone().filter(|data| !data.unfinished && !data.foreign);
                return host.copy.is_some();
            }
            Fault::PutBack(node, down) => return self.put_back(node, down),
            Fault::WriteUnsigned(node, records, down) => return self.write_unsigned(node, records, down),
            Fault::StartByHand(who, records, span) => {
                let node = self.whom(who);
                return self.start_by_hand(node, records, span * MILLI);
            }
            Fault::Terminate(who, down) => {
                let node = self.whom(who);
                let Some(daemon) = self.hosts[node].daemon.as_mut() else { return false };
                daemon.stopping = true;
                let life = daemon.life;
                self.tell_fsm(node, fsm::Input::Stopped);
                self.schedule(self.now + 32_000 * MILLI, Event::Chore(node, life, super::event::Chore::Overdue));
                self.start_later(node, down * MILLI + 5_000 * MILLI);
            }
            Fault::Switchover(node, to) => return self.request(node, Request::Switchover { to: to.map(|to| NodeId(to as u64 + 1)) }),
            Fault::PauseFailover(span) => {
                self.schedule(until(span), Event::Resume);
                return self.request(0, Request::Pause);
            }
        }
        true
    }

    pub(super) fn is_leaseholder(&self, node: usize) -> bool {
        let holder = self.judge.newest.as_ref().and_then(|(_, state)| state.leaseholder());
        holder.is_some_and(|(holder, _)| super::network::index(holder) == node)
    }

    fn put_back(&mut self, node: usize, down: u64) -> bool {
        let same = |copy: &Data, data: &Data| copy.identifier == data.identifier;
        let host = &self.hosts[node];
        let Some(mut copy) = host.copy.clone().filter(|copy| host.data.as_ref().is_some_and(|data| same(copy, data))) else { return false };
        if !self.power_off(node, Some(down)) {
            return false;
        }
        copy.durable = copy.log.len();
        // What a primary wrote in its own epoch nobody knows but its standbys (D5): the operator has thrown it away.
        if self.is_leaseholder(node) {
            self.judge.two_histories = self.judge.newest.as_ref().map(|(_, state)| state.epoch);
            let kept: std::collections::BTreeSet<u64> = copy.log.iter().map(|record| record.number).collect();
            let before = self.commits.len();
            self.commits.retain(|commit| kept.contains(&commit.number));
            self.tally.add("commits that an operator threw away with the primary's disk", (before - self.commits.len()) as u64);
        }
        for host in &mut self.hosts {
            // They were compared with what was there before.
            if let Some(server) = host.server.as_mut().filter(|server| server.follows == Some(node)) {
                server.compared = None;
            }
        }
        let host = &mut self.hosts[node];
        (host.data, host.replaced_at) = (Some(copy), Some(self.now));
        true
    }

    /// Whoever leads has no signal file, and nobody starts it by hand.
    fn write_unsigned(&mut self, node: usize, records: u64, down: u64) -> bool {
        let sound = self.hosts[node].data.as_ref().is_some_and(|data| !data.unfinished && !data.foreign && data.standby_signal);
        if self.is_leaseholder(node) || !sound || !self.power_off(node, Some(down)) {
            return false;
        }
        let now = self.now;
        for _ in 0..records {
            let (number, size) = (self.next_record(), self.dice.between((2, 30)) * 8);
            if let Some(data) = self.hosts[node].data.as_mut() {
                data.append(now, now, number, size);
            }
        }
        let host = &mut self.hosts[node];
        host.replaced_at = Some(now);
        if let Some(data) = host.data.as_mut() {
            data.durable = data.log.len();
            data.set_state(now, actors::guard::control_file::DbState::ShutDown);
        }
        true
    }

    /// An operator asks a node.
    pub(super) fn request(&mut self, node: usize, request: Request) -> bool {
        let id = RequestId(self.dice.between((1, u64::MAX >> 1)));
        let Some(daemon) = &self.hosts[node].daemon else { return false };
        let life = daemon.life;
        self.mail(node, life, Mail::Fsm(Box::new(fsm::Input::Requested { id, request })));
        true
    }

    /// The stop takes too long: the server is killed and the process ends.
    pub(super) fn overdue(&mut self, node: usize) {
        if !self.hosts[node].server.as_ref().is_some_and(super::postgres::Server::is_strange) {
            self.server_ended(node, ExitStatus::Signal(9), "the daemon's last resort");
        }
        self.end_guard(node);
        self.end_daemon(node);
    }

    pub(super) fn power_off(&mut self, node: usize, back_after: Option<u64>) -> bool {
        let now = self.now;
        if !self.hosts[node].powered {
            if back_after.is_none() {
                // It was to come back, and does not.
                self.hosts[node].start += 1;
            }
            return false;
        }
        self.end_daemon(node);
        let host = &mut self.hosts[node];
        host.powered = false;
        (host.guard, host.server, host.lease, host.dropped) = (None, None, None, None);
        (host.daemon_wakes_at, host.guard_wakes_at, host.server_wakes_at, host.exposed) = (0, 0, 0, false);
        if let Some(data) = &mut host.data {
            data.lose_power(now);
        }
        if let Some(down) = back_after {
            self.start_later(node, down * MILLI);
        } else {
            host.start += 1;
        }
        true
    }

    fn pause_host(&mut self, node: usize, until: u64) -> bool {
        let host = &mut self.hosts[node];
        if !host.powered || host.daemon_wakes_at > self.now {
            return false;
        }
        // Whoever was stopped for longer stays so.
        host.daemon_wakes_at = host.daemon_wakes_at.max(until);
        host.guard_wakes_at = host.guard_wakes_at.max(until);
        host.server_wakes_at = host.server_wakes_at.max(until);
        self.note_exposure(node);
        true
    }

    /// S13 promises something only for one lost log at a time, and only once there is a cluster.
    fn lose_log(&mut self, node: usize, down: u64) -> bool {
        let born = |host: &super::host::Host| {
            let identity = host.disk.stored.identity.as_ref().filter(|identity| identity.born);
            // A learner's log is as good as lost: it has no vote yet, in the eyes of everybody who does not know of it.
            let known = host.daemon.as_ref().and_then(|daemon| daemon.raft.as_ref()).map(|raft| raft.machine.voters());
            let votes = |raft_id: RaftId| self.judge.voters.iter().all(|voters| voters.is_empty() || voters.contains(&raft_id.0));
            host.powered && known.as_ref() == Some(&self.judge.voters) && identity.is_some_and(|identity| votes(identity.raft_id))
        };
        if !self.hosts.iter().all(born) {
            return false;
        }
        self.end_daemon(node);
        self.hosts[node].disk.lose();
        self.start_later(node, down * MILLI);
        true
    }
}
