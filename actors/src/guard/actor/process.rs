//! The guard's process: one thread, one loop, no runtime. Nothing in it waits but `ppoll`, and that never for longer than a moment.

use super::children::Children;
use super::connection::{Closed, Connection};
use super::journal::Journal;
use super::launch::{launch, look};
use super::pending::Pending;
use super::settle::{self, CannotGuard};
use crate::guard::policy::{Effect, Input, Policy};
use crate::guard::wire::{Answer, Asked, Identity, PROTOCOL, Request, Said};
use crate::machine::Machine;
use crate::tree::clock::boottime;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::unistd::getpid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

/// The clock is looked at least so often: `ppoll` does not count the time for which the host slept.
const NAP_MAX: Duration = Duration::from_millis(100);
/// While processes are being killed, those that have just become ours are looked for so often.
const KILL_EVERY: Duration = Duration::from_millis(5);

/// What the guard is told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Where it listens.
    pub socket: PathBuf,
    /// The data directory.
    pub pgdata: PathBuf,
    /// It begins to kill so long before the lease's end.
    pub kill_margin: Duration,
    /// The file whose lock says that this data directory has a guard.
    pub lock: PathBuf,
}

impl Arguments {
    /// As they stand on the command line of `witch guard`.
    #[must_use]
    pub fn command_line(&self) -> Vec<OsString> {
        let margin = self.kill_margin.as_millis().to_string();
        let mut line = vec![OsString::from("guard")];
        line.extend(["--socket".into(), self.socket.clone().into_os_string()]);
        line.extend(["--pgdata".into(), self.pgdata.clone().into_os_string()]);
        line.extend(["--kill-margin-ms".into(), margin.into()]);
        line.extend(["--lock".into(), self.lock.clone().into_os_string()]);
        line
    }

    /// The same from every working directory.
    pub(super) fn absolute(&self) -> io::Result<Self> {
        let Self { socket, pgdata, kill_margin, lock } = self;
        Ok(Self {
            socket: std::path::absolute(socket)?,
            pgdata: std::path::absolute(pgdata)?,
            kill_margin: *kill_margin,
            lock: std::path::absolute(lock)?,
        })
    }
}

/// Is the guard, until a daemon says `Quit`.
///
/// To be called at the very beginning of a process of its own, from its first and only thread: it closes every inherited file but the
/// standard ones, and its children die with this thread.
///
/// # Errors
/// If it cannot begin. Once it serves it does not fail.
pub fn run(arguments: Arguments) -> Result<(), CannotGuard> {
    let arguments = arguments.absolute().map_err(CannotGuard::system("find its working directory"))?;
    settle::close_inherited_files()?;
    settle::leave_home()?;
    let _lock = settle::lock(&arguments.lock)?;
    let deaths = settle::tame_signals()?;
    settle::adopt_orphans()?;
    settle::rehearse(&arguments.pgdata)?;
    let listener = settle::listen(&arguments.socket)?;
    let mut journal = Journal::default();
    journal.note(format!("guarding {} with a kill margin of {:?}", arguments.pgdata.display(), arguments.kill_margin));
    for missing in settle::stay_in_memory() {
        journal.note(missing);
    }
    let identity = Identity {
        protocol: PROTOCOL,
        pid: getpid().as_raw().cast_unsigned(),
        pgdata: arguments.pgdata.to_string_lossy().into_owned(),
        kill_margin: arguments.kill_margin,
    };
    let mut guard = Guard {
        policy: Policy::new(identity),
        arguments,
        children: Children::default(),
        deaths,
        listener,
        daemon: None,
        pending: Pending::default(),
        journal,
        quitting: false,
    };
    guard.serve()
}

struct Guard {
    arguments: Arguments,
    policy: Policy,
    children: Children,
    deaths: SignalFd,
    listener: UnixListener,
    daemon: Option<Connection>,
    pending: Pending,
    journal: Journal,
    quitting: bool,
}

