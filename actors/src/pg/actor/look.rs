//! A look at everything there is to see of the database.

use super::operations::{EndOfWal, Session, Site, control_head, end_of_wal, inspect_directory, promotion};
use super::{Shop, launch, residents};
use crate::model::{Position, Promotion, Timeline};
use crate::pg::control::{ControlHead, ControlState};
use crate::pg::{Control, Life, Observation, Phase, Process, Sight, Stream};
use std::time::{Duration, SystemTime};

/// The guard answers within microseconds, unless the host is starved.
const GUARD_MAX: Duration = Duration::from_millis(500);
/// A server that takes longer to say how it is says nothing this time.
const SIGHT_MAX: Duration = Duration::from_millis(800);
/// What the end of a cleanly stopped server's log may take.
const END_MAX: Duration = Duration::from_secs(2);
/// Without a guard for so long, what runs in the directory is nobody's child any more.
const UNGUARDED_MAX: Duration = Duration::from_secs(2);

/// The line of `postmaster.pid` with the server's own word on how far it is.
const POSTMASTER_STATUS: usize = 7;

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Known {
    session: Option<(Life, Session)>,
    began: Option<Promotion>,
    end: Option<(SystemTime, EndOfWal)>,
}

impl Shop {
    /// Takes a look.
    pub(super) async fn look(&self) -> Observation {
        let process = self.process().await;
        let on_disk = OnDisk::read(self.site()).await;
        let mut known = self.known.lock().await;
        let sight = match process {
            Process::Running { life, .. } => known.sight(self.site(), life).await,
            _ => None,
        };
        let end = match process {
            Process::Gone => known.end(self.site(), &on_disk).await,
            _ => None,
        };
        let streams = sight.as_ref().is_some_and(|sight| sight.stream.is_some());
        let stall = match process {
            Process::Running { .. } if !streams => self.log().stall(),
            _ => None,
        };
        Observation {
            directory: on_disk.directory,
            control: on_disk.control.map(|head| Control { timeline: head.timeline, phase: phase(head.state) }),
            standby_signal: on_disk.standby_signal,
            process,
            sight,
            end,
            stall,
        }
    }

    async fn process(&self) -> Process {
        let tether = &self.surroundings.tether;
        let Some(client) = tether.client() else { return self.unguarded() };
        let Ok(status) = client.status(GUARD_MAX).await else { return Process::Unsettled };
        match status.server {
            Some(server) => match server.pid {
                Some(pid) if !server.ending => {
                    Process::Running { life: Life(pid), promoting: server.writable && server.as_primary.is_none() }
                }
                _ => Process::Unsettled,
            },
            None => self.without_a_child(),
        }
    }

    /// No guard answers: for a moment that says nothing, after a while nobody guards what runs.
    fn unguarded(&self) -> Process {
        let anybody = || !residents::of(&self.site().data_dir()).is_empty();
        let lost_long_ago = self.surroundings.tether.lost_for() > UNGUARDED_MAX;
        if lost_long_ago && anybody() { Process::Orphaned } else { Process::Unsettled }
    }

    /// The guard has no child. Others may be in the directory: left by an earlier guard, or started by somebody else.
    fn without_a_child(&self) -> Process {
        let site = self.site();
        let tether = &self.surroundings.tether;
        let postmaster = first_number(&site.data_dir().join("postmaster.pid"));
        if postmaster.is_none() && !tether.is_unswept() {
            return Process::Gone;
        }
        let residents = residents::of(&site.data_dir());
        if residents.is_empty() {
            tether.is_swept();
            return Process::Gone;
        }
        let last_started = first_number(&launch::pid_file(site));
        match postmaster.filter(|pid| residents.contains(pid)) {
            Some(pid) if Some(pid) != last_started => Process::Stranger { pid },
            _ => Process::Orphaned,
        }
    }
}

impl Known {
    async fn sight(&mut self, site: &Site, life: Life) -> Option<Sight> {
        if self.session.as_ref().is_none_or(|(of, session)| *of != life || session.is_closed()) {
            self.session = None;
            if !takes_connections(site).await {
                return None;
            }
            self.session = Some((life, Session::open(site, SIGHT_MAX).await.ok()?));
        }
        let (_, session) = self.session.as_mut()?;
        let Ok(seen) = session.observe(SIGHT_MAX).await else {
            self.session = None;
            return None;
        };
        let promotion = if seen.in_recovery { None } else { self.began(site, seen.position.timeline).await };
        let stream = seen.receiver.filter(|receiver| receiver.streaming);
        Some(Sight {
            in_recovery: seen.in_recovery,
            position: seen.position,
            replayed: seen.replayed,
            stream: stream.map(|receiver| Stream { timeline: receiver.timeline, from: receiver.upstream }),
            promotion,
        })
    }

    /// Where a primary's timeline began: that never changes.
    async fn began(&mut self, site: &Site, timeline: Timeline) -> Option<Promotion> {
        if self.began.is_none_or(|began| began.timeline != timeline) {
            self.began = promotion(site, timeline).await.ok();
        }
        self.began
    }

    /// Where the log of a cleanly stopped primary ends. Any other end is found only by reading the log through, which is no look.
    async fn end(&mut self, site: &Site, on_disk: &OnDisk) -> Option<Position> {
        let head = on_disk.control.filter(|head| head.state == ControlState::ShutDown)?;
        let written = on_disk.control_written?;
        if self.end.is_none_or(|(at, _)| at != written) {
            let end = end_of_wal(site, END_MAX).await.inspect_err(|error| tracing::warn!(%error, "the end of the log is not known"));
            self.end = Some((written, end.ok()?));
        }
        self.end.map(|(_, end)| Position { timeline: end.timeline.max(head.timeline), lsn: end.lsn })
    }
}

struct OnDisk {
    directory: crate::model::Directory,
    control: Option<ControlHead>,
    control_written: Option<SystemTime>,
    standby_signal: bool,
}

impl OnDisk {
    async fn read(site: &Site) -> Self {
        let data_dir = site.data_dir();
        let written = tokio::fs::metadata(data_dir.join("global/pg_control")).await;
        Self {
            directory: inspect_directory(site).await,
            control: control_head(site).await,
            control_written: written.and_then(|file| file.modified()).ok(),
            standby_signal: tokio::fs::try_exists(data_dir.join("standby.signal")).await.unwrap_or(false),
        }
    }
}

/// "Starting up" is what `initdb` leaves behind if it is broken off; it never becomes a primary by itself.
const fn phase(state: ControlState) -> Phase {
    match state {
        ControlState::InProduction | ControlState::ShuttingDown | ControlState::InCrashRecovery => Phase::Production,
        ControlState::ShutDown => Phase::ShutDown,
        ControlState::StartingUp | ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery => Phase::Recovery,
    }
}

/// What the postmaster says of itself in its lock file: asking it over and over while it starts would only fill its log.
async fn takes_connections(site: &Site) -> bool {
    let text = tokio::fs::read_to_string(site.data_dir().join("postmaster.pid")).await.unwrap_or_default();
    text.lines().nth(POSTMASTER_STATUS).is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
}

fn first_number(path: &std::path::Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()
}
