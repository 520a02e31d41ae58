//! What the guard decides: when a server that is or might become writable must die (S6), and which leases count (S3, S8).
//!
//! ```text
//!            Start                 Started                postmaster ended, or to be killed              none left
//!   Absent ---------> Starting ---------------> Running ------------------------------------> Ending ------------> Absent
//! ```
//!
//! A running server counts as *writable* unless it is provably a standby: it was started with `standby.signal` in place, no promotion was
//! announced, and its control file has said nothing but recovery since. Once writable it stays so until it is gone: there is no way back to
//! a standby but by a new start. A writable server lives only while `now < lease end - kill margin`; else it is killed in the same step.
//!
//! The control file is looked at often while a standby runs, because a promotion that nobody announced can only be seen there.

use super::control_file::{ControlFile, DbState};
use super::wire::{
    Answer, Exit, ExitCause, ExitStatus, Identity, Launch, Lease, PROTOCOL, Refusal, Request, Said, ServerStatus, Status, StopMode,
};
use crate::machine::{Machine, Timestamp, Woken};
use crate::model::Epoch;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// How often a standby's control file is looked at. A promotion by a stranger's hand lives about so long.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So many requests to kill may wait for the end of one server: one daemon has no use for more.
const WAITING_MAX: usize = 16;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The alarm, or nothing at all.
    Woken,
    /// A daemon took the place of the one before.
    Connected,
    /// The daemon asked for something.
    Requested {
        /// The request's number.
        id: u64,
        /// The request.
        request: Request,
    },
    /// The server was started.
    Started {
        /// Its postmaster.
        pid: u32,
        /// The control file as it was just before.
        control: Option<ControlFile>,
    },
    /// The server could not be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The control file was looked at.
    Looked(Look),
    /// The postmaster is dead.
    PostmasterEnded(ExitStatus),
    /// No process of the server is left.
    NoneLeft {
        /// How many outlived the postmaster and were killed.
        survivors_killed: u32,
    },
}

/// What the data directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The control file; none if it cannot be read.
    pub control: Option<ControlFile>,
    /// `standby.signal` is there. A promotion removes it before the first write.
    pub standby_signal: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look at the control file and tell `Looked`.
    Look,
    /// Start the server and tell `Started` or `NotStarted`.
    Start(Launch),
    /// Tell the postmaster to stop.
    Stop(StopMode),
    /// Kill every process of the server until none is left, and tell `NoneLeft`.
    Kill,
    /// Say something to the daemon, if one is connected.
    Say(Said),
    /// End the guard.
    Quit,
}

impl From<Woken> for Input {
    fn from(Woken: Woken) -> Self {
        Self::Woken
    }
}

/// The guard's mind.
#[derive(Debug)]
pub struct Policy {
    identity: Identity,
    /// The connected daemon said `Hello` in our protocol.
    greeted: bool,
    lease: Option<Lease>,
    dropped: Option<Epoch>,
    server: Server,
    /// Requests to kill that are answered when no process is left.
    waiting: Vec<u64>,
    last_exit: Option<Exit>,
}

#[derive(Debug)]
enum Server {
    Absent,
    Starting { id: u64, as_primary: Option<Epoch> },
    Running(Running),
    Ending(Ending),
}

#[derive(Debug)]
struct Running {
    pid: u32,
    as_primary: Option<Epoch>,
    nature: Nature,
    stopping: bool,
}

#[derive(Debug)]
enum Nature {
    /// It accepts writes, or might at any moment.
    Writable,
    Standby {
        /// The control file as it was before the start, for as long as it is still the same: until the server writes to it, it says nothing
        /// about this server.
        untouched: Option<ControlFile>,
        looked: Timestamp,
    },
}

#[derive(Debug)]
struct Ending {
    pid: Option<u32>,
    as_primary: Option<Epoch>,
    status: Option<ExitStatus>,
    cause: ExitCause,
}