impl Guard {
    fn serve(&mut self) -> Result<(), CannotGuard> {
        while !self.quitting {
            if !self.policy.has_server() {
                self.journal.write_down();
            }
            let ready = self.wait().map_err(CannotGuard::system("wait"))?;
            // A renewal that has arrived in time counts, even if the guard itself was late to read it.
            if ready.daemon {
                self.hear();
            }
            self.step(Input::Woken);
            if ready.deaths {
                while let Ok(Some(_)) = self.deaths.read_signal() {}
            }
            if ready.deaths || self.children.is_ending() {
                self.reap();
            }
            if ready.listener {
                self.accept();
            }
            self.greet();
        }
        // The next guard removes it otherwise.
        let _ = fs::remove_file(&self.arguments.socket);
        self.journal.write_down();
        Ok(())
    }

    /// Until something happens or the policy's alarm goes off.
    fn wait(&self) -> Result<Ready, Errno> {
        let mut nap = if self.children.is_ending() { KILL_EVERY } else { NAP_MAX };
        if let Some(at) = self.policy.wake_at() {
            nap = nap.min(at.since(boottime()));
        }
        let mut files = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN), PollFd::new(self.deaths.as_fd(), PollFlags::POLLIN)];
        if let Some(daemon) = &self.daemon {
            let unsent = if daemon.has_unsent() { PollFlags::POLLOUT } else { PollFlags::empty() };
            files.push(PollFd::new(daemon.as_fd(), PollFlags::POLLIN | unsent));
        }
        files.extend(self.pending.connections().map(|connection| PollFd::new(connection.as_fd(), PollFlags::POLLIN)));
        match ppoll(&mut files, Some(TimeSpec::from_duration(nap)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let ready = |index: usize| files.get(index).is_some_and(|file| file.any().unwrap_or(true));
        Ok(Ready { listener: ready(0), deaths: ready(1), daemon: self.daemon.is_some() && ready(2) })
    }

    fn accept(&mut self) {
        match Connection::accept(&self.listener) {
            Ok(connection) => self.pending.admit(connection, boottime()),
            Err(Closed::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(closed) => self.journal.note(format!("a connection was not taken: {closed}")),
        }
    }

    /// The newest daemon wins: the one before died without a word, or is about to.
    fn greet(&mut self) {
        if let Some((connection, requests)) = self.pending.hear(boottime(), &mut self.journal) {
            self.daemon = Some(connection);
            self.step(Input::Connected);
            self.asked(requests);
        }
    }

    fn hear(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        match daemon.send().and_then(|()| daemon.receive()) {
            Ok(requests) => self.asked(requests),
            Err(closed) => self.disconnect(&closed),
        }
    }

    fn asked(&mut self, requests: Vec<Asked>) {
        for asked in requests {
            if !matches!(asked.request, Request::Lease { .. } | Request::Status) {
                self.journal.note(format!("asked: {:?}", asked.request));
            }
            self.step(Input::Requested { id: asked.id, request: asked.request });
        }
    }

    fn disconnect(&mut self, closed: &Closed) {
        self.journal.note(format!("the daemon's connection was closed: {closed}"));
        self.daemon = None;
    }

    fn reap(&mut self) {
        for fact in self.children.reap() {
            self.step(fact);
        }
    }

    /// Steps the policy, and again with what came of its effects.
    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.policy.step(boottime(), input) {
                inputs.extend(self.perform(effect));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Vec<Input> {
        match effect {
            Effect::Look => return vec![Input::Looked(look(&self.arguments.pgdata))],
            Effect::Start(order) => {
                return vec![match launch(&self.arguments.pgdata, &order) {
                    Ok((pid, control)) => {
                        self.children.born(pid);
                        Input::Started { pid: pid.as_raw().cast_unsigned(), control }
                    }
                    Err(reason) => Input::NotStarted { reason },
                }];
            }
            Effect::Stop(mode) => self.children.stop(mode),
            Effect::Kill => {
                self.children.end();
                return self.children.reap();
            }
            Effect::Say(said) => self.say(&said),
            Effect::Quit => self.quitting = true,
        }
        Vec::new()
    }

    fn say(&mut self, said: &Said) {
        match said {
            Said::ServerExited(exit) => self.journal.note(format!("the server is gone: {exit:?}")),
            Said::Answer { answer: Answer::Refused(refusal), .. } => self.journal.note(format!("refused: {refusal}")),
            Said::Answer { .. } => {}
        }
        if let Some(daemon) = &mut self.daemon
            && let Err(closed) = daemon.say(said)
        {
            self.disconnect(&closed);
        }
    }
}

/// What `ppoll` found.
struct Ready {
    listener: bool,
    deaths: bool,
    daemon: bool,
}
