//! A look at everything there is to see of the database.

use super::operations::{
    DATABASE, EndOfWal, Receiver, Session, Site, SqlFailure, clones, control_head, controldata, end_of_wal, inspect_directory,
    is_without_database, lineage, newest_promotion, not_in_force, relate,
};
use super::refusals::FULL;
use super::server_log::ServerLog;
use super::standing::{Closed, Floor};
use super::tether::Unanswered;
use super::{Shop, launch};
use crate::guard;
use crate::model::{Condition, Lsn, Position, Promotion, Timeline};
use crate::pg::ancestry::Relation;
use crate::pg::conditions::copies::ANOTHER_HISTORY;
use crate::pg::conditions::ownership::OLD_KILL_MARGIN;
use crate::pg::conditions::replay::RESTORE_HANGS;
use crate::pg::conditions::sessions;
use crate::pg::control::{CAPACITIES, ControlHead, ControlState};
use crate::pg::wal::Geometry;
use crate::pg::{Budget, Control, Life, Observation, Outlook, Phase, Process, Sight, Stream, Upkeep};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;

/// The guard answers within microseconds, unless the host is starved.
const GUARD_MAX: Duration = Duration::from_millis(500);
/// A server that takes longer to say how it is says nothing this time.
const SIGHT_MAX: Duration = Duration::from_millis(800);
/// What the end of a cleanly stopped server's log may take.
const END_MAX: Duration = Duration::from_secs(2);
/// Without an answer for so long, nobody counts on the guard any more. A lease is over sooner; this is for standbys, and for a guard that is
/// stopped while there is no server.
const UNGUARDED_MAX: Duration = Duration::from_secs(5);

/// As the replication role a server is asked for so long before the superuser tries again.
const MAKESHIFT_MAX: Duration = Duration::from_secs(15);

/// A primary that could not be asked how a standby's log relates to its own is asked again after this time.
const VET_AGAIN: Duration = Duration::from_secs(1);

/// Within so many bytes of its beginning a timeline's first record may not be there yet.
const YOUNG: u64 = 65536;

/// A server that turns everybody away is asked again after a part of the time since it began to, within these bounds: each try is a line of its log.
const AGAIN_AFTER: (u32, Duration, Duration) = (4, Duration::from_millis(50), Duration::from_secs(1));

/// The line of `postmaster.pid` with the server's own word on how far it is.
const POSTMASTER_STATUS: usize = 7;

/// The line with the second of the day's clock at which it began.
const POSTMASTER_BEGAN: usize = 2;

/// What is kept from look to look.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) session: Option<(Life, Session)>,
    /// One that was opened while the looks had none.
    pub(super) spare: Option<Session>,
    /// What `pg_control` asks for, of which run, and as of when.
    pub(super) required: Option<(Life, Instant, [u32; CAPACITIES.len()])>,
    geometry: Option<(Life, Geometry)>,
    lineage: Option<(Life, Vec<Promotion>)>,
    /// The timeline on which that run was seen in recovery last.
    pub(super) recovered_on: Option<(Life, Timeline)>,
    /// Why the server could not say how it is, as the log has it already.
    complaint: Option<String>,
    /// The server answers, and lets none of Witch's roles in, or has no connection left.
    refused: bool,
    /// What is to be said of the database that the session is in.
    database: Option<Condition>,
    /// What is to be said of the replication role's rights.
    rights: Option<Condition>,
    end: Option<(SystemTime, EndOfWal)>,
    vetting: Option<Vetting>,
    pub(super) floor: Option<Floor>,
    pub(super) closed: Option<Closed>,
    /// Whether that run of the server listens where the file says.
    port: Option<(Life, Option<Condition>)>,
    /// Asked once for each session: one that lives on shows that no process of the server was killed.
    checkpointer: Option<u32>,
    /// That run of the server takes connections by its lock file and turns everybody away: since when, and when it was asked last.
    turned_away: Option<(Life, Instant, Instant)>,
}

