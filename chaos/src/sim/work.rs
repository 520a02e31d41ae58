//! The adapter's operations: what they take, and what they do to the world.

use super::daemon::node_at;
use super::event::{Chore, Event, Mail, ServerEvent};
use super::postgres::{Data, Nature, Server};
use super::tether::Purpose;
use super::wiring::timing;
use super::world::World;
use actors::guard::wire::{Launch, Request, StopMode};
use actors::machine::Timestamp;
use actors::model::{Epoch, Position, SystemIdentifier};
use actors::pg::{self, Fork, Kind, Life, Note, Operation, Outcome, Outlook, Upstream};

/// The guard answers a start once the process exists; anything else sooner.
const START_MAX: u64 = 10_000_000;
const BRIEF: u64 = 5_000_000;

/// The operation under way.
#[derive(Clone, Debug)]
pub(super) struct Work {
    id: u64,
    operation: Operation,
}

impl World {
    pub(super) fn begin_work(&mut self, node: usize, id: u64, operation: Operation) {
        self.tally.count(operation.kind().name());
        let takes = match operation.kind() {
            Kind::InitDb | Kind::Adopt => self.dice.between((800_000, 3_000_000)),
            Kind::Clone => self.dice.between(self.setting.clone),
            Kind::Rewind => self.dice.between((500_000, 3_000_000)),
            Kind::Checkpoint => self.dice.between(self.setting.stop),
            Kind::Compare | Kind::Preserve => self.dice.between((5_000, 300_000)),
            _ => self.dice.between((1_000, 20_000)),
        };
        self.judge_operation(node, &operation);
        self.judge_beside(node, &operation);
        let host = &mut self.hosts[node];
        // Whatever it was, a rewind that is broken off leaves nothing that could be started.
        if let (Operation::Rewind(_), Some(data)) = (&operation, host.data.as_mut()) {
            data.unfinished = true;
        }
        let Some(daemon) = host.daemon.as_mut() else { return };
        daemon.work = Some(Work { id, operation });
        let life = daemon.life;
        self.schedule(self.now + takes, Event::Chore(node, life, Chore::Work(id)));
    }

