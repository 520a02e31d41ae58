//! One supervisor over a row of children, each restarted by itself.
//!
//! The children depend on each other only through addresses that outlive them, so the death of one is no reason to end another. A child
//! that dies too often ends the supervisor's patience, and with it the process: a node never runs half-alive (L3).

use super::address::Address;
use super::clock::Clock;
use super::restart::{RestartPolicy, RestartWindow, Verdict};
use super::shell::{Hands, Shell, Start};
use super::task::Task;
use crate::machine::Machine;
use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::borrow::Cow;
use std::error::Error;
use tokio::sync::mpsc;

/// One life of an actor.
pub struct Life<M: Machine, H> {
    /// What decides.
    pub machine: M,
    /// What acts.
    pub hands: H,
    /// What earlier lives were told and this one must know: its first facts. Called once facts that are told reach this life, so that
    /// none falls between.
    pub facts: Facts<M>,
}

/// See [`Life::facts`].
pub type Facts<M> = Box<dyn FnOnce() -> Vec<<M as Machine>::Input> + Send>;

impl<M: Machine, H> Life<M, H> {
    /// A life that need not know anything.
    pub fn new(machine: M, hands: H) -> Self {
        Self { machine, hands, facts: Box::new(Vec::new) }
    }

    /// A life that begins with these facts.
    pub fn knowing(machine: M, hands: H, facts: impl FnOnce() -> Vec<M::Input> + Send + 'static) -> Self {
        Self { machine, hands, facts: Box::new(facts) }
    }
}

impl<M: Machine, H> std::fmt::Debug for Life<M, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Life")
    }
}

/// What a child is called in the log: a word, or one with the number of whatever there are several for.
pub type Name = Cow<'static, str>;

type Starter = Box<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, String>> + Send + Sync>;

/// How to start a child, again and again.
pub struct Child {
    name: Name,
    start: Starter,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Child({})", self.name)
    }
}

impl Child {
    /// A machine with its hands. `make` is called for every life of the actor, and reads what it needs from where it survives.
    pub fn new<M, H, F>(name: impl Into<Name>, clock: Clock, address: Address<M::Input>, make: F) -> Self
    where
        M: Machine,
        H: Hands<M>,
        F: Fn() -> Result<Life<M, H>, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    {
        let name = name.into();
        let called = name.clone();
        let start = Box::new(move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, String>> {
            let made = make();
            let (name, address) = (called.clone(), address.clone());
            Box::pin(async move {
                let Life { machine, hands, facts } = made.map_err(|error| error.to_string())?;
                let start = Start { name, machine, hands, facts, clock, address };
                let (actor, _) =
                    Actor::spawn_linked(None, Shell::<M, H>::new(), start, supervisor).await.map_err(|error| error.to_string())?;
                Ok(actor.get_cell())
            })
        });
        Self { name, start }
    }

    /// A future in place of a machine, for the one actor that has none: the API. `make` is called for every life. The future ends with its
    /// actor; a panic or an error in it is the actor's death. A future that returns `Ok` has finished for good and is not started again.
    pub fn task<F, T>(name: impl Into<Name>, make: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let start = Box::new(move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, String>> {
            let future: BoxFuture<'static, _> = Box::pin(make());
            Box::pin(async move {
                let (actor, _) = Actor::spawn_linked(None, Task, future, supervisor).await.map_err(|error| error.to_string())?;
                Ok(actor.get_cell())
            })
        });
        Self { name: name.into(), start }
    }
}

/// Why the tree gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor `{actor}` died too often; its last cause: {cause}")]
pub struct GaveUp {
    /// The child.
    pub actor: Name,
    /// Its last cause of death.
    pub cause: String,
}

/// A running tree.
#[derive(Debug)]
pub struct Tree {
    supervisor: ActorRef<Note>,
    gave_up: mpsc::Receiver<GaveUp>,
}

impl Tree {
    /// Starts the children in order.
    ///
    /// # Errors
    /// The first child that could not be started, and why.
    pub async fn start(clock: Clock, policy: RestartPolicy, children: Vec<Child>) -> Result<Self, GaveUp> {
        let (escalate, gave_up) = mpsc::channel(1);
        let first = children.first().map_or(Cow::Borrowed("supervisor"), |child| child.name.clone());
        let plan = Plan { clock, policy, children, escalate };
        let (supervisor, _) =
            Actor::spawn(None, Supervisor, plan).await.map_err(|error| GaveUp { actor: first, cause: error.to_string() })?;
        Ok(Self { supervisor, gave_up })
    }

