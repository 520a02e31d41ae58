//! Carries out a schedule, and writes down what it did.

use super::{Fault, Roles, Schedule, Step, Who, is_settled, statuses};
use crate::history::{Event, Recorder};
use crate::live::{Disk, Door, Folder, Hosts, Part, Verb, Way, now, request};
use actors::machine::Timestamp;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// For a verb of the hosts.
const VERB_DEADLINE: Duration = Duration::from_secs(60);
/// For somebody to have the role that a fault names.
const ROLE_DEADLINE: Duration = Duration::from_secs(6);
/// For the cluster to be whole, before a fault that wants it so.
const WHOLE_DEADLINE: Duration = Duration::from_secs(45);
/// For an operator's command.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// For resuming failover, again and again.
const RESUME_DEADLINE: Duration = Duration::from_secs(60);
/// For the cluster to be whole between two daemons of a rolling restart, as an operator would wait; past it he goes on.
const ROLLING_DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long an init waits before it starts a daemon that ended by itself.
const INIT_PAUSE: Duration = Duration::from_secs(1);

/// The one who hurts.
#[derive(Debug)]
pub struct Nemesis {
    hosts: Arc<dyn Hosts>,
    doors: Vec<Door>,
    recorder: Arc<Recorder>,
    /// Nodes whose daemons are meant to be down.
    held: Mutex<BTreeSet<usize>>,
    /// What each step has cut that is not mended yet.
    cuts: Mutex<BTreeMap<usize, Vec<Way>>>,
    /// The victims of each step that is not repaired yet.
    victims: Mutex<BTreeMap<usize, Vec<usize>>>,
}

/// A fault that was done.
struct Deed {
    began: Timestamp,
    victims: Vec<usize>,
    /// What is to be said of it.
    remark: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The schedule.
impl Nemesis {
    /// Of these hosts.
    #[must_use]
    pub fn new(hosts: Arc<dyn Hosts>, recorder: Arc<Recorder>) -> Self {
        let doors = hosts.doors();
        Self { hosts, doors, recorder, held: Mutex::default(), cuts: Mutex::default(), victims: Mutex::default() }
    }

    /// Does it all. Steps slip when the cluster takes longer to be whole; what finds no time before the end is spared.
    pub async fn run(&self, schedule: &Schedule) {
        let begun = Instant::now();
        let end = begun + Duration::from_millis(schedule.length_ms);
        let mut actions: Vec<(u64, usize, bool)> = Vec::new();
        for (index, step) in schedule.steps.iter().enumerate() {
            actions.extend([(step.at_ms, index, true), (step.at_ms + step.lasts_ms, index, false)]);
        }
        // At one instant a repair comes before the next fault, but after its own.
        actions.sort_by_key(|&(at, index, inflict)| (at, index, !inflict));
        let mut slip = Duration::ZERO;
        for (at, index, inflict) in actions {
            let due = begun + Duration::from_millis(at) + slip;
            if due < end {
                sleep_until(due).await;
            }
            let step = &schedule.steps[index];
            if !inflict {
                self.repair(index, &step.fault).await;
            } else if Instant::now() >= end || due >= end {
                self.spare(index, step, "no time was left");
            } else {
                self.begin(index, step).await;
                // A repair that is due while we waited is not made earlier by it.
                slip = slip.max(Instant::now().saturating_duration_since(begun + Duration::from_millis(at)));
            }
        }
        if Instant::now() < end {
            sleep_until(end).await;
        }
    }

    async fn begin(&self, index: usize, step: &Step) {
        match self.inflict(index, &step.fault).await {
            Ok(Deed { began, victims, remark }) => {
                let nodes = victims.iter().map(|&node| self.doors[node].id).collect();
                self.recorder.record(Event::Inflicted { step: index, title: step.fault.title(), began, nodes, remark });
            }
            Err(error) => self.spare(index, step, &format!("{error:#}")),
        }
    }

    fn spare(&self, index: usize, step: &Step, why: &str) {
        self.recorder.record(Event::Spared { step: index, title: step.fault.title(), why: why.to_owned() });
    }

