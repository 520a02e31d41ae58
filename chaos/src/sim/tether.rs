//! The daemon's connection to its guard: found, lost, found again; and every question that waits for the guard's answer.

use super::event::{Chore, Event, GuardEvent};
use super::guard::Guard;
use super::world::World;
use actors::fsm;
use actors::guard::wire::{Answer, ExitStatus, PROTOCOL, Refusal, Request};
use actors::machine::Timestamp;
use actors::model::Epoch;
use actors::pg::Note;
use std::collections::BTreeMap;

/// A word over the local socket.
const WORD: u64 = 60;
/// One try to reach a guard.
const CONNECT_MAX: u64 = 2_000_000;
const TRY_EVERY: u64 = 100_000;
/// A guard that was lost is waited for so long before its lease is forgotten.
const RETURN_MAX: u64 = 300_000;
/// A guard that was just found says within this time what lease it holds.
const LEASE_MAX: u64 = 500_000;

/// See `pg/actor/tether.rs`.
#[derive(Debug)]
pub(super) struct Tether {
    /// The guard.
    pub(super) connected: Option<u64>,
    last: Option<u64>,
    /// Since the first try in vain, and whether somebody holds the socket and says nothing.
    missed: Option<(u64, bool)>,
    /// Since when the guard owes an answer.
    pub(super) silent_since: Option<u64>,
    pub(super) unswept: bool,
    forgotten: bool,
    patience: u64,
    questions: u64,
    open: BTreeMap<u64, Purpose>,
    pub(super) killing: bool,
}

impl Tether {
    /// The tether of that life of a daemon.
    pub(super) const fn new(life: u64) -> Self {
        Self {
            connected: None,
            last: None,
            missed: None,
            silent_since: None,
            unswept: true,
            forgotten: false,
            patience: 0,
            // An answer to an earlier life is none to this one.
            questions: life << 32,
            open: BTreeMap::new(),
            killing: false,
        }
    }

    /// The daemon has heard what lease the guard holds, or has given up waiting for that.
    pub(super) const fn is_informed(&self) -> bool {
        self.last.is_some() || self.forgotten
    }

    /// For how long the guard has not answered, and whether it is there.
    pub(super) fn unanswered(&self, now: u64) -> Option<(u64, bool)> {
        match self.connected {
            Some(_) => self.silent_since.map(|since| (now - since, true)),
            None => self.missed.map(|(since, mute)| (now - since, mute)),
        }
    }
}

/// What a question to the guard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Hello,
    /// What lease the guard holds that was just found.
    Found,
    Lease(Epoch),
    Drop(Epoch),
    /// A look, by its number.
    Look(u64),
    /// An operation, by its number.
    Start(u64),
    /// An operation, and when it asked.
    Expect(u64, Epoch, Timestamp),
    Stop(u64),
    Kill,
}

impl World {
    pub(super) fn begin_to_connect(&mut self, node: usize, patience: u64) {
        let after = self.dice.between((500, 5_000));
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        daemon.tether.patience += 1;
        daemon.tether.forgotten = false;
        let (life, number) = (daemon.life, daemon.tether.patience);
        self.schedule(self.now + after, Event::Chore(node, life, Chore::Connect));
        self.schedule(self.now + patience, Event::Chore(node, life, Chore::Patience(number)));
    }

    /// Finds the guard, or starts one if there is none.
    pub(super) fn connect(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(daemon) = host.daemon.as_ref() else { return };
        if daemon.tether.connected.is_some() {
            return;
        }
        if host.guard.is_none() {
            host.guards += 1;
            host.guard = Some(Guard::new(host.guards));
            host.guard_wakes_at = 0;
            // Whatever the one before had acknowledged, this one knows nothing of it.
            host.lease = None;
        }
        self.ask_guard(node, Purpose::Hello, Request::Hello { protocol: PROTOCOL }, CONNECT_MAX);
    }