impl Policy {
    /// A guard that has just started: no server, no lease.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, greeted: false, lease: None, dropped: None, server: Server::Absent, waiting: Vec::new(), last_exit: None }
    }

    /// Whether there is any process of a server.
    #[must_use]
    pub const fn has_server(&self) -> bool {
        !matches!(self.server, Server::Absent)
    }

    /// The instant from which on a writable server must not live.
    fn strike_at(&self) -> Option<Timestamp> {
        self.lease.map(|lease| lease.end - self.identity.kill_margin)
    }

    fn lease_holds(&self, now: Timestamp) -> bool {
        self.strike_at().is_some_and(|strike| now < strike)
    }

    fn lease_holds_for(&self, now: Timestamp, epoch: Epoch) -> bool {
        self.lease_holds(now) && self.lease.is_some_and(|lease| lease.epoch == epoch)
    }

    fn requested(&mut self, now: Timestamp, id: u64, request: Request) -> Vec<Effect> {
        let answer = match request {
            Request::Hello { protocol } => self.hello(protocol),
            _ if !self.greeted => Answer::Refused(Refusal::NoHello),
            Request::Status => Answer::Status(self.status()),
            Request::Start(launch) => return self.start(now, id, launch),
            Request::ExpectPromotion { epoch } => self.expect_promotion(now, epoch),
            Request::Stop(mode) => return self.stop(id, mode),
            Request::Kill => return self.kill(id),
            Request::Lease { epoch, end } => self.take_lease(epoch, end),
            Request::DropLease { epoch } => self.drop_lease(epoch),
            Request::Quit if self.has_server() => Answer::Refused(Refusal::ServerPresent),
            Request::Quit => return vec![say(id, Answer::Done), Effect::Quit],
        };
        vec![say(id, answer)]
    }

    fn hello(&mut self, protocol: u32) -> Answer {
        let introduced = introduce(&Request::Hello { protocol });
        self.greeted = introduced.is_ok();
        introduced.map_or_else(Answer::Refused, |()| Answer::Hello(self.identity.clone()))
    }

    fn status(&self) -> Status {
        let server = match &self.server {
            Server::Absent => None,
            Server::Starting { as_primary, .. } => {
                Some(ServerStatus { pid: None, as_primary: *as_primary, writable: as_primary.is_some(), ending: false })
            }
            Server::Running(Running { pid, as_primary, nature, .. }) => {
                let writable = matches!(nature, Nature::Writable);
                Some(ServerStatus { pid: Some(*pid), as_primary: *as_primary, writable, ending: false })
            }
            Server::Ending(Ending { pid, as_primary, .. }) => {
                Some(ServerStatus { pid: *pid, as_primary: *as_primary, writable: true, ending: true })
            }
        };
        Status { server, lease: self.lease, dropped: self.dropped, last_exit: self.last_exit }
    }

    fn start(&mut self, now: Timestamp, id: u64, launch: Launch) -> Vec<Effect> {
        if self.has_server() {
            return vec![say(id, Answer::Refused(Refusal::ServerPresent))];
        }
        if let Some(epoch) = launch.as_primary
            && !self.lease_holds_for(now, epoch)
        {
            return vec![say(id, Answer::Refused(Refusal::NoLease { epoch }))];
        }
        self.server = Server::Starting { id, as_primary: launch.as_primary };
        vec![Effect::Start(launch)]
    }

    fn expect_promotion(&mut self, now: Timestamp, epoch: Epoch) -> Answer {
        if !self.lease_holds_for(now, epoch) {
            return Answer::Refused(Refusal::NoLease { epoch });
        }
        let Server::Running(running) = &mut self.server else { return Answer::Refused(Refusal::NoServer) };
        running.nature = Nature::Writable;
        Answer::Done
    }

    fn stop(&mut self, id: u64, mode: StopMode) -> Vec<Effect> {
        match &mut self.server {
            Server::Running(running) => {
                running.stopping = true;
                vec![Effect::Stop(mode), say(id, Answer::Done)]
            }
            Server::Starting { .. } => vec![say(id, Answer::Refused(Refusal::NoServer))],
            Server::Absent | Server::Ending(_) => vec![say(id, Answer::Done)],
        }
    }

    fn kill(&mut self, id: u64) -> Vec<Effect> {
        if !self.has_server() {
            return vec![say(id, Answer::Done)];
        }
        if self.waiting.len() >= WAITING_MAX {
            return vec![say(id, Answer::Refused(Refusal::TooManyWaiting))];
        }
        self.waiting.push(id);
        self.end(ExitCause::Killed)
    }

    /// Kills the server, unless it is being killed already.
    fn end(&mut self, cause: ExitCause) -> Vec<Effect> {
        let (pid, as_primary, refused) = match &self.server {
            Server::Absent | Server::Ending(_) => return Vec::new(),
            Server::Starting { id, as_primary } => {
                let reason = String::from("it was killed while it was being started");
                (None, *as_primary, Some(say(*id, Answer::Refused(Refusal::NotStarted { reason }))))
            }
            Server::Running(Running { pid, as_primary, .. }) => (Some(*pid), *as_primary, None),
        };
        self.server = Server::Ending(Ending { pid, as_primary, status: None, cause });
        [Effect::Kill].into_iter().chain(refused).collect()
    }

    /// The end of one epoch's lease never moves back, and a newer epoch's lease replaces an older one's.
    fn take_lease(&mut self, epoch: Epoch, end: Timestamp) -> Answer {
        if let Some(dropped) = self.dropped
            && epoch <= dropped
        {
            return Answer::Refused(Refusal::Dropped { epoch, dropped });
        }
        let end = match self.lease {
            Some(lease) if epoch < lease.epoch => return Answer::Refused(Refusal::Outdated { epoch, current: lease.epoch }),
            Some(lease) if epoch == lease.epoch => end.max(lease.end),
            _ => end,
        };
        self.lease = Some(Lease { epoch, end });
        Answer::Leased { end }
    }

    fn drop_lease(&mut self, epoch: Epoch) -> Answer {
        self.dropped = self.dropped.max(Some(epoch));
        self.lease = self.lease.filter(|lease| lease.epoch > epoch);
        Answer::Done
    }

    fn started(&mut self, now: Timestamp, pid: u32, control: Option<ControlFile>) -> Vec<Effect> {
        match &mut self.server {
            Server::Starting { id, as_primary } => {
                let started = say(*id, Answer::Started { pid });
                let nature = match as_primary {
                    Some(_) => Nature::Writable,
                    None => Nature::Standby { untouched: control, looked: now },
                };
                self.server = Server::Running(Running { pid, as_primary: *as_primary, nature, stopping: false });
                vec![started]
            }
            // Killed while it was being started, and here it is.
            Server::Ending(ending) => {
                ending.pid = Some(pid);
                vec![Effect::Kill]
            }
            Server::Absent | Server::Running(_) => {
                self.server = Server::Ending(Ending { pid: Some(pid), as_primary: None, status: None, cause: ExitCause::Killed });
                vec![Effect::Kill]
            }
        }
    }

    fn not_started(&mut self, reason: String) -> Vec<Effect> {
        let Server::Starting { id, .. } = self.server else { return Vec::new() };
        self.server = Server::Absent;
        vec![say(id, Answer::Refused(Refusal::NotStarted { reason }))]
    }

    fn looked(&mut self, look: Look) {
        let Server::Running(running) = &mut self.server else { return };
        let Nature::Standby { untouched, .. } = &mut running.nature else { return };
        // The signal file tells a server that has not begun from one that was promoted within the second in which it was started.
        if untouched.is_some() && look.control == *untouched && look.standby_signal {
            return;
        }
        *untouched = None;
        if !says_standby(look) {
            running.nature = Nature::Writable;
        }
    }

    fn postmaster_ended(&mut self, status: ExitStatus) -> Vec<Effect> {
        match &mut self.server {
            Server::Running(Running { pid, as_primary, stopping, .. }) => {
                let cause = if *stopping { ExitCause::Stopped } else { ExitCause::Unexpected };
                self.server = Server::Ending(Ending { pid: Some(*pid), as_primary: *as_primary, status: Some(status), cause });
                vec![Effect::Kill]
            }
            Server::Ending(ending) => {
                ending.status = Some(status);
                Vec::new()
            }
            Server::Absent | Server::Starting { .. } => Vec::new(),
        }
    }

    fn none_left(&mut self, at: Timestamp, survivors_killed: u32) -> Vec<Effect> {
        let Server::Ending(Ending { pid, status, cause, .. }) = self.server else { return Vec::new() };
        let exit = Exit { pid, status, cause, survivors_killed, at };
        self.server = Server::Absent;
        self.last_exit = Some(exit);
        let answers = self.waiting.drain(..).map(|id| say(id, Answer::Done));
        [Effect::Say(Said::ServerExited(exit))].into_iter().chain(answers).collect()
    }

    /// A standby is looked at regularly, and once more when the lease is as good as over.
    fn look_if_due(&mut self, now: Timestamp) -> Option<Effect> {
        let due = self.look_at()? <= now;
        let Server::Running(Running { nature: Nature::Standby { looked, .. }, .. }) = &mut self.server else { return None };
        due.then(|| {
            *looked = now;
            Effect::Look
        })
    }

    fn look_at(&self) -> Option<Timestamp> {
        let Server::Running(Running { nature: Nature::Standby { looked, .. }, .. }) = self.server else { return None };
        let regular = looked + LOOK_EVERY;
        Some(self.strike_at().filter(|strike| *strike > looked).map_or(regular, |strike| regular.min(strike)))
    }

    fn fence_if_writable(&mut self, now: Timestamp) -> Vec<Effect> {
        let writable = matches!(&self.server, Server::Running(Running { nature: Nature::Writable, .. }));
        if !writable || self.lease_holds(now) {
            return Vec::new();
        }
        self.end(if self.lease.is_some() { ExitCause::LeaseOver } else { ExitCause::NoLease })
    }
}