    /// Does one fault.
    async fn inflict(&self, index: usize, fault: &Fault) -> Result<Deed> {
        if fault.wants_a_whole_cluster() {
            self.await_whole(WHOLE_DEADLINE).await.map_err(|why| anyhow::anyhow!("the cluster was not whole: {why}"))?;
        }
        let victims = self.choose(fault).await?;
        lock(&self.victims).insert(index, victims.clone());
        let began = now();
        let remark = match fault.clone() {
            Fault::Kill { part, .. } => self.kill(&victims, part).await?,
            Fault::KillAllBut { .. } | Fault::KillAll => self.kill(&victims, Part::Everything).await?,
            Fault::Stop { part, .. } => self.each(&victims, move |hosts, node| hosts.stop(node, part)).await?,
            Fault::Empty { folder, .. } => {
                self.kill(&victims, Part::Everything).await?;
                self.each(&victims, move |hosts, node| hosts.empty(node, folder)).await?
            }
            Fault::SetClock { seconds, .. } => self.each(&victims, move |hosts, node| hosts.set_clock(node, seconds)).await?,
            Fault::SwitchOver => Some(self.begin_by_command(victims[0], "/switchover").await?),
            Fault::RestartDaemons => self.restart_daemons(&victims).await?,
            Fault::Pause => {
                let said = self.begin_by_command(victims[0], "/failover/pause").await?;
                self.kill(&victims, Part::Server).await?.or(Some(said))
            }
            Fault::Cut { shape, .. } => {
                let ways = shape.ways(victims[0], self.doors.len());
                lock(&self.cuts).insert(index, ways.clone());
                self.verb(move |hosts| hosts.cut(&ways)).await?;
                None
            }
            Fault::Slow { slowness, .. } => self.each(&victims, move |hosts, node| hosts.slow(node, Some(slowness))).await?,
            Fault::Disk { folder, disk, .. } => self.each(&victims, move |hosts, node| hosts.set_disk(node, folder, disk)).await?,
            Fault::Press { pressure, .. } => self.each(&victims, move |hosts, node| hosts.press(node, pressure)).await?,
        };
        Ok(Deed { began, victims, remark })
    }

    /// Undoes what an operator, a boot or an electrician would undo; the rest is Witch's business.
    async fn repair(&self, index: usize, fault: &Fault) {
        let Some(victims) = lock(&self.victims).remove(&index) else { return };
        let undone = match fault.clone() {
            Fault::Kill { part: Part::Backend | Part::Server | Part::Guard, .. } | Fault::SwitchOver | Fault::RestartDaemons => Ok(None),
            Fault::Kill { .. } | Fault::KillAllBut { .. } | Fault::KillAll | Fault::Empty { .. } => self.boot(&victims).await,
            Fault::Stop { part, .. } => self.each(&victims, move |hosts, node| hosts.resume(node, part)).await,
            Fault::SetClock { .. } => self.each(&victims, |hosts, node| hosts.set_clock(node, 0)).await,
            Fault::Pause => self.resume_failover().await.map(|()| None),
            Fault::Cut { .. } => self.mend(index).await.map(|()| None),
            Fault::Slow { .. } => self.each(&victims, |hosts, node| hosts.slow(node, None)).await,
            Fault::Disk { folder, .. } => self.each(&victims, move |hosts, node| hosts.set_disk(node, folder, Disk::default())).await,
            Fault::Press { .. } => self.each(&victims, |hosts, node| hosts.relieve(node)).await,
        };
        match undone {
            Ok(_) => self.recorder.record(Event::Repaired { step: index }),
            // Tried again, with everything else, when the schedule is over.
            Err(error) => eprintln!("chaos: step {index} could not be repaired yet: {error:#}"),
        }
    }

    /// Makes everything whole, whatever was broken, and lets every daemon run.
    pub async fn repair_everything(&self) -> Result<()> {
        let all: Vec<usize> = (0..self.doors.len()).collect();
        self.verb(|hosts| hosts.mend()).await?;
        lock(&self.cuts).clear();
        let heal = |hosts: &dyn Hosts, node: usize| {
            hosts.resume(node, Part::Everything)?;
            hosts.relieve(node)?;
            if hosts.lacks(Verb::Slow).is_none() {
                hosts.slow(node, None)?;
            }
            if hosts.lacks(Verb::SetClock).is_none() {
                hosts.set_clock(node, 0)?;
            }
            if hosts.lacks(Verb::SetDisk).is_none() {
                hosts.set_disk(node, Folder::Database, Disk::default())?;
                hosts.set_disk(node, Folder::Witch, Disk::default())?;
            }
            Ok(())
        };
        if let Some(remark) = self.each(&all, heal).await? {
            eprintln!("chaos: not everything could be repaired: {remark}");
        }
        self.boot(&all).await?;
        self.resume_failover().await
    }

    /// Starts daemons that ended without the nemesis, as an init does. Never ends by itself.
    pub async fn revive(&self) {
        loop {
            sleep(INIT_PAUSE).await;
            for node in 0..self.doors.len() {
                let held = lock(&self.held).contains(&node);
                if held || self.verb(move |hosts| Ok(hosts.is_up(node))).await.unwrap_or(true) || lock(&self.held).contains(&node) {
                    continue;
                }
                // It may have been started by the nemesis in this instant.
                if self.verb(move |hosts| hosts.start(node)).await.is_ok() {
                    self.recorder.record(Event::Revived { node: self.doors[node].id });
                }
            }
        }
    }

