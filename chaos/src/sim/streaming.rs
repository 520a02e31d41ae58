//! What happens to a server by itself: it comes up, is promoted, stops, and receives what its upstream sends.

use super::event::{Event, ServerEvent};
use super::postgres::{CHECKPOINT, Nature};
use super::world::World;
use actors::guard::control_file::DbState;
use actors::guard::wire::ExitStatus;
use actors::model::{Promotion, Timeline};

/// `wal_retrieve_retry_interval`, about.
const RECEIVE_EVERY: u64 = 250_000;

impl World {
    pub(super) fn server_event(&mut self, node: usize, pid: u32, event: ServerEvent) {
        let (now, number) = (self.now, self.next_record());
        let host = &mut self.hosts[node];
        let Some(server) = host.server.as_mut().filter(|server| server.pid == pid) else { return };
        let Some(data) = host.data.as_mut() else {
            // Its files were taken away: it dies of that.
            return self.server_ended(node, ExitStatus::Code(1), "its files are gone");
        };
        match event {
            ServerEvent::Begins => match (server.nature, data.state) {
                (Nature::Primary(_), DbState::InProduction | DbState::ShuttingDown) => data.set_state(now, DbState::InCrashRecovery),
                (Nature::Primary(_), _) => {}
                (_, DbState::InProduction | DbState::ShuttingDown | DbState::InCrashRecovery) => {
                    data.set_state(now, DbState::InCrashRecovery);
                }
                _ => data.set_state(now, DbState::InArchiveRecovery),
            },
            ServerEvent::Up => {
                server.up = true;
                let state = if matches!(server.nature, Nature::Primary(_)) { DbState::InProduction } else { DbState::InArchiveRecovery };
                data.set_state(now, state);
                if server.nature == Nature::Standby {
                    self.schedule(now, Event::Server(node, pid, ServerEvent::Receive));
                }
            }
            ServerEvent::Replayed(crashes) => self.replayed(node, crashes),
            ServerEvent::Recovered(crashes) => self.recovered(node, crashes),
            // A promotion under which the server crashed is to be asked for again.
            ServerEvent::Promoted if !server.up => {}
            ServerEvent::Promoted => {
                let Nature::Promoting(epoch) = server.nature else { return };
                if !data.is_consistent() {
                    return self.server_ended(node, ExitStatus::Code(1), "its log ends before it is consistent");
                }
                server.nature = Nature::Primary(epoch);
                let (timeline, lsn) = (Timeline(data.timeline().0 + 1), data.end());
                let mark = u32::try_from(number).ok();
                data.history.push(Promotion { timeline, lsn, mark });
                data.standby_signal = false;
                data.set_state(now, DbState::InProduction);
                self.tell_story(|| format!("node {}: is promoted to timeline {timeline} at {lsn}", node + 1));
                self.judge_promoted(node, epoch);
                self.spring(node);
                self.promotion_done(node);
                if let Some(data) = self.hosts[node].data.as_mut() {
                    data.append(now, now, number, CHECKPOINT);
                }
                self.note_written(node);
            }
            ServerEvent::Stops => self.stops(node),
            ServerEvent::Gone => self.remove_server(node, "killed"),
            ServerEvent::Receive => self.receive(node, pid),
            ServerEvent::Delivered(upto) => self.delivered(node, upto),
            ServerEvent::Flushed(crashes, commit) => self.flushed(node, crashes, commit),
        }
    }