/// Whether whoever begins with this request is a daemon, and so takes the place of the one before.
///
/// # Errors
/// What is answered to everybody else.
pub const fn introduce(first: &Request) -> Result<(), Refusal> {
    match first {
        Request::Hello { protocol: PROTOCOL } => Ok(()),
        Request::Hello { protocol } => Err(Refusal::Protocol { guard: PROTOCOL, daemon: *protocol }),
        _ => Err(Refusal::NoHello),
    }
}

/// Whether the control file of a server that was started as a standby says that it still is one.
///
/// A crashed primary that is started as a standby replays its own WAL first, and is "in crash recovery" for so long. It leads nowhere but to
/// archive recovery while `standby.signal` is there. A promotion removes that file for good, so the crash recovery of a promoted server,
/// which ends in writing, is told apart.
const fn says_standby(look: Look) -> bool {
    match look.control {
        Some(ControlFile { state: DbState::InArchiveRecovery | DbState::ShutDownInRecovery, .. }) => true,
        Some(ControlFile { state: DbState::InCrashRecovery, .. }) => look.standby_signal,
        _ => false,
    }
}

const fn say(id: u64, answer: Answer) -> Effect {
    Effect::Say(Said::Answer { id, answer })
}

impl Machine for Policy {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Timestamp, input: Input) -> Vec<Effect> {
        let said = match input {
            Input::Woken => Vec::new(),
            Input::Connected => {
                self.greeted = false;
                self.waiting.clear();
                Vec::new()
            }
            Input::Requested { id, request } => self.requested(now, id, request),
            Input::Started { pid, control } => self.started(now, pid, control),
            Input::NotStarted { reason } => self.not_started(reason),
            Input::Looked(look) => {
                self.looked(look);
                Vec::new()
            }
            Input::PostmasterEnded(status) => self.postmaster_ended(status),
            Input::NoneLeft { survivors_killed } => self.none_left(now, survivors_killed),
        };
        // To kill comes before everything else that this step wants done.
        let mut effects = self.fence_if_writable(now);
        effects.extend(said);
        effects.extend(self.look_if_due(now));
        effects
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.server {
            Server::Running(Running { nature: Nature::Writable, .. }) => Some(self.strike_at().unwrap_or_default()),
            Server::Running(Running { nature: Nature::Standby { .. }, .. }) => self.look_at(),
            Server::Absent | Server::Starting { .. } | Server::Ending(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
