//! A server that Witch did not start, and what tells it from Witch's own (S6): what was noted before a start, and whose child it is.

use super::event::Event;
use super::postgres::{Nature, Server};
use super::world::World;
use actors::guard::control_file::DbState;
use actors::model;
use actors::pg::{Life, Note, Operation, Process};

/// A daemon that looks all the time has noticed a stranger after this time.
const NOTICED: u64 = 5_000_000;
/// A note of an order that nobody answered holds for servers that begin so many seconds after it.
const ORDER_HOLDS: u64 = 60;

impl World {
    /// An operator starts a server, where none runs.
    pub(super) fn start_by_hand(&mut self, node: usize, records: u64, span: u64) -> bool {
        let now = self.now;
        let leads = self.is_leaseholder(node);
        let numbers: Vec<_> = (0..records).map(|_| (self.next_record(), self.dice.between((2, 30)) * 8)).collect();
        let host = &mut self.hosts[node];
        let works = host.daemon.as_ref().is_some_and(|daemon| daemon.work.is_some());
        let sound = host.data.as_ref().is_some_and(|data| !data.unfinished && !data.foreign);
        // Within a minute of an order that came to nothing nobody can tell whose it is.
        let ordered = matches!(host.note, Some(Note::Starts(_)));
        let Some(data) = host.data.as_mut().filter(|_| sound && host.powered && host.server.is_none() && !works && !ordered) else {
            return false;
        };
        host.pids += 1;
        let pid = host.pids;
        if data.standby_signal {
            data.set_state(now, DbState::InArchiveRecovery);
        } else {
            for (number, size) in numbers.into_iter().filter(|_| leads) {
                data.append(now, now, number, size);
            }
            data.set_state(now, DbState::InProduction);
        }
        host.server = Some(Server {
            pid,
            guard: 0,
            began: now,
            nature: Nature::Standby,
            up: true,
            crashes: 0,
            recovers: None,
            follows: None,
            compared: None,
            streams: false,
            vetted: None,
            diverged: false,
            awaits: false,
            received: false,
            replayed: (0, 0),
            on_disk: None,
            stopping: false,
            dying: false,
            killed: false,
        });
        (host.exposed, host.server_wakes_at) = (false, 0);
        self.schedule(now + span, Event::StopByHand(node, pid));
        true
    }

    pub(super) fn stop_by_hand(&mut self, node: usize, pid: u32) {
        let now = self.now;
        let host = &mut self.hosts[node];
        if !host.server.as_ref().is_some_and(|server| server.pid == pid && server.is_strange() && !server.dying) {
            return;
        }
        if let Some(data) = host.data.as_mut() {
            data.settle(now);
            data.set_state(now, if data.standby_signal { DbState::ShutDownInRecovery } else { DbState::ShutDown });
        }
        self.remove_server(node, "its operator stops it");
    }

    /// Who is in the directory of a guard that has no child, as the hands find out.
    pub(super) fn childless(&self, node: usize) -> Process {
        let host = &self.hosts[node];
        let Some(server) = host.server.as_ref().filter(|server| !server.dying) else { return Process::Orphaned };
        let noted = host.note.is_some_and(|note| note.is_of(server.pid, Some(server.began / 1_000_000)));
        let child = host.guard.as_ref().is_some_and(|guard| guard.life == server.guard);
        if noted || child { Process::Orphaned } else { Process::Stranger { pid: server.pid } }
    }

    /// The kill was ordered for another server than the one that is there, which Witch did not start.
    pub(super) fn spares(&self, node: usize) -> bool {
        let host = &self.hosts[node];
        let known = host.daemon.as_ref().is_some_and(|daemon| daemon.strange);
        !known && host.server.is_some() && matches!(self.childless(node), Process::Stranger { .. })
    }

    /// The hands note what runs, should the daemon that had it started have died before it could.
    pub(super) fn note_down(&mut self, node: usize, pid: u32) {
        self.hosts[node].note = Some(Note::Runs(pid));
    }

    /// The server that an operator started there, and since when that could be known; none if an order to start one may have been carried out.
    fn strange(&self, node: usize) -> Option<(Life, u64)> {
        let host = &self.hosts[node];
        // One whose kill was begun is none any more, though the daemon that began it may have died since.
        let server = host.server.as_ref().filter(|server| server.is_strange() && !server.dying)?;
        let began = server.began / 1_000_000;
        let doubtful = matches!(host.note, Some(Note::Starts(ordered)) if began + 1 >= ordered && began <= ordered + ORDER_HOLDS);
        let quiet = host.daemon.as_ref().map_or(self.now, |daemon| daemon.quiet_since);
        let known = server.began.max(quiet).max(host.daemon_wakes_at).max(host.guard_wakes_at);
        (!doubtful).then_some((Life(server.pid), known))
    }

    /// Every process in the directory is about to be killed.
    pub(super) fn judge_sweep(&mut self, node: usize) {
        let Some((Life(pid), _)) = self.strange(node) else { return };
        // It knows whom it ends: somebody else may write in the database of the primary.
        if self.hosts[node].daemon.as_ref().is_some_and(|daemon| daemon.fences && daemon.strange) {
            self.tally.count("strangers that were killed since their node gave its epoch up");
        } else {
            self.violate("S6", format!("node {} kills server {pid}, which an operator started", node + 1));
        }
    }

    /// An operation begins.
    pub(super) fn judge_beside(&mut self, node: usize, operation: &Operation) {
        let Some((Life(pid), known)) = self.strange(node) else { return };
        if self.now > known + NOTICED {
            let text = format!("node {} begins {:?} beside server {pid}, which an operator started", node + 1, operation.kind());
            self.violate("S6", text);
        }
    }

    /// The adapter tells what its server is.
    pub(super) fn judge_reported(&mut self, node: usize, told: model::Server) {
        let Some((Life(pid), known)) = self.strange(node) else { return };
        self.tally.count("reports of a server that an operator started");
        let apart = matches!(told, model::Server::Stranger | model::Server::Stopping);
        if !apart && self.now > known + NOTICED {
            self.violate(
                "S6",
                format!("node {} takes server {pid}, which an operator started, for its own: it calls it {told:?}", node + 1),
            );
        }
    }
}