    /// Waits until the tree gives up. Never returns while it is well.
    pub async fn gave_up(&mut self) -> GaveUp {
        let silent = || GaveUp { actor: Cow::Borrowed("supervisor"), cause: "it ended without a word".to_owned() };
        self.gave_up.recv().await.unwrap_or_else(silent)
    }

    /// Ends the child of that name, or the first of that kind, as if it had died; the supervisor restarts it. For tests.
    pub fn kill(&self, child: &'static str) {
        // A supervisor that is gone has no children to kill.
        let _ = self.supervisor.send_message(Note::Kill(child));
    }

    /// Ends the whole tree.
    pub fn stop(&self) {
        self.supervisor.stop(None);
    }
}

#[derive(Debug)]
enum Note {
    StartAgain(usize),
    Kill(&'static str),
}

struct Plan {
    clock: Clock,
    policy: RestartPolicy,
    children: Vec<Child>,
    escalate: mpsc::Sender<GaveUp>,
}

struct Supervisor;

struct Watched {
    child: Child,
    life: Option<ActorCell>,
    window: RestartWindow,
}

struct Watch {
    clock: Clock,
    children: Vec<Watched>,
    escalate: mpsc::Sender<GaveUp>,
}

impl Watch {
    fn of(&mut self, id: ActorId) -> Option<(usize, &mut Watched)> {
        self.children.iter_mut().enumerate().find(|(_, watched)| watched.life.as_ref().is_some_and(|life| life.get_id() == id))
    }

    fn died(&mut self, supervisor: &ActorRef<Note>, index: usize, cause: String) {
        let now = self.clock.now();
        let Some(watched) = self.children.get_mut(index) else { return };
        watched.life = None;
        let actor = watched.child.name.clone();
        match watched.window.died(now) {
            Verdict::Restart(delay) => {
                tracing::error!(%actor, cause, delay_ms = delay.as_millis(), "an actor died and is restarted");
                let supervisor = supervisor.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    // A supervisor that is gone starts nobody.
                    let _ = supervisor.send_message(Note::StartAgain(index));
                });
            }
            Verdict::GiveUp => {
                tracing::error!(%actor, cause, "an actor dies again and again: giving up");
                // Full means that somebody escalated before us.
                let _ = self.escalate.try_send(GaveUp { actor, cause });
            }
        }
    }
}

impl Actor for Supervisor {
    type Msg = Note;
    type State = Watch;
    type Arguments = Plan;

    async fn pre_start(&self, myself: ActorRef<Note>, plan: Plan) -> Result<Watch, ActorProcessingErr> {
        let mut watch = Watch { clock: plan.clock, children: Vec::new(), escalate: plan.escalate };
        for child in plan.children {
            let life = (child.start)(myself.get_cell()).await.map_err(|cause| format!("`{}`: {cause}", child.name))?;
            watch.children.push(Watched { child, life: Some(life), window: RestartWindow::new(plan.policy) });
        }
        Ok(watch)
    }

    async fn handle(&self, myself: ActorRef<Note>, note: Note, watch: &mut Watch) -> Result<(), ActorProcessingErr> {
        match note {
            Note::StartAgain(index) => {
                let Some(watched) = watch.children.get_mut(index) else { return Ok(()) };
                match (watched.child.start)(myself.get_cell()).await {
                    Ok(life) => watched.life = Some(life),
                    Err(cause) => watch.died(&myself, index, cause),
                }
            }
            Note::Kill(name) => {
                let is_it = |watched: &&Watched| watched.child.name.split(' ').next() == Some(name);
                if let Some(life) = watch.children.iter().find(is_it).and_then(|watched| watched.life.clone()) {
                    life.kill();
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Note>,
        event: SupervisionEvent,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        let (id, cause) = match event {
            SupervisionEvent::ActorFailed(cell, cause) => (cell.get_id(), cause.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell.get_id(), reason.unwrap_or_else(|| "it stopped".to_owned())),
            _ => return Ok(()),
        };
        if let Some((index, _)) = watch.of(id) {
            watch.died(&myself, index, cause);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
