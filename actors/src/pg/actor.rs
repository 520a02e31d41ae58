//! The adapter's door to the world: the hands of its machine.
//!
//! Nothing here decides. An operation runs as a task of its own, whose end, good or bad, is told to the machine as one more fact; a cancelled
//! one is gone, with every process that it started, before its end is told. When the actor dies its tasks end with it, and the server runs on:
//! it is the guard's child.

pub mod operations;

mod archiver;
mod aside;
mod commands;
mod kill;
mod launch;
mod look;
mod make_way;
mod processes;
mod promotion;
mod refusals;
mod server_log;
mod standing;
mod tether;
mod work;

pub use tether::{Found, Held, Tether};

use super::{Answer, Effect, Importance, Input, Life, Machine, Operation, Outcome, Outlook, Process, Reported};
use crate::guard;
use crate::machine::Timestamp;
use crate::model::NodeId;
use crate::tree::{Address, Hands};
use aside::Aside;
use look::{Known, childless};
use make_way::Prepared;
use operations::{Site, SqlFailure, Survey, try_login};
use refusals::Refusals;
use server_log::ServerLog;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the hands need to know of their surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// The PostgreSQL of this node.
    pub site: Site,
    /// The guard.
    pub tether: Tether,
    /// Every node with a database, as the cluster's state names them: each has a slot here.
    pub data_nodes: Arc<dyn Fn() -> BTreeSet<NodeId> + Send + Sync>,
    /// The target of the switchover that is under way, as the cluster's state names it.
    pub successor: Arc<dyn Fn() -> Option<NodeId> + Send + Sync>,
    /// Whom to tell.
    pub report: Arc<dyn Fn(Reported) + Send + Sync>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("site", &self.site).field("tether", &self.tether).finish_non_exhaustive()
    }
}

/// The hands of the adapter's machine.
#[derive(Debug)]
pub struct PgHands {
    shop: Arc<Shop>,
    work: Option<(u64, JoinHandle<()>)>,
    look: Option<JoinHandle<()>>,
    rotated: Option<Instant>,
}

/// A server that ends for a command of recovery is started anew within this time.
const COMMANDS_OFF: Duration = Duration::from_secs(60);

/// What the tasks share.
#[derive(Debug)]
struct Shop {
    surroundings: Surroundings,
    log: Arc<Mutex<ServerLog>>,
    known: tokio::sync::Mutex<Known>,
    survey: Arc<tokio::sync::Mutex<Survey>>,
    disk: Aside,
    refusals: Arc<Refusals>,
    /// The server whose process is known to be noted as Witch's own.
    noted: AtomicU32,
    /// The last look has seen a server that Witch did not start: whoever orders a kill from now on means that one.
    strange: AtomicBool,
    prepared: Mutex<Prepared>,
    /// When a command of recovery hung last, and its server has to end with it: the next one does without such commands.
    command_hung: Mutex<Option<Instant>>,
    /// Held while something that was discarded is removed.
    removing: Arc<tokio::sync::Mutex<()>>,
}

impl Shop {
    fn site(&self) -> &Site {
        &self.surroundings.site
    }