    /// A fast stop ends with a checkpoint, which connected standbys receive before the server is gone.
    fn stops(&mut self, node: usize) {
        let now = self.now;
        let number = self.next_record();
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_mut()) else { return };
        let pid = server.pid;
        if data.state == DbState::ShuttingDown {
            data.append(now, now, number, CHECKPOINT);
            data.set_state(now, DbState::ShutDown);
            self.schedule(now + 20_000, Event::Server(node, pid, ServerEvent::Stops));
            self.note_written(node);
            return self.push(node);
        }
        let waits = data.state == DbState::ShutDown
            && self.lags(node)
            && now < self.hosts[node].data.as_ref().map_or(0, |data| data.settles_at + 3_000_000);
        if waits {
            self.schedule(now + 10_000, Event::Server(node, pid, ServerEvent::Stops));
            return self.push(node);
        }
        if let Some(data) = self.hosts[node].data.as_mut()
            && data.state == DbState::InArchiveRecovery
        {
            data.set_state(now, DbState::ShutDownInRecovery);
        }
        self.server_ended(node, ExitStatus::Code(0), "it stopped");
    }

    /// A connected standby has not received everything.
    fn lags(&self, node: usize) -> bool {
        let all = self.hosts[node].data.as_ref().map_or(0, |data| data.log.len());
        let behind = |host: &super::host::Host| {
            host.server.as_ref().is_some_and(|server| server.streams && server.follows == Some(node))
                && host.data.as_ref().is_some_and(|data| data.log.len() < all)
        };
        self.hosts.iter().any(behind)
    }

    /// The receiver of a standby connects, or notices that its upstream is gone.
    fn receive(&mut self, node: usize, pid: u32) {
        let now = self.now;
        let host = &self.hosts[node];
        let (Some(server), Some(data)) = (&host.server, &host.data) else { return };
        if server.nature != Nature::Standby || server.stopping {
            return;
        }
        if !server.up {
            return self.schedule(now + RECEIVE_EVERY, Event::Server(node, pid, ServerEvent::Receive));
        }
        // Only where the log on its disk ends does it ask for more.
        let replays = !server.received && now < server.replayed.1;
        let upstream = server.follows.filter(|upstream| !replays && *upstream != node && self.reaches(node, *upstream));
        let source = upstream.map(|upstream| &self.hosts[upstream]).filter(|host| {
            let serves = |server: &super::postgres::Server| server.up && matches!(server.nature, Nature::Primary(_));
            let starts = server.streams || host.server.as_ref().is_some_and(|server| !server.stopping);
            host.server_wakes_at <= now && host.server.as_ref().is_some_and(serves) && starts
        });
        let source = source.and_then(|host| host.data.as_ref()).filter(|source| source.identifier == data.identifier);
        let (fits, twin) = source.map_or((false, false), |source| (data.streams_from(source), !data.is_part_of(source)));
        let found = source.is_some();
        let reign = upstream.and_then(|upstream| self.hosts[upstream].server.as_ref()?.epoch());
        if fits && twin && server.compared.is_some() && server.compared == reign {
            let text = format!(
                "node {} streams from {:?}, whose log only looks like the continuation of its own",
                node + 1,
                upstream.map(|up| up + 1)
            );
            self.violate("L2", text);
        }
        if let Some(server) = self.hosts[node].server.as_mut() {
            server.received |= fits;
            if !server.streams && server.vetted == Some(true) {
                server.vetted = None;
            }
            server.streams = fits;
            server.diverged = !fits && (found || server.diverged);
        }
        if let (true, Some(upstream)) = (fits, upstream) {
            self.deliver(upstream, node);
        }
        self.schedule(now + RECEIVE_EVERY, Event::Server(node, pid, ServerEvent::Receive));
    }

    /// Sends what is flushed to every standby that streams from this server.
    pub(super) fn push(&mut self, node: usize) {
        for standby in 0..self.setting.nodes {
            let streams = |server: &super::postgres::Server| server.streams && server.follows == Some(node);
            if self.hosts[standby].server.as_ref().is_some_and(streams) {
                self.deliver(node, standby);
            }
        }
    }

    /// One delivery at a time is on its way; the next takes along what came meanwhile.
    fn deliver(&mut self, from: usize, to: usize) {
        let latency = self.latency(from, to) + self.dice.between(self.setting.lag);
        let now = self.now;
        let sends = self.hosts[from].server.as_ref().is_some_and(|server| server.recovers.is_none());
        if !self.reaches(from, to) || self.hosts[from].server_wakes_at > now || !sends {
            return;
        }
        let Some(source) = self.hosts[from].data.as_mut() else { return };
        source.settle(now);
        let upto = source.durable;
        let history = source.history.len();
        let host = &mut self.hosts[to];
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_ref()) else { return };
        if server.awaits || server.nature != Nature::Standby || data.log.len() >= upto && data.history.len() >= history {
            return;
        }
        server.awaits = true;
        let pid = server.pid;
        self.schedule(now + latency, Event::Server(to, pid, ServerEvent::Delivered(upto)));
    }

    fn delivered(&mut self, node: usize, upto: usize) {
        let now = self.now;
        let takes = self.dice.between(self.setting.flush);
        let Some(server) = self.hosts[node].server.as_mut() else { return };
        server.awaits = false;
        if server.nature != Nature::Standby || !server.streams {
            return;
        }
        let Some(upstream) = server.follows.filter(|upstream| *upstream != node) else { return };
        // It may have been told to follow another one since.
        let [here, there] = self.hosts.get_disjoint_mut([node, upstream]).expect("two hosts of this world");
        let (Some(data), Some(source)) = (here.data.as_mut(), there.data.as_ref()) else { return };
        if data.is_part_of(source) && data.seems_part_of(source) {
            data.receive(now, now + takes, source, upto.min(source.log.len()));
            self.deliver(upstream, node);
        }
    }
}
