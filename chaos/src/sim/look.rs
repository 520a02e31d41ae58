//! What the adapter's hands see: the directory, the processes, and the server's own account.

use super::daemon::members;
use super::dice::Dice;
use super::event::{Event, Mail};
use super::postgres::Nature;
use super::tether::Purpose;
use super::world::World;
use actors::guard::wire::{Request, Status};
use actors::model::{Directory, Position};
use actors::pg::conditions::copies::ANOTHER_HISTORY;
use actors::pg::conditions::replay::NOT_CONSISTENT;
use actors::pg::standing::standby_is_at;
use actors::pg::{self, Answer, Budget, Control, Life, Observation, Phase, Process, Sight, Stream, Upkeep};
use std::time::Duration;

/// The guard answers within this time, or is not counted on.
const GUARD_MAX: u64 = 500_000;
/// The stream of the dice that say when a log cannot be read.
const LOOKS: u64 = 0x100C;
/// Without an answer for so long nobody guards what runs.
const UNGUARDED_MAX: u64 = 5_000_000;

impl World {
    pub(super) fn look(&mut self, node: usize, number: u64) {
        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
            daemon.look = Some(number);
        }
        self.ask_guard(node, Purpose::Look(number), Request::Status, GUARD_MAX);
    }

    /// The guard has said how things stand.
    pub(super) fn see(&mut self, node: usize, number: u64, status: &Status) {
        let process = match &status.server {
            Some(server) => match server.pid {
                Some(pid) if !server.ending => {
                    self.note_down(node, pid);
                    Process::Running { life: Life(pid), promoting: server.writable && server.as_primary.is_none() }
                }
                _ => Process::Unsettled,
            },
            None if self.hosts[node].server.is_some() => self.childless(node),
            None => {
                if let Some(daemon) = self.hosts[node].daemon.as_mut() {
                    daemon.tether.unswept = false;
                }
                Process::Gone
            }
        };
        self.observe(node, number, process);
    }

    /// No guard answers.
    pub(super) fn see_without_guard(&mut self, node: usize, number: u64) {
        let Some(daemon) = &self.hosts[node].daemon else { return };
        let gone_on = daemon.tether.unanswered(self.now).filter(|(lasts, _)| *lasts > UNGUARDED_MAX);
        let process = match (gone_on, self.hosts[node].server.is_some()) {
            (_, true) if self.childless(node) != Process::Orphaned => self.childless(node),
            (Some(_), true) | (Some((_, true)), false) => Process::Orphaned,
            (None, true) => Process::Silent,
            (_, false) => Process::Unsettled,
        };
        self.observe(node, number, process);
    }

    fn observe(&mut self, node: usize, number: u64, process: Process) {
        let takes = self.dice.between((500, 4_000));
        let now = self.now;
        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
            daemon.strange = matches!(process, Process::Stranger { .. });
        }
        self.vet(node, process);
        let told = self.standing(node);
        let host = &self.hosts[node];
        let Some(daemon) = host.daemon.as_ref().filter(|daemon| daemon.look == Some(number)) else { return };
        let life = daemon.life;
        let hangs = host.server_wakes_at > now;
        let running = matches!(process, Process::Running { .. });
        let server = host.server.as_ref().filter(|_| running);
        let answers = server.filter(|server| server.up && !hangs && !server.stopping);
        let open = host.data.as_ref().is_some_and(super::postgres::Data::is_consistent);
        let data = host.data.as_ref();
        let position = data.map(super::postgres::Data::position).unwrap_or_default();
        let sight = answers.zip(told).map(|(server, told)| {
            let in_recovery = !matches!(server.nature, Nature::Primary(_));
            let from = server
                .follows
                .filter(|_| open && server.streams && server.vetted != Some(false))
                .map(|upstream| members(self.setting.nodes)[upstream].database.clone());
            Sight {
                open,
                in_recovery,
                position: told,
                replayed: in_recovery.then(|| data.map_or(told.lsn, |data| server.says(now, data).lsn)),
                hold: None,
                stream: from.map(|from| Stream { timeline: position.timeline, from: Some(from) }),
                lineage: data.map(super::postgres::Data::lineage).unwrap_or_default(),
                checkpointer: Some(server.crashes),
            }
        });
        let streams = sight.as_ref().is_some_and(|sight| sight.stream.is_some());
        let observation = Observation {
            directory: match data {
                None => Directory::Empty,
                Some(data) if data.unfinished => Directory::Unfinished,
                Some(data) => Directory::Database { system_identifier: data.identifier, timeline: data.timeline() },
            },
            control: data.map(|data| Control { timeline: data.timeline(), phase: data.phase() }),
            standby_signal: data.is_some_and(|data| data.standby_signal),
            process,
            sight,
            turned_away: server.is_some_and(|server| server.recovers.is_some()) && !hangs,
            crash: None,
            end: data.filter(|data| process == Process::Gone && data.phase() == Phase::ShutDown).map(|_| position),
            hint: server.is_some_and(|server| server.diverged && !streams || server.vetted == Some(false)),
            last_words: None,
            clones: Budget::default(),
            conditions: [
                server.filter(|server| server.vetted == Some(false)).map(|_| ANOTHER_HISTORY.seen(position.lsn)),
                answers.filter(|_| !open).map(|_| NOT_CONSISTENT.seen(position.lsn)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            upkeep: Upkeep::Nothing,
            leftover: None,
            chosen: false,
        };
        let takes = if server.is_some_and(|server| server.up) && hangs { 800_000 } else { takes };
        let observed = pg::Input::Observed { number, observation: Box::new(observation) };
        self.schedule(now + takes, Event::Told(node, life, Mail::Pg(Box::new(observed))));
    }

    /// How far the hands find the server to be. The log on the disk of one that has just been started cannot always be read at once.
    fn standing(&mut self, node: usize) -> Option<Position> {
        let now = self.now;
        let host = &mut self.hosts[node];
        let life = host.daemon.as_ref()?.life;
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_ref()) else { return None };
        let at = data.position();
        if matches!(server.nature, Nature::Primary(_)) {
            return Some(at);
        }
        server.on_disk = server.on_disk.filter(|(of, _)| *of == life);
        if !server.received && server.on_disk.is_none() && !Dice::new(now, LOOKS).one_in(4) {
            server.on_disk = Some((life, at));
        }
        let told = standby_is_at(server.says(now, data), server.received, server.on_disk.map(|(_, at)| at))?;
        if server.up && (told.timeline, told.lsn) < (at.timeline, at.lsn) {
            let text = format!("node {} tells that its standby is at {told:?}, and the log on its disk reaches to {at:?}", node + 1);
            self.violate("D1", text);
        }
        Some(told)
    }

    /// The hands compare the logs once for each connection of the receiver.
    fn vet(&mut self, node: usize, process: Process) {
        let host = &self.hosts[node];
        let Some(server) = host.server.as_ref().filter(|_| matches!(process, Process::Running { .. })) else { return };
        let answers = server.up && server.streams && server.vetted.is_none() && host.server_wakes_at <= self.now;
        let Some(upstream) = server.follows.filter(|upstream| answers && *upstream != node && self.reaches(node, *upstream)) else {
            return;
        };
        let other = &self.hosts[upstream];
        let serves =
            other.server.as_ref().is_some_and(|server| server.up && !server.stopping && matches!(server.nature, Nature::Primary(_)));
        let (Some(data), Some(source)) = (&host.data, &other.data) else { return };
        // Nor is there a session to learn of a connection from before the standby lets anybody in.
        if !serves || other.server_wakes_at > self.now || !data.is_consistent() {
            return;
        }
        let same = data.is_part_of(source);
        if let Some(server) = self.hosts[node].server.as_mut() {
            server.vetted = Some(same);
        }
    }

    /// A fresh connection and a `SELECT 1`.
    pub(super) fn probe_server(&mut self, node: usize, life: u64, number: u64, timeout: Duration) {
        let takes = self.dice.between((500, 5_000));
        let timeout = u64::try_from(timeout.as_micros()).expect("a short time");
        let host = &self.hosts[node];
        let open = host.data.as_ref().is_some_and(super::postgres::Data::is_consistent);
        let (answer, takes) = match &host.server {
            Some(_) if host.server_wakes_at > self.now => (Answer::Silent, timeout),
            Some(server) if server.up && !server.stopping && !server.dying && open => (Answer::Served, takes),
            Some(_) => (Answer::Refused, takes),
            None => (Answer::Silent, takes),
        };
        let probed = pg::Input::Probed { number, answer };
        self.schedule(self.now + takes, Event::Told(node, life, Mail::Pg(Box::new(probed))));
    }
}