/// Whether what a standby receives is the continuation of what it has. A walsender does not look; so once for each connection of its receiver
/// the logs are compared, when it has just begun.
#[derive(Clone, Copy, Debug)]
struct Vetting {
    life: Life,
    receiver: u32,
    found: Found,
}

#[derive(Clone, Copy, Debug)]
enum Found {
    /// The primary could not be asked, at that time.
    Nothing(Instant),
    /// It is.
    Same,
    /// It is not, up to that position. That stands as long as the server runs: what it receives from now on hides the difference.
    Another(Lsn),
}

impl Shop {
    /// Takes a look.
    pub(super) async fn look(&self) -> Observation {
        let process = self.process().await;
        self.strange.store(matches!(process, Process::Stranger { .. }), Ordering::Relaxed);
        let on_disk = self.read_disk().await;
        let running = if let Process::Running { life, .. } = process { Some(life.0) } else { None };
        let (mut conditions, upkeep) = self.survey(running).await;
        if conditions.iter().any(|condition| condition.id == RESTORE_HANGS.id) {
            self.command_hangs();
        }
        let mut known = self.known.lock().await;
        let sight = match process {
            Process::Running { life, promoting } => {
                let sight = known.sight(self.site(), life, self.before()).await;
                // While a server recovers in place `pg_control` goes on to say for a while that it is in production.
                match (sight, known.turned_away) {
                    (None, Some(_)) => None,
                    (None, None) if promoting => known.sight_on_disk(self.site(), life, &on_disk).await,
                    (None, None) if is_standby(&on_disk) && self.refusals.turns_away() => known.closed(self.site(), life).await,
                    // Who refuses a login has come up.
                    (None, None) if known.refused => known.sight_on_disk(self.site(), life, &on_disk).await,
                    (sight, _) => sight,
                }
            }
            _ => None,
        };
        let end = match process {
            Process::Gone => {
                known.server_is_gone();
                known.end(self.site(), &on_disk).await
            }
            _ => None,
        };
        if let (Process::Running { life, .. }, true) = (process, sight.is_some()) {
            conditions.extend(known.port(self.site(), life).await);
        }
        let streams = sight.as_ref().is_some_and(|sight| sight.stream.is_some());
        let disowned = known.disowned(process);
        let hint = match process {
            Process::Running { .. } if disowned.is_some() => true,
            Process::Running { .. } if !streams => self.with_log(ServerLog::hint).await,
            _ => false,
        };
        let turned_away = matches!(process, Process::Running { .. }) && known.turned_away.is_some();
        let crash = if turned_away { self.with_log(ServerLog::crash).await } else { None };
        let last_words = match process {
            Process::Gone => self.with_log(ServerLog::last_words).await,
            _ => None,
        };
        let upstream = sight.as_ref().and_then(|sight| sight.stream.as_ref()?.from.clone());
        self.prove_now_and_then(process, sight.as_ref(), upstream);
        conditions.extend(disowned);
        conditions.extend(self.other_margin());
        conditions.extend(known.conditions());
        if sight.as_ref().is_some_and(|sight| !sight.open) && self.refusals.is_starting() {
            conditions.extend(known.is_closed());
        }
        conditions.extend(self.refusals.conditions());
        let leftover = match process {
            Process::Running { .. } => self.leftover(on_disk.control).await,
            _ => None,
        };
        let site = self.site();
        Observation {
            leftover,
            chosen: (self.surroundings.successor)() == Some(site.settings.node),
            directory: on_disk.directory,
            control: on_disk.control.map(|head| Control { timeline: head.timeline, phase: phase(head.state) }),
            standby_signal: on_disk.standby_signal,
            process,
            sight,
            turned_away,
            crash,
            end,
            hint,
            last_words,
            clones: on_disk.clones,
            conditions,
            upkeep,
        }
    }