    /// Waits for one primary and all others streaming from it; the error is what is missing.
    pub async fn await_whole(&self, deadline: Duration) -> Result<(), String> {
        let end = Instant::now() + deadline;
        loop {
            let Some(missing) = is_settled(&statuses(&self.doors).await) else { return Ok(()) };
            if Instant::now() > end {
                return Err(missing);
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// The deeds.
impl Nemesis {
    async fn choose(&self, fault: &Fault) -> Result<Vec<usize>> {
        let all = || (0..self.doors.len()).collect::<Vec<_>>();
        match fault {
            Fault::KillAll | Fault::RestartDaemons => Ok(all()),
            Fault::KillAllBut { who } => {
                let spared = self.find(*who).await?;
                Ok(all().into_iter().filter(|&node| node != spared).collect())
            }
            Fault::SwitchOver | Fault::Pause => Ok(vec![self.find(Who::Primary).await?]),
            Fault::Kill { who, .. }
            | Fault::Stop { who, .. }
            | Fault::Empty { who, .. }
            | Fault::SetClock { who, .. }
            | Fault::Cut { who, .. }
            | Fault::Slow { who, .. }
            | Fault::Disk { who, .. }
            | Fault::Press { who, .. } => Ok(vec![self.find(*who).await?]),
        }
    }

    async fn find(&self, who: Who) -> Result<usize> {
        let end = Instant::now() + ROLE_DEADLINE;
        loop {
            if let Some(node) = Roles::of(&self.doors, &statuses(&self.doors).await).find(who) {
                return Ok(node);
            }
            ensure!(Instant::now() < end, "nobody was {who:?}");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills; what dies of it and is not Witch's to start again is held down until its repair.
    async fn kill(&self, victims: &[usize], part: Part) -> Result<Option<String>> {
        if matches!(part, Part::Daemon | Part::Everything) {
            lock(&self.held).extend(victims);
        }
        self.each(victims, move |hosts, node| hosts.kill(node, part)).await
    }

    async fn boot(&self, victims: &[usize]) -> Result<Option<String>> {
        let start = |hosts: &dyn Hosts, node: usize| if hosts.is_up(node) { Ok(()) } else { hosts.start(node) };
        let started = self.each(victims, start).await;
        lock(&self.held).retain(|node| !victims.contains(node));
        started
    }

    async fn restart_daemons(&self, victims: &[usize]) -> Result<Option<String>> {
        let mut remark = None;
        for &node in victims {
            lock(&self.held).insert(node);
            let restarted = self.verb(move |hosts| hosts.restart_daemon(node)).await;
            lock(&self.held).remove(&node);
            restarted?;
            remark = self.await_whole(ROLLING_DEADLINE).await.err().or(remark);
        }
        Ok(remark)
    }

    async fn mend(&self, index: usize) -> Result<()> {
        let left: Vec<Way> = {
            let mut cuts = lock(&self.cuts);
            cuts.remove(&index);
            cuts.values().flatten().copied().collect()
        };
        self.verb(move |hosts| {
            hosts.mend()?;
            hosts.cut(&left)
        })
        .await
    }

    async fn resume_failover(&self) -> Result<()> {
        let end = Instant::now() + RESUME_DEADLINE;
        loop {
            let mut last = None;
            for node in 0..self.doors.len() {
                match self.command(node, "/failover/resume").await {
                    Ok(said) if said.starts_with("200") => return Ok(()),
                    Ok(said) => last = Some(said),
                    Err(error) => last = Some(format!("{error:#}")),
                }
            }
            if Instant::now() > end {
                bail!("no node resumed failover within {RESUME_DEADLINE:?}: {}", last.unwrap_or_default());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// A command that was begun, whatever came of it. One that is refused does nothing.
    async fn begin_by_command(&self, node: usize, path: &str) -> Result<String> {
        let said = self.command(node, path).await?;
        let begun = said.starts_with("200") || said.starts_with("504") || said.contains("\"failed\"");
        ensure!(begun, "the command was refused: {said}");
        Ok(said)
    }

    /// An operator's command: the answer's code and body.
    async fn command(&self, node: usize, path: &str) -> Result<String> {
        let door = &self.doors[node];
        let answer = request((&door.http.0, door.http.1), ("POST", path), Some(&door.token), "", COMMAND_DEADLINE).await?;
        Ok(format!("{} {}", answer.status, answer.body))
    }

    /// One verb on each victim. Its error if it worked on nobody; otherwise what failed is a remark.
    async fn each(
        &self,
        victims: &[usize],
        deed: impl Fn(&dyn Hosts, usize) -> Result<()> + Copy + Send + 'static,
    ) -> Result<Option<String>> {
        let mut failures = Vec::new();
        for &node in victims {
            if let Err(error) = self.verb(move |hosts| deed(hosts, node)).await {
                failures.push(format!("{}: {error:#}", self.doors[node].name));
            }
        }
        let remark = failures.join("; ");
        ensure!(failures.len() < victims.len(), "{remark}");
        Ok((!remark.is_empty()).then_some(remark))
    }

    async fn verb<T: Send + 'static>(&self, deed: impl FnOnce(&dyn Hosts) -> Result<T> + Send + 'static) -> Result<T> {
        let hosts = Arc::clone(&self.hosts);
        let done = tokio::task::spawn_blocking(move || deed(&*hosts));
        timeout(VERB_DEADLINE, done).await.context("the hosts took too long")?.context("the hosts panicked")?
    }
}