    pub(super) fn cancel_work(&mut self, node: usize, life: u64, id: u64) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        if daemon.work.take_if(|work| work.id == id).is_some() {
            self.mail(node, life, Mail::Pg(Box::new(pg::Input::Finished { id, outcome: Outcome::Cancelled })));
        }
    }

    pub(super) fn work_done(&mut self, node: usize, id: u64, outcome: Outcome) {
        let Some(daemon) = self.hosts[node].daemon.as_mut() else { return };
        let life = daemon.life;
        if daemon.work.take_if(|work| work.id == id).is_some() {
            self.mail(node, life, Mail::Pg(Box::new(pg::Input::Finished { id, outcome })));
        }
    }

    pub(super) fn work_failed(&mut self, node: usize, id: u64, reason: &str, waiting: bool) {
        let outlook = if waiting { Outlook::Waiting } else { Outlook::Open };
        self.work_done(node, id, Outcome::Failed { reason: reason.to_owned(), outlook });
    }

    pub(super) fn work_started(&mut self, node: usize, id: u64, pid: u32) {
        self.work_done(node, id, Outcome::Started(Life(pid)));
    }

    /// The time that the operation takes has passed.
    pub(super) fn work(&mut self, node: usize, id: u64) {
        let Some(work) = self.hosts[node].daemon.as_ref().and_then(|daemon| daemon.work.clone()).filter(|work| work.id == id) else {
            return;
        };
        match work.operation {
            Operation::StartPrimary(_, Some(least)) | Operation::Promote(_, Some(least)) if let Some(older) = self.lacks(node, least) => {
                self.work_done(node, id, Outcome::Older(older));
            }
            Operation::StartPrimary(epoch, _) => self.start_server(node, id, Some(epoch), None),
            Operation::StartStandby(upstream) => {
                self.start_server(node, id, None, upstream.as_ref());
            }
            Operation::Promote(epoch, _) => {
                let asked = self.local(node);
                self.ask_guard(node, Purpose::Expect(id, epoch, asked), Request::ExpectPromotion { epoch }, BRIEF);
            }
            Operation::StopFast => self.ask_guard(node, Purpose::Stop(id), Request::Stop(StopMode::Fast), BRIEF),
            Operation::StopImmediately => self.ask_guard(node, Purpose::Stop(id), Request::Stop(StopMode::Immediate), BRIEF),
            // Each of them looks for a lock file first.
            Operation::InitDb | Operation::Adopt | Operation::Rewind(_) | Operation::Clone(..)
                if self.hosts[node].server.as_ref().is_some_and(Server::is_strange) =>
            {
                self.work_failed(node, id, "a server that Witch did not start runs there", true);
            }
            operation => {
                let outcome =
                    self.carry_out(node, &operation).unwrap_or_else(|(reason, outlook)| Outcome::Failed { reason: reason.into(), outlook });
                self.work_done(node, id, outcome);
            }
        }
    }

    fn start_server(&mut self, node: usize, id: u64, as_primary: Option<Epoch>, upstream: Option<&Upstream>) {
        if let Some(data) = self.hosts[node].data.as_mut() {
            data.standby_signal = as_primary.is_none();
        }
        if let Some(epoch) = as_primary {
            self.judge_start(node, epoch);
        }
        let launch = Launch {
            as_primary,
            program: "postgres".into(),
            args: upstream.map(told).unwrap_or_default(),
            env: Vec::new(),
            working_dir: "/data".into(),
            log_file: "/log".into(),
        };
        let second = self.now / 1_000_000;
        let host = &mut self.hosts[node];
        if host.daemon.as_ref().is_some_and(|daemon| daemon.tether.connected.is_some()) {
            host.note = Some(Note::Starts(second));
        }
        self.ask_guard(node, Purpose::Start(id), Request::Start(launch), START_MAX);
    }

    /// The guard counts the server as writable from now on: it may be promoted.
    pub(super) fn promote(&mut self, node: usize, id: u64, epoch: Epoch, asked: Timestamp) {
        let takes = self.dice.between(self.setting.promote);
        if self.local(node).since(asked) >= timing().kill_margin {
            return self.work_failed(node, id, "the guard's answer came too late to count on the lease", true);
        }
        self.judge_start(node, epoch);
        let (now, host) = (self.now, &mut self.hosts[node]);
        let works = host.daemon.as_ref().is_some_and(|daemon| daemon.work.as_ref().is_some_and(|work| work.id == id));
        // A promotion that was cancelled meanwhile is never triggered.
        if !works {
            return;
        }
        let Some(server) =
            host.server.as_mut().filter(|server| server.up && !server.stopping && !server.dying && host.server_wakes_at <= now)
        else {
            return self.work_failed(node, id, "the server does not answer", true);
        };
        let pid = server.pid;
        if matches!(server.nature, Nature::Standby | Nature::Promoting(_)) {
            (server.nature, server.streams) = (Nature::Promoting(epoch), false);
            self.schedule(now + takes, Event::Server(node, pid, ServerEvent::Promoted));
            self.judge_writable(node);
        }
    }

    /// Whoever asked for the promotion waits for its end.
    pub(super) fn promotion_done(&mut self, node: usize) {
        let work = self.hosts[node].daemon.as_ref().and_then(|daemon| daemon.work.as_ref());
        if let Some(id) = work.filter(|work| work.operation.kind() == Kind::Promote).map(|work| work.id) {
            self.work_done(node, id, Outcome::Done);
        }
    }

    /// Does to the world what the operation does.
    fn carry_out(&mut self, node: usize, operation: &Operation) -> Result<Outcome, (&'static str, Outlook)> {
        let up = |world: &Self| world.hosts[node].server.as_ref().is_some_and(|server| server.up && !server.stopping);
        match operation {
            Operation::InitDb => {
                let identifier = SystemIdentifier(self.dice.between((1, u64::MAX >> 1)));
                let number = self.next_record();
                self.hosts[node].data = Some(Data::fresh(identifier, number));
                Ok(Outcome::Founded(identifier))
            }
            Operation::Adopt => {
                let data = self.hosts[node].data.as_ref().ok_or(("there is no database", Outlook::Open))?;
                Ok(Outcome::Founded(data.identifier))
            }
            Operation::Aim(upstream) => {
                let server = self.hosts[node].server.as_mut().filter(|server| server.up).ok_or(("no server answers", Outlook::Waiting))?;
                (server.follows, server.streams, server.diverged) = (None, false, false);
                let fork = self.compare(node, upstream)?;
                if fork != Fork::Prefix {
                    return Ok(Outcome::Compared(fork));
                }
                let Some(server) = self.hosts[node].server.as_mut() else { return Ok(Outcome::Done) };
                server.follows = node_at(&upstream.database);
                server.compared = upstream.promotion.map(|_| upstream.epoch);
                Ok(Outcome::Done)
            }
            Operation::ClearReplay => Ok(Outcome::Done),
            Operation::Tend | Operation::Configure(_) | Operation::Checkpoint if !up(self) => Err(("no server answers", Outlook::Waiting)),
            Operation::Configure(_) => Ok(Outcome::Done),
            Operation::Tend => {
                self.hosts[node].data.as_mut().ok_or(("there is no database", Outlook::Open))?.note_marks();
                Ok(Outcome::Done)
            }
            Operation::Checkpoint => Ok(Outcome::Done),
            Operation::Compare(upstream) => self.compare(node, upstream).map(Outcome::Compared),
            Operation::Preserve(upstream) => self.compare(node, upstream).map(|_| Outcome::Done),
            Operation::Rewind(upstream) => {
                let source = self.source(node, upstream)?;
                if self.dice.one_in(8) {
                    return Err(("a file is missing", Outlook::Hopeless));
                }
                let now = self.now;
                let data = self.hosts[node].data.as_mut().ok_or(("there is no database", Outlook::Open))?;
                // Of what its histories do not show `pg_rewind` knows nothing: it finds nothing to do.
                if data.is_part_of(&source) || !data.streams_from(&source) {
                    data.rewind_to(&source);
                }
                data.unfinished = false;
                data.set_state(now, actors::guard::control_file::DbState::InArchiveRecovery);
                Ok(Outcome::Done)
            }
            Operation::Clone(upstream, _) => {
                let source = self.source(node, upstream)?;
                let now = self.now;
                let mut data = Data { standby_signal: true, unfinished: false, oldest: source.end().0, ..source };
                data.durable = data.log.len();
                data.set_state(now, actors::guard::control_file::DbState::InArchiveRecovery);
                self.hosts[node].data = Some(data);
                Ok(Outcome::Done)
            }
            Operation::StartPrimary(..)
            | Operation::StartStandby(_)
            | Operation::Promote(..)
            | Operation::StopFast
            | Operation::StopImmediately => Ok(Outcome::Done),
        }
    }

    /// The log of the upstream as it can be read there, if that one accepts writes; a copy, since ours changes next.
    fn source(&self, node: usize, upstream: &Upstream) -> Result<Data, (&'static str, Outlook)> {
        let waiting = ("the upstream cannot be reached", Outlook::Waiting);
        let other = node_at(&upstream.database).filter(|other| *other != node && self.reaches(node, *other)).ok_or(waiting)?;
        let host = &self.hosts[other];
        let serves = host.server_wakes_at <= self.now
            && host.server.as_ref().is_some_and(|server| server.up && !server.stopping && matches!(server.nature, Nature::Primary(_)));
        host.data.clone().filter(|data| serves && data.identifier == upstream.system_identifier).ok_or(waiting)
    }

    /// As the hands look at what lies there.
    fn lacks(&self, node: usize, least: Position) -> Option<String> {
        let data = self.hosts[node].data.as_ref()?;
        let any = least.timeline.0 == 0 || data.history.iter().any(|own| own.timeline == least.timeline);
        (!any || data.end() < least.lsn).then(|| format!("the log ends at {:?} and must go on from {least:?}", data.position()))
    }

    fn compare(&self, node: usize, upstream: &Upstream) -> Result<Fork, (&'static str, Outlook)> {
        let source = self.source(node, upstream)?;
        let data = self.hosts[node].data.as_ref().ok_or(("there is no database", Outlook::Open))?;
        Ok(match (data.is_part_of(&source), data.streams_from(&source)) {
            (true, _) => Fork::Prefix,
            (false, false) => Fork::Diverged,
            (false, true) => Fork::Twin,
        })
    }
}

/// Whom a standby is told to follow, in words that a launch can carry.
fn told(upstream: &Upstream) -> Vec<String> {
    let node = node_at(&upstream.database).map(|node| node.to_string());
    node.into_iter().chain(upstream.promotion.map(|_| upstream.epoch.to_string())).collect()
}