    /// What is to be said of the surroundings of the server.
    async fn survey(&self, running: Option<u32>) -> (Vec<Condition>, Upkeep) {
        let (site, runtime) = (self.site().clone(), Handle::current());
        let survey = Arc::clone(&self.survey);
        self.disk.run(move || runtime.block_on(async { survey.lock().await.take(&site, running).await })).await
    }

    /// How many of the other nodes with a database come before this one.
    fn before(&self) -> u8 {
        let own = self.site().settings.node;
        u8::try_from((self.surroundings.data_nodes)().iter().filter(|node| **node < own).count()).unwrap_or(u8::MAX)
    }

    async fn read_disk(&self) -> OnDisk {
        let (site, runtime) = (self.site().clone(), Handle::current());
        self.disk.run(move || runtime.block_on(OnDisk::read(&site))).await
    }

    async fn process(&self) -> Process {
        let Some(client) = self.surroundings.tether.client() else { return self.unanswered().await };
        let Ok(status) = client.status(GUARD_MAX).await else { return self.unanswered().await };
        match status.server {
            Some(server) => match server.pid {
                Some(pid) if !server.ending => {
                    self.note_down(pid).await;
                    Process::Running { life: Life(pid), promoting: server.writable && server.as_primary.is_none() }
                }
                _ => Process::Unsettled,
            },
            None => self.without_a_child(&client).await,
        }
    }

    /// A guard that could not be replaced when the file was changed.
    fn other_margin(&self) -> Option<Condition> {
        let tether = &self.surroundings.tether;
        let (theirs, ours) = (tether.client()?.identity().kill_margin, tether.options().arguments.kill_margin);
        (theirs != ours).then(|| {
            let (theirs, ours) = (theirs.as_millis(), ours.as_millis());
            OLD_KILL_MARGIN.seen(format!("the guard began with kill_margin_ms = {theirs}, and the file says {ours}"))
        })
    }

    /// Once for each server, should the daemon that had it started have died before it could.
    async fn note_down(&self, pid: u32) {
        if self.noted.swap(pid, Ordering::Relaxed) == pid {
            return;
        }
        let site = self.site().clone();
        let noted = self.disk.run(move || if launch::is_noted(&site, pid, None) { Ok(()) } else { launch::note_down(&site, pid) }).await;
        if let Err(error) = noted {
            self.noted.store(0, Ordering::Relaxed);
            tracing::warn!(%error, "that this server is Witch's own cannot be noted in Witch's folder; it is tried again");
        }
    }

    /// No guard answers: for a moment that says nothing, after a while nobody guards what runs, and nothing new can be started.
    async fn unanswered(&self) -> Process {
        let site = self.site().clone();
        // Who cannot be looked for may be there. A server that no guard of ours started is none of ours to end.
        let somebody = match self.disk.run(move || childless(&site, true)).await {
            Process::Stranger { pid } => return Process::Stranger { pid },
            Process::Gone => false,
            _ => true,
        };
        let gone_on = self.surroundings.tether.unanswered().filter(|unanswered| unanswered.lasts > UNGUARDED_MAX);
        match (gone_on, somebody) {
            (Some(_), true) | (Some(Unanswered { mute: true, .. }), false) => Process::Orphaned,
            (None, true) => Process::Silent,
            (_, false) => Process::Unsettled,
        }
    }

    /// The guard has no child. Others may be in the directory: left by an earlier guard, or started by somebody else.
    async fn without_a_child(&self, guard: &guard::Client) -> Process {
        let tether = &self.surroundings.tether;
        let (site, unswept) = (self.site().clone(), tether.is_unswept());
        let process = self.disk.run(move || childless(&site, unswept)).await;
        if process == Process::Gone {
            tether.is_swept(guard);
        }
        process
    }
}