    /// A command of recovery hangs.
    fn command_hangs(&self) {
        *self.command_hung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the server that is started now comes after one that ended for a command of recovery. Once.
    fn does_without_commands(&self) -> bool {
        let hung = self.command_hung.lock().unwrap_or_else(PoisonError::into_inner).take();
        hung.is_some_and(|at| at.elapsed() < COMMANDS_OFF)
    }

    /// Works with the server's log.
    async fn with_log<T: Send + 'static>(&self, work: impl FnOnce(&mut ServerLog) -> T + Send + 'static) -> T {
        let log = Arc::clone(&self.log);
        self.disk.run(move || work(&mut log.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl PgHands {
    /// Hands for one life of the actor.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        let log = ServerLog::from_its_end(launch::log_file(&surroundings.site));
        let shop = Shop {
            surroundings,
            log: Arc::new(Mutex::new(log)),
            known: tokio::sync::Mutex::default(),
            survey: Arc::default(),
            disk: Aside::default(),
            refusals: Arc::default(),
            noted: AtomicU32::default(),
            strange: AtomicBool::default(),
            prepared: Mutex::default(),
            command_hung: Mutex::default(),
            removing: Arc::default(),
        };
        Self { shop: Arc::new(shop), work: None, look: None, rotated: None }
    }

    fn begin(&mut self, id: u64, operation: Operation, me: &Address<Input>) {
        let (shop, me) = (Arc::clone(&self.shop), me.clone());
        let task = tokio::spawn(async move {
            let progress = work::throttled(id, me.clone());
            let outcome = work::carry_out(&shop, operation, &progress).await;
            me.tell(Input::Finished { id, outcome });
        });
        self.work = Some((id, task));
    }

    fn cancel(&mut self, id: u64, me: &Address<Input>) {
        let Some((_, task)) = self.work.take_if(|(working, _)| *working == id) else { return };
        task.abort();
        let me = me.clone();
        tokio::spawn(async move {
            // It is over when the task is, and no sooner. If it had come to its end by itself, that was told before.
            let _ = task.await;
            me.tell(Input::Finished { id, outcome: Outcome::Cancelled });
        });
    }

    fn look(&mut self, number: u64, me: &Address<Input>) {
        if let Some(look) = self.look.take() {
            look.abort();
        }
        self.rotate_now_and_then();
        let (shop, me) = (Arc::clone(&self.shop), me.clone());
        self.look = Some(tokio::spawn(async move {
            let observation = Box::new(shop.look().await);
            me.tell(Input::Observed { number, observation });
        }));
    }

    /// Looks are taken as long as the actor lives, so they are the occasion.
    fn rotate_now_and_then(&mut self) {
        if self.rotated.is_some_and(|at| at.elapsed() < server_log::ROTATE_EVERY) {
            return;
        }
        self.rotated = Some(Instant::now());
        let log = launch::log_file(self.shop.site());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = server_log::rotate(&log) {
                tracing::warn!(%error, log = %log.display(), "the server's log is too long and cannot be put aside");
            }
        });
    }

    fn probe(&self, number: u64, within: Duration, me: &Address<Input>) {
        let (shop, me) = (Arc::clone(&self.shop), me.clone());
        tokio::spawn(async move {
            let answer = try_login(shop.site(), within).await;
            shop.refusals.own_answered(&answer);
            let answer = match answer {
                Ok(()) => Answer::Served,
                // Whoever refuses this login and no other has come up.
                Err(refused) if refused.outlook() == Outlook::Barred => Answer::Served,
                Err(SqlFailure::Refused { .. }) => Answer::Refused,
                Err(_) => Answer::Silent,
            };
            me.tell(Input::Probed { number, answer });
        });
    }

    /// It outlives the actor: a kill that was ordered is carried out.
    fn kill(&self) {
        let tether = self.shop.surroundings.tether.clone();
        let (site, known) = (self.shop.site().clone(), self.shop.strange.load(Ordering::Relaxed));
        let spares = move || !known && matches!(childless(&site, true), Process::Stranger { .. });
        tokio::spawn(async move { tether.kill_server_but(spares).await });
    }
}

impl Drop for PgHands {
    fn drop(&mut self) {
        if let Some((_, task)) = self.work.take() {
            task.abort();
        }
        if let Some(look) = self.look.take() {
            look.abort();
        }
    }
}

impl Hands<Machine> for PgHands {
    fn perform(&mut self, _: Timestamp, effect: Effect, me: &Address<Input>) -> Result<(), Box<dyn Error + Send + Sync>> {
        match effect {
            Effect::Begin { id, operation } => self.begin(id, operation, me),
            Effect::Cancel { id } => self.cancel(id, me),
            Effect::Kill => self.kill(),
            Effect::Look { number } => self.look(number, me),
            Effect::Probe { number, timeout } => self.probe(number, timeout, me),
            Effect::Report(report) => (self.shop.surroundings.report)(report),
            Effect::Note { importance, rule, because, text } => match importance {
                Importance::Routine => tracing::debug!(rule, because, "database: {text}"),
                Importance::News => tracing::info!(rule, because, "database: {text}"),
                Importance::Warning => tracing::warn!(rule, because, "database: {text}"),
            },
        }
        Ok(())
    }
}

/// A guard's word on how a server ended, as a fact for the machine. None: it ended before it had a process of its own.
fn exit_fact(exit: guard::wire::Exit) -> Option<Input> {
    use guard::wire::ExitCause;
    let fenced = matches!(exit.cause, ExitCause::LeaseOver | ExitCause::NoLease);
    exit.pid.map(|pid| Input::ServerExited { life: Life(pid), fenced })
}
