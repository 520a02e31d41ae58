//! The guard's process: the real policy over modelled server processes and a modelled control file.

use super::dice::Dice;
use super::event::{Chore, Event, GuardEvent, ServerEvent};
use super::postgres::{Nature, Server};
use super::wiring::timing;
use super::world::World;
use actors::guard::control_file::DbState;
use actors::guard::policy::{Effect, Input, Look, Policy};
use actors::guard::wire::{Answer, Exit, ExitCause, ExitStatus, Identity, Launch, PROTOCOL, Request, Said, StopMode};
use actors::machine::{Machine, Timestamp};
use actors::model::Epoch;
use actors::pg::{self, Life};

/// The stream of the dice that say how far a standby has replayed when it lets sessions in.
const REPLAYS: u64 = 0x5E11;

/// One life of a guard.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) life: u64,
    policy: Policy,
    alarm: u64,
    armed_for: Option<Timestamp>,
    /// The life of the daemon that is connected.
    pub(super) daemon: Option<u64>,
}

impl Guard {
    pub(super) fn new(life: u64) -> Self {
        let identity = Identity {
            protocol: PROTOCOL,
            pid: u32::try_from(life).expect("a small number"),
            pgdata: "/data".into(),
            kill_margin: timing().kill_margin,
        };
        Self { life, policy: Policy::new(identity), alarm: 0, armed_for: None, daemon: None }
    }
}

impl World {
    pub(super) fn guard_event(&mut self, node: usize, event: GuardEvent) {
        let host = &mut self.hosts[node];
        let (Some(guard), alive) = (host.guard.as_mut(), host.daemon.as_ref().map(|daemon| daemon.life)) else { return };
        match event {
            GuardEvent::Alarm(number) => {
                if guard.alarm == number {
                    guard.armed_for = None;
                    self.step_guard(node, Input::Woken);
                }
            }
            GuardEvent::Asked(daemon, number, request) => {
                if matches!(*request, Request::Hello { .. }) && guard.daemon != Some(daemon) {
                    // Where nobody is left at the other end, that is noticed at once.
                    if alive != Some(daemon) {
                        return;
                    }
                    guard.daemon = Some(daemon);
                    self.step_guard(node, Input::Connected);
                }
                self.note_asked(node, &request, number);
                self.step_guard(node, Input::Requested { id: number, request: *request });
            }
            GuardEvent::Ended(status) => self.step_guard(node, Input::PostmasterEnded(status)),
            GuardEvent::Gone => self.step_guard(node, Input::NoneLeft { survivors_killed: 0 }),
        }
    }

    pub(super) fn step_guard(&mut self, node: usize, input: Input) {
        let now = self.local(node);
        let Some(guard) = self.hosts[node].guard.as_mut() else { return };
        for effect in guard.policy.step(now, input) {
            self.perform_guard(node, effect);
        }
        let host = &mut self.hosts[node];
        let Some(guard) = host.guard.as_mut() else { return };
        let wanted = guard.policy.wake_at();
        if wanted != guard.armed_for {
            guard.alarm += 1;
            guard.armed_for = wanted;
            if let Some(at) = wanted {
                let (life, number) = (guard.life, guard.alarm);
                let at = host.clock.when(at).max(self.now + 20);
                self.schedule(at, Event::Guard(node, life, GuardEvent::Alarm(number)));
            }
        }
    }

