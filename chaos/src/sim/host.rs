//! A host: its clock, its disks, and the processes that run on it.

use super::clock::Clock;
use super::daemon::Daemon;
use super::disk::LogDisk;
use super::guard::Guard;
use super::postgres::{Data, Server};
use actors::machine::Timestamp;
use actors::model::Epoch;
use actors::pg::Note;

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) clock: Clock,
    pub(super) disk: LogDisk,
    pub(super) daemon: Option<Daemon>,
    /// Lives of the daemon so far.
    pub(super) lives: u64,
    /// Only the start of this number counts.
    pub(super) start: u64,
    /// The host has power.
    pub(super) powered: bool,
    pub(super) daemon_wakes_at: u64,
    pub(super) guard_wakes_at: u64,
    pub(super) server_wakes_at: u64,
    pub(super) guard: Option<Guard>,
    pub(super) guards: u64,
    pub(super) data: Option<Data>,
    pub(super) server: Option<Server>,
    pub(super) pids: u32,
    /// What Witch noted of the server that its guard started last.
    pub(super) note: Option<Note>,
    /// What the guard has acknowledged: for which epoch, and until when.
    pub(super) lease: Option<(Epoch, Timestamp)>,
    /// What it was told to drop of that.
    pub(super) dropped: Option<(Epoch, Timestamp)>,
    /// Nobody could have ended a writable server: the daemon and the guard were both unable to. That is the hardware watchdog's case (S7).
    pub(super) exposed: bool,
    pub(super) slow_links: (u64, u64),
    /// When somebody last put something else in place of the database.
    pub(super) replaced_at: Option<u64>,
    /// A copy of its disk.
    pub(super) copy: Option<Data>,
}

impl Host {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            disk: LogDisk::default(),
            daemon: None,
            lives: 0,
            start: 0,
            powered: true,
            daemon_wakes_at: 0,
            guard_wakes_at: 0,
            server_wakes_at: 0,
            guard: None,
            guards: 0,
            data: None,
            server: None,
            pids: 100,
            note: None,
            lease: None,
            dropped: None,
            exposed: false,
            slow_links: (0, 0),
            replaced_at: None,
            copy: None,
        }
    }

    /// The daemon does not run now.
    pub(super) fn daemon_is_away(&self, now: u64) -> bool {
        self.daemon.is_none() || self.daemon_wakes_at > now
    }

    /// The daemon cannot fence now. One that was started while its guard stands still does not know of any lease for up to a second.
    pub(super) fn daemon_cannot_fence(&self, now: u64) -> bool {
        self.daemon_is_away(now) || self.daemon.as_ref().is_some_and(|daemon| !daemon.tether.is_informed())
    }

    /// The guard of the server cannot act now.
    pub(super) fn guard_is_away(&self, now: u64) -> bool {
        self.guard_wakes_at > now || self.guard.as_ref().map(|guard| guard.life) != self.server.as_ref().map(|server| server.guard)
    }
}