    /// Nobody counts on the lease of a guard that cannot be reached for so long.
    pub(super) fn lose_patience(&mut self, node: usize, number: u64) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        if daemon.tether.patience == number && daemon.tether.connected.is_none() {
            daemon.tether.forgotten = true;
            self.tell_fsm(node, fsm::Input::GuardFound { lease: None });
        }
    }

    pub(super) fn guard_lost(&mut self, node: usize, guard: u64) {
        let now = self.now;
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        if daemon.tether.connected != Some(guard) {
            return;
        }
        daemon.quiet_since = now;
        let open = std::mem::take(&mut daemon.tether.open);
        (daemon.tether.connected, daemon.tether.silent_since) = (None, None);
        self.begin_to_connect(node, RETURN_MAX);
        for purpose in open.into_values() {
            self.unanswered(node, purpose, now);
        }
    }

    /// Asks the guard; the answer, or that there was none in time, comes back as a chore.
    pub(super) fn ask_guard(&mut self, node: usize, purpose: Purpose, request: Request, within: u64) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let (Some(daemon), guard) = (host.daemon.as_mut(), host.guard.as_ref().map(|guard| guard.life)) else { return };
        let reached = daemon.tether.connected.or(if purpose == Purpose::Hello { guard } else { None });
        let Some(reached) = reached else {
            return self.unanswered(node, purpose, now);
        };
        daemon.tether.questions += 1;
        let (life, number) = (daemon.life, daemon.tether.questions);
        daemon.tether.open.insert(number, purpose);
        self.schedule(now + WORD, Event::Guard(node, reached, GuardEvent::Asked(life, number, Box::new(request))));
        self.schedule(now + within, Event::Chore(node, life, Chore::TimedOut(number)));
    }

    pub(super) fn timed_out(&mut self, node: usize, number: u64) {
        let now = self.now;
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let Some(purpose) = daemon.tether.open.remove(&number) else { return };
        if !matches!(purpose, Purpose::Start(_) | Purpose::Kill | Purpose::Hello) {
            daemon.tether.silent_since.get_or_insert(now);
        }
        self.unanswered(node, purpose, now);
    }

    fn unanswered(&mut self, node: usize, purpose: Purpose, now: u64) {
        match purpose {
            Purpose::Hello => {
                let host = &mut self.hosts[node];
                let (Some(daemon), mute) = (host.daemon.as_mut(), host.guard.is_some()) else { return };
                let since = daemon.tether.missed.map_or(now, |(since, _)| since);
                daemon.tether.missed = Some((since, mute));
                let life = daemon.life;
                self.schedule(now + TRY_EVERY, Event::Chore(node, life, Chore::Connect));
            }
            Purpose::Found => self.tell_fsm(node, fsm::Input::GuardFound { lease: None }),
            Purpose::Lease(_) | Purpose::Drop(_) => {}
            Purpose::Look(number) => self.see_without_guard(node, number),
            Purpose::Start(id) | Purpose::Expect(id, ..) | Purpose::Stop(id) => {
                self.work_failed(node, id, "the guard does not answer", true);
            }
            Purpose::Kill => self.sweep(node),
        }
    }

    pub(super) fn answered(&mut self, node: usize, number: u64, answer: Answer) {
        let guard = self.hosts[node].guard.as_ref().map(|guard| guard.life);
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        daemon.tether.silent_since = None;
        let Some(purpose) = daemon.tether.open.remove(&number) else { return };
        match (purpose, answer) {
            (Purpose::Hello, Answer::Hello(identity)) => {
                // It may be dead by now, which is heard next.
                let guard = Some(u64::from(identity.pid));
                let tether = &mut daemon.tether;
                let again = tether.last == guard;
                tether.unswept |= !again;
                (tether.connected, tether.last, tether.missed) = (guard, guard, None);
                if tether.forgotten || !again {
                    self.ask_guard(node, Purpose::Found, Request::Status, LEASE_MAX);
                }
            }
            (Purpose::Found, Answer::Status(status)) => {
                let lease = status.lease.filter(|lease| status.dropped.is_none_or(|dropped| dropped < lease.epoch));
                self.tell_fsm(node, fsm::Input::GuardFound { lease: lease.map(|lease| (lease.epoch, lease.end)) });
                if let Some(released) = status.dropped {
                    self.tell_fsm(node, fsm::Input::GuardRemembers { released });
                }
            }
            (Purpose::Lease(epoch), Answer::Leased { end }) => self.tell_fsm(node, fsm::Input::LeaseGuarded { epoch, end }),
            (Purpose::Lease(_), Answer::Refused(Refusal::Dropped { dropped, .. })) => {
                self.tell_fsm(node, fsm::Input::GuardRemembers { released: dropped });
            }
            (Purpose::Drop(epoch), Answer::Done) => self.tell_fsm(node, fsm::Input::ReleaseRecorded { epoch }),
            (Purpose::Look(number), Answer::Status(status)) => self.see(node, number, &status),
            (Purpose::Start(id), Answer::Started { pid }) => {
                self.hosts[node].note = Some(Note::Runs(pid));
                self.work_started(node, id, pid);
            }
            (Purpose::Expect(id, epoch, asked), Answer::Done) => self.promote(node, id, epoch, asked),
            (Purpose::Stop(id), Answer::Done) => self.work_done(node, id, actors::pg::Outcome::Done),
            (Purpose::Start(id) | Purpose::Expect(id, ..) | Purpose::Stop(id), Answer::Refused(refusal)) => {
                // Nothing was begun, so whoever runs there from now on is somebody else's.
                if matches!(purpose, Purpose::Start(_)) {
                    self.hosts[node].note = None;
                }
                self.work_failed(node, id, &refusal.to_string(), true);
            }
            (Purpose::Kill, _) => {
                daemon.tether.killing = false;
                // Whoever is no child of this guard is ended by our own hand.
                let orphan = self.hosts[node].server.as_ref().is_some_and(|server| Some(server.guard) != guard);
                if orphan {
                    self.sweep(node);
                }
            }
            _ => {}
        }
    }

    /// Has the server killed: by the guard if it answers, by our own hand if not (S6).
    pub(super) fn kill_server(&mut self, node: usize) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        if std::mem::replace(&mut daemon.tether.killing, true) {
            return;
        }
        daemon.fences = matches!(daemon.order, Some((_, actors::pg::Order::Fence, _)));
        if daemon.tether.silent_since.is_some() || daemon.tether.connected.is_none() {
            return self.sweep(node);
        }
        // A guard that answers at all does so within this time, also while it kills.
        self.ask_guard(node, Purpose::Kill, Request::Kill, 200_000);
    }

    /// Kills every process in the data directory, the guard that does not answer included.
    fn sweep(&mut self, node: usize) {
        let takes = self.dice.between(self.setting.kill);
        if self.spares(node) {
            if let Some(daemon) = self.hosts[node].daemon.as_mut() {
                daemon.tether.killing = false;
            }
            return;
        }
        self.judge_sweep(node);
        let Some(daemon) = &self.hosts[node].daemon else { return };
        let life = daemon.life;
        if let Some(server) = &mut self.hosts[node].server {
            server.dying = true;
        }
        self.tell_story(|| format!("node {}: sweeps the data directory", node + 1));
        self.schedule(self.now + takes, Event::Chore(node, life, Chore::Swept));
    }

    pub(super) fn swept(&mut self, node: usize) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let Some(daemon) = host.daemon.as_mut() else { return };
        daemon.tether.killing = false;
        let stuck = daemon.tether.silent_since.is_some() || host.guard_wakes_at > now;
        self.server_ended(node, ExitStatus::Signal(9), "swept");
        if stuck {
            self.end_guard(node);
        }
    }
}