    fn perform_guard(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Look => {
                let data = self.hosts[node].data.as_ref();
                let look = Look {
                    control: data.map(super::postgres::Data::control),
                    standby_signal: data.is_some_and(|data| data.standby_signal),
                };
                self.step_guard(node, Input::Looked(look));
            }
            Effect::Start(launch) => self.launch(node, &launch),
            Effect::Stop(mode) => self.stop_server(node, mode),
            Effect::Kill => self.guard_kills(node),
            Effect::Say(said) => self.guard_says(node, said),
            Effect::Quit => self.end_guard(node),
        }
    }

    /// Kills its own children until none is left.
    fn guard_kills(&mut self, node: usize) {
        let takes = self.dice.between(self.setting.kill);
        let host = &mut self.hosts[node];
        let Some(guard) = host.guard.as_ref().map(|guard| guard.life) else { return };
        match host.server.as_mut().filter(|server| server.guard == guard) {
            Some(server) => {
                server.dying = true;
                let (pid, writes) = (server.pid, server.is_writable());
                if !std::mem::replace(&mut server.killed, true) {
                    self.tell_story(|| {
                        format!("node {}: the guard kills the server{}", node + 1, if writes { ", which may write" } else { "" })
                    });
                    // The kernel needs no guard to go on with what it was told, should that be stopped meanwhile.
                    self.schedule(self.now + takes, Event::Server(node, pid, ServerEvent::Gone));
                    self.schedule(self.now + takes, Event::Guard(node, guard, GuardEvent::Gone));
                }
            }
            None => self.step_guard(node, Input::NoneLeft { survivors_killed: 0 }),
        }
    }

    fn guard_says(&mut self, node: usize, said: Said) {
        self.judge_guard_said(node, &said);
        let host = &self.hosts[node];
        let Some(daemon) = host.guard.as_ref().and_then(|guard| guard.daemon) else { return };
        match said {
            Said::Answer { id, answer } => {
                self.schedule(self.now + 60, Event::Chore(node, daemon, Chore::Answered(id, Box::new(answer))));
            }
            Said::ServerExited(Exit { pid: Some(pid), cause, .. }) => {
                let fenced = matches!(cause, ExitCause::LeaseOver | ExitCause::NoLease);
                if fenced {
                    self.tally.count("guard: lease over");
                }
                let exited = pg::Input::ServerExited { life: Life(pid), fenced };
                self.schedule(self.now + 60, Event::Told(node, daemon, super::event::Mail::Pg(Box::new(exited))));
            }
            Said::ServerExited(_) => {}
        }
    }

    fn launch(&mut self, node: usize, launch: &Launch) {
        let begins = self.dice.between((5_000, 40_000));
        let (now, start) = (self.now, self.setting.start);
        let host = &mut self.hosts[node];
        let Some(guard) = host.guard.as_ref().map(|guard| guard.life) else { return };
        let refused = match &host.data {
            None => Some("there is no database"),
            Some(data) if data.unfinished => Some("the database is not whole"),
            Some(data) if launch.as_primary.is_none() && !data.standby_signal => Some("there is no standby.signal"),
            Some(_) if host.server.is_some() => Some("lock file \"postmaster.pid\" already exists"),
            Some(_) => None,
        };
        if let Some(reason) = refused {
            return self.step_guard(node, Input::NotStarted { reason: reason.into() });
        }
        host.pids += 1;
        let pid = host.pids;
        let control = host.data.as_ref().map(super::postgres::Data::control);
        let nature = launch.as_primary.map_or(Nature::Standby, Nature::Primary);
        // The arguments tell whom to follow, and the epoch of its promotion.
        let follows = launch.args.first().and_then(|upstream| upstream.parse().ok());
        // A dice of its own, which changes nothing of the story.
        let mut dice = Dice::new(now ^ u64::from(pid), REPLAYS);
        let records = host.data.as_ref().map_or(0, |data| data.log.len());
        let replayed = records.saturating_sub(usize::try_from(dice.below(40)).expect("a small number"));
        let compared = launch.args.get(1).and_then(|epoch| epoch.parse().ok()).map(Epoch);
        host.server = Some(Server {
            pid,
            guard,
            began: now,
            nature,
            up: false,
            crashes: 0,
            recovers: None,
            follows,
            compared,
            streams: false,
            vetted: None,
            diverged: false,
            awaits: false,
            received: false,
            replayed: (replayed, 0),
            on_disk: None,
            stopping: false,
            dying: false,
            killed: false,
        });
        host.exposed = false;
        host.server_wakes_at = 0;
        let up = begins + self.dice.between(start);
        // It lets sessions in before it has replayed all that is there.
        if let Some(server) = &mut self.hosts[node].server {
            server.replayed.1 = now + up + dice.one_of(&[0, 50_000, 3_000_000]);
        }
        self.tell_story(|| format!("node {}: the guard starts server {pid} as {nature:?}", node + 1));
        self.schedule(now + begins, Event::Server(node, pid, ServerEvent::Begins));
        self.schedule(now + up, Event::Server(node, pid, ServerEvent::Up));
        self.judge_writable(node);
        self.step_guard(node, Input::Started { pid, control });
    }

    /// The postmaster is told to stop.
    fn stop_server(&mut self, node: usize, mode: StopMode) {
        let now = self.now;
        let takes = match mode {
            StopMode::Fast => self.dice.between(self.setting.stop),
            StopMode::Immediate => self.dice.between((1_000, 20_000)),
        };
        let host = &mut self.hosts[node];
        let (Some(server), Some(data)) = (host.server.as_mut(), host.data.as_mut()) else { return };
        if mode == StopMode::Fast && server.up && !server.stopping && server.is_writable() {
            data.set_state(now, DbState::ShuttingDown);
        }
        server.stopping = true;
        let pid = server.pid;
        self.schedule(now + takes, Event::Server(node, pid, ServerEvent::Stops));
    }

    /// No process of the server is left.
    pub(super) fn remove_server(&mut self, node: usize, how: &str) {
        let Some(server) = self.hosts[node].server.take() else { return };
        self.hosts[node].exposed = false;
        self.tell_story(|| format!("node {}: server {} is gone: {how}", node + 1, server.pid));
    }

    /// The server's processes have all ended by themselves; its guard reaps them.
    pub(super) fn server_ended(&mut self, node: usize, status: ExitStatus, how: &str) {
        let Some(server) = self.hosts[node].server.as_ref() else { return };
        let guard = server.guard;
        self.remove_server(node, how);
        self.schedule(self.now + 50, Event::Guard(node, guard, GuardEvent::Ended(status)));
    }

    /// The guard is gone; the kernel's signal ends its server.
    pub(super) fn end_guard(&mut self, node: usize) {
        let takes = self.dice.between(self.setting.quit);
        let host = &mut self.hosts[node];
        let Some(guard) = host.guard.take() else { return };
        host.lease = None;
        host.guard_wakes_at = 0;
        if let Some(server) = host.server.as_mut().filter(|server| server.guard == guard.life) {
            server.dying = true;
            let pid = server.pid;
            self.schedule(self.now + takes, Event::Server(node, pid, ServerEvent::Gone));
        }
        if let Some(daemon) = guard.daemon {
            self.schedule(self.now + 500, Event::Chore(node, daemon, Chore::GuardLost(guard.life)));
        }
        self.note_exposure(node);
    }

    /// The judge learns what the guard holds from what it says.
    fn judge_guard_said(&mut self, node: usize, said: &Said) {
        match said {
            Said::Answer { id, answer: Answer::Leased { end } } => self.judge_leased(node, *id, *end),
            Said::Answer { answer: Answer::Status(status), .. } => {
                if let (Some(lease), Some(dropped)) = (&status.lease, status.dropped)
                    && lease.epoch <= dropped
                {
                    let text = format!("the guard of node {} holds a lease of epoch {}, and dropped {dropped}", node + 1, lease.epoch);
                    self.violate("S8", text);
                }
            }
            _ => {}
        }
    }
}
