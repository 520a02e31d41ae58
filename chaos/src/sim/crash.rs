//! A process of a server is killed and its postmaster is not: all sessions end, and the server recovers in place.

use super::event::{Event, ServerEvent};
use super::postgres::Nature;
use super::world::World;
use actors::guard::control_file::DbState;
use actors::guard::wire::ExitStatus;

/// A daemon that looks all the time has noticed what a server does after this time.
const NOTICED: u64 = 5_000_000;

impl World {
    /// What was written and not flushed may be lost with the processes, and nobody is told any more that it was flushed.
    pub(super) fn kill_backend(&mut self, node: usize, takes: u64) -> bool {
        let now = self.now;
        let luck = self.dice.roll();
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_mut()) else { return false };
        if !server.up || server.is_strange() || server.stopping || server.dying || server.killed || host.server_wakes_at > now {
            return false;
        }
        (server.up, server.streams, server.crashes) = (false, false, server.crashes + 1);
        server.recovers = Some((now, now + takes));
        // What a standby has received is with the operating system at least.
        if matches!(server.nature, Nature::Primary(_)) {
            data.settle(now);
            let unsure = data.log.len() - data.durable;
            let kept = data.durable + usize::try_from(luck % (unsure as u64 + 1)).expect("a small number");
            data.log.truncate(kept);
            data.set_state(now, DbState::InCrashRecovery);
        }
        let (pid, crashes) = (server.pid, server.crashes);
        self.schedule(now + takes * 3 / 4, Event::Server(node, pid, ServerEvent::Replayed(crashes)));
        self.schedule(now + takes, Event::Server(node, pid, ServerEvent::Recovered(crashes)));
        true
    }

    /// `pg_control` of a primary says for a moment that it has shut down, as the checkpoint at the end of a recovery is one of a shutdown.
    pub(super) fn replayed(&mut self, node: usize, crashes: u32) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_ref(), host.data.as_mut()) else { return };
        if server.crashes == crashes && server.recovers.is_some() && matches!(server.nature, Nature::Primary(_)) {
            data.durable = data.log.len();
            data.set_state(now, DbState::ShutDown);
        }
    }

    /// It lets clients in again; or it cannot, and ends.
    pub(super) fn recovered(&mut self, node: usize, crashes: u32) {
        let now = self.now;
        let fails = self.dice.one_in(12);
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_mut()) else { return };
        if server.crashes != crashes || server.recovers.is_none() || server.stopping || server.dying {
            return;
        }
        if fails {
            return self.server_ended(node, ExitStatus::Code(1), "it cannot recover in place");
        }
        (server.up, server.recovers) = (true, None);
        data.durable = data.log.len();
        let state = if matches!(server.nature, Nature::Primary(_)) { DbState::InProduction } else { DbState::InArchiveRecovery };
        data.set_state(now, state);
        self.tell_story(|| format!("node {}: the server has recovered in place", node + 1));
    }

    /// Nobody is sent to a server that lets nobody in, once there was time to notice.
    pub(super) fn judge_published(&mut self, node: usize, writable: bool) {
        let host = &self.hosts[node];
        let Some((since, _)) = host.server.as_ref().and_then(|server| server.recovers) else { return };
        let Some(daemon) = host.daemon.as_ref() else { return };
        let since = since.max(host.daemon_wakes_at).max(host.guard_wakes_at).max(host.server_wakes_at).max(daemon.quiet_since);
        let looks = daemon.pg.is_some() && daemon.tether.connected.is_some() && daemon.tether.silent_since.is_none();
        if writable && looks && self.now > since + NOTICED {
            let text = format!(
                "node {} says that it accepts writes, and its server has been recovering in place for {} s",
                node + 1,
                (self.now - since) / 1_000_000
            );
            self.violate("L1", text);
        }
    }
}