/// Who is in the directory of a guard that has no child. `unswept`: there may be somebody though no lock file says so.
pub(super) fn childless(site: &Site, unswept: bool) -> Process {
    let postmaster = first_number(&site.data_dir().join("postmaster.pid"));
    if postmaster.is_none() && !unswept {
        return Process::Gone;
    }
    let Ok(residents) = guard::residents(&site.data_dir()) else { return Process::Unsettled };
    if residents.is_empty() {
        return Process::Gone;
    }
    let began = number_in_line(&site.data_dir().join("postmaster.pid"), POSTMASTER_BEGAN);
    let ours = |pid: u32| launch::is_noted(site, pid, began) || guard::guard_of(pid, &site.data_dir()).is_some();
    match postmaster.filter(|pid| residents.contains(pid)) {
        Some(pid) if !ours(pid) => Process::Stranger { pid },
        _ => Process::Orphaned,
    }
}

impl Known {
    /// The next one may have its number, and another history.
    fn server_is_gone(&mut self) {
        (self.session, self.spare, self.geometry, self.lineage) = (None, None, None, None);
        (self.database, self.rights, self.turned_away) = (None, None, None);
    }

    fn conditions(&self) -> Vec<Condition> {
        [&self.database, &self.rights].into_iter().flatten().cloned().collect()
    }

    /// Whether the replication role has its rights.
    pub(super) fn rights_are(&mut self, ensured: Result<usize, SqlFailure>) {
        self.rights = ensured.err().map(|failure| sessions::RIGHTS.seen(failure));
    }

    async fn port(&mut self, site: &Site, life: Life) -> Option<Condition> {
        if self.port.as_ref().is_none_or(|(of, _)| *of != life) {
            self.port = Some((life, not_in_force(site).await));
        }
        self.port.as_ref().and_then(|(_, condition)| condition.clone())
    }

