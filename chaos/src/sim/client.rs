//! Clients that write all the time, like libpq with several hosts in its URI, and remember what was acknowledged, by whom and when.

use super::event::{Event, ServerEvent};
use super::world::World;
use crate::invariants::Acknowledgement;
use actors::machine::Timestamp;
use actors::model::{NodeId, Timeline};

/// A record of a commit.
const SIZE: (u64, u64) = (100, 4_000);

/// An acknowledged commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) number: u64,
    pub(super) end: u64,
    pub(super) node: usize,
}

/// A commit that waits for its flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    client: usize,
    number: u64,
    end: u64,
    began: u64,
}

impl World {
    /// A client beside each node, and its turn: it writes to the first primary that it finds, its own node first.
    pub(super) fn client_writes(&mut self, client: usize) {
        let pause = self.dice.between(self.setting.writes);
        let now = self.now;
        self.schedule(now + pause, Event::Client(client));
        let nodes = self.setting.nodes;
        let serves = |world: &Self, node: usize| {
            let host = &world.hosts[node];
            host.server_wakes_at <= now
                && world.reaches(client, node)
                && host.server.as_ref().is_some_and(super::postgres::Server::serves_writes)
        };
        let Some(node) = (0..nodes).map(|step| (client + step) % nodes).find(|node| serves(self, *node)) else { return };
        let (size, flush) = (self.dice.between(SIZE), self.dice.between(self.setting.flush));
        let number = self.next_record();
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_ref(), host.data.as_mut()) else { return };
        data.append(now, now + flush, number, size);
        let (pid, crashes, end) = (server.pid, server.crashes, data.end().0);
        self.note_written(node);
        self.schedule(now + flush, Event::Server(node, pid, ServerEvent::Flushed(crashes, Written { client, number, end, began: now })));
    }

    /// The commit is on disk, so it is acknowledged; backends that outlive their postmaster do that, too.
    pub(super) fn flushed(&mut self, node: usize, crashes: u32, commit: Written) {
        let Written { client, number, end, began } = commit;
        let Some(epoch) = self.hosts[node].server.as_ref().and_then(super::postgres::Server::epoch) else { return };
        // The session that waited for it is gone, and the record may be.
        if self.hosts[node].server.as_ref().is_some_and(|server| server.crashes != crashes) {
            return;
        }
        if let Some(data) = &mut self.hosts[node].data {
            data.flushed(end);
        }
        self.push(node);
        if !self.reaches(client, node) {
            return;
        }
        if !self.judge_commit(node, epoch) {
            return;
        }
        // Epochs order the reigns of primaries. Timelines would, but for two promotions from one point, of which one was never heard of.
        let timeline = Timeline(u32::try_from(epoch.0).expect("a short story"));
        let at = Timestamp::from_micros;
        self.history.push(Acknowledgement { node: NodeId(node as u64 + 1), timeline, began: at(began), ended: at(self.now) });
        self.commits.push(Commit { number, end, node });
    }
}