    async fn sight(&mut self, site: &Site, life: Life, before: u8) -> Option<Sight> {
        if self.turned_away.is_some_and(|(of, since, last)| of == life && last.elapsed() < asked_again_after(last - since)) {
            return None;
        }
        let had = self.session.as_ref().is_some_and(|(of, _)| *of == life);
        let answer = match self.ask(site, life, before).await {
            // A session that was ended says nothing of the server; whether a new one is let in does.
            Err(failure) if had && !matches!(failure, SqlFailure::TooLate { .. }) && self.is_without_session() => {
                self.session = None;
                self.ask(site, life, before).await
            }
            answer => answer,
        };
        let refused = answer.as_ref().err().and_then(SqlFailure::state).is_some_and(|state| *state == SqlState::CANNOT_CONNECT_NOW);
        let now = Instant::now();
        let since = self.turned_away.filter(|(of, ..)| *of == life).map_or(now, |(_, since, _)| since);
        self.turned_away = refused.then_some((life, since, now));
        match answer {
            Ok(sight) => {
                (self.complaint, self.refused) = (None, false);
                self.database = self.session.as_ref().and_then(|(_, session)| in_another_database(session.database()));
                sight
            }
            Err(failure) => {
                self.session = None;
                self.refused = failure.state().is_some_and(|state| state.code() == FULL) || failure.outlook() == Outlook::Barred;
                self.database = is_without_database(&failure).then(|| sessions::NO_DATABASE.seen(&failure));
                // A look is taken many times a second: the same failure is told once.
                let text = failure.to_string();
                if self.complaint.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "the server does not say how it is");
                    self.complaint = Some(text);
                }
                None
            }
        }
    }

    fn is_without_session(&self) -> bool {
        self.session.as_ref().is_none_or(|(_, session)| session.is_closed())
    }

    /// None: it does not take connections yet, or nobody knows yet how far it is.
    async fn ask(&mut self, site: &Site, life: Life, before: u8) -> Result<Option<Sight>, SqlFailure> {
        if self.session.as_ref().is_none_or(|(of, session)| *of != life || session.is_closed() || session.is_makeshift_for(MAKESHIFT_MAX)) {
            self.session = None;
            if !takes_connections(site).await {
                return Ok(None);
            }
            self.session = Some((life, Session::open(site, SIGHT_MAX).await?));
            self.checkpointer = None;
        }
        let Some((_, session)) = self.session.as_mut() else { return Ok(None) };
        let seen = session.observe(SIGHT_MAX).await?;
        let Some(position) = self.is_at(site, life, &seen).await else { return Ok(None) };
        if self.checkpointer.is_none()
            && let Some((_, session)) = self.session.as_mut()
        {
            self.checkpointer = session.checkpointer(SIGHT_MAX).await?;
        }
        if seen.in_recovery {
            self.recovered_on = Some((life, position.timeline));
        }
        let Some((_, session)) = self.session.as_mut() else { return Ok(None) };
        let replay = if seen.in_recovery { Some(session.replay(SIGHT_MAX).await?) } else { None };
        let hold = match replay {
            Some(replay) => self.hold(site, life, replay, before).await,
            None => None,
        };
        let lineage = timeout(SIGHT_MAX, self.lineage(site, life, position)).await.unwrap_or_default();
        let stream = seen.receiver.filter(|receiver| receiver.streaming);
        if let Some(receiver) = &stream {
            self.vet(site, life, receiver, position).await;
        }
        // What it receives is of no use to it.
        let stream = stream.filter(|_| !matches!(self.vetting, Some(Vetting { found: Found::Another(_), .. })));
        Ok(Some(Sight {
            open: true,
            in_recovery: seen.in_recovery,
            position,
            replayed: seen.replayed,
            hold,
            stream: stream.map(|receiver| Stream { timeline: receiver.timeline, from: receiver.upstream }),
            lineage,
            checkpointer: self.checkpointer,
        }))
    }

    /// The position was seen before the primary is asked: so nothing honest is past what that has written.
    async fn vet(&mut self, site: &Site, life: Life, receiver: &Receiver, position: Position) {
        let due = match self.vetting {
            Some(Vetting { life: of, .. }) if of != life => true,
            Some(Vetting { found: Found::Another(_), .. }) => false,
            Some(Vetting { receiver: of, .. }) if of != receiver.pid => true,
            Some(Vetting { found: Found::Nothing(at), .. }) => at.elapsed() >= VET_AGAIN,
            Some(Vetting { found: Found::Same, .. }) => false,
            None => true,
        };
        let Some(upstream) = receiver.upstream.as_ref().filter(|_| due) else { return };
        let end = EndOfWal { timeline: position.timeline, lsn: position.lsn, clean: false, seen: true };
        let found = match timeout(SIGHT_MAX, relate(site, end, upstream, SIGHT_MAX)).await {
            Ok(Ok(Relation::Prefix)) => Found::Same,
            Ok(Ok(relation)) => {
                tracing::error!(?relation, at = %position.lsn, %upstream, "this standby streams, and its log is not the primary's");
                Found::Another(position.lsn)
            }
            Ok(Err(_)) | Err(_) => Found::Nothing(Instant::now()),
        };
        self.vetting = Some(Vetting { life, receiver: receiver.pid, found });
    }

    /// What is to be said of a standby that has another history than its primary.
    fn disowned(&self, process: Process) -> Option<Condition> {
        let Process::Running { life, .. } = process else { return None };
        match self.vetting.filter(|vetting| vetting.life == life)?.found {
            Found::Another(lsn) => {
                Some(ANOTHER_HISTORY.seen(format!("the log of this standby, which goes up to {lsn}, is not its primary's")))
            }
            Found::Nothing(_) | Found::Same => None,
        }
    }

    /// What a server in production is, when it lets nobody in: all its connections may be taken. One that was a standby is on the newest timeline of
    /// which there is a history, for that one it has written itself. `pg_control` names it with the next checkpoint, which may be minutes later.
    async fn sight_on_disk(&mut self, site: &Site, life: Life, on_disk: &OnDisk) -> Option<Sight> {
        on_disk.control.filter(|head| head.state == ControlState::InProduction && !on_disk.standby_signal)?;
        let control = controldata(site).await.ok().filter(|control| control.state == ControlState::InProduction)?;
        let began = newest_promotion(site, control.timeline).await.ok()?;
        let is_new = self.recovered_on.is_none_or(|(of, before)| of != life || began.timeline > before);
        let began = Some(began).filter(|_| is_new)?;
        let position = Position { timeline: began.timeline, lsn: began.lsn.max(control.checkpoint) };
        let lineage = timeout(SIGHT_MAX, self.lineage(site, life, position)).await.ok().filter(|lineage| !lineage.is_empty())?;
        Some(Sight { open: false, in_recovery: false, position, replayed: None, hold: None, stream: None, lineage, checkpointer: None })
    }

    /// Where its timeline comes from: that changes only with the timeline, once its first record is there. Empty: it cannot be read just now.
    pub(super) async fn lineage(&mut self, site: &Site, life: Life, position: Position) -> Vec<Promotion> {
        if let Some((of, known)) = &self.lineage
            && let Some(newest) = known.last()
            && (*of, newest.timeline) == (life, position.timeline)
            && (newest.mark.is_some() || newest.lsn == Lsn(0) || position.lsn.ahead_of(newest.lsn) > YOUNG)
        {
            return known.clone();
        }
        let Some(geometry) = self.geometry(site, life).await else { return Vec::new() };
        let read = lineage(site, geometry, position).await.unwrap_or_default();
        self.lineage = Some((life, read.clone()));
        read
    }

    /// Where the timeline of the server that was seen last comes from. Empty: it is not known.
    pub(super) fn seen_lineage(&self) -> Vec<Promotion> {
        let life = self.session.as_ref().map(|(life, _)| *life);
        self.lineage.as_ref().filter(|(of, _)| Some(*of) == life).map(|(_, lineage)| lineage.clone()).unwrap_or_default()
    }

    /// It never changes while a server runs.
    async fn geometry(&mut self, site: &Site, life: Life) -> Option<Geometry> {
        if self.geometry.is_none_or(|(of, _)| of != life) {
            self.geometry = Some((life, controldata(site).await.ok()?.geometry()));
        }
        self.geometry.map(|(_, geometry)| geometry)
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

fn asked_again_after(lasts: Duration) -> Duration {
    let (part, least, most) = AGAIN_AFTER;
    (lasts / part).clamp(least, most)
}

fn in_another_database(name: &str) -> Option<Condition> {
    (name != DATABASE).then(|| sessions::OTHER_DATABASE.seen(format!("Witch's sessions are in `{name}`")))
}

struct OnDisk {
    directory: crate::model::Directory,
    control: Option<ControlHead>,
    control_written: Option<SystemTime>,
    standby_signal: bool,
    clones: Budget,
}

impl OnDisk {
    async fn read(site: &Site) -> Self {
        let data_dir = site.data_dir();
        let written = tokio::fs::metadata(data_dir.join("global/pg_control")).await;
        Self {
            directory: inspect_directory(site).await,
            control: control_head(site).await,
            control_written: written.and_then(|file| file.modified()).ok(),
            clones: clones(site).await,
            standby_signal: tokio::fs::try_exists(data_dir.join("standby.signal")).await.unwrap_or(false),
        }
    }
}

/// It was started as a standby, and was not told to be anything else.
fn is_standby(on_disk: &OnDisk) -> bool {
    on_disk.standby_signal && on_disk.control.is_some_and(|head| head.state == ControlState::InArchiveRecovery)
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
    number_in_line(path, 0)
}

fn number_in_line<T: std::str::FromStr>(path: &std::path::Path, line: usize) -> Option<T> {
    std::fs::read_to_string(path).ok()?.lines().nth(line)?.trim().parse().ok()
}
