//! Hands that touch nothing but the model of the world.

use super::database::Databases;
use super::disk::Writer;
use super::links::Links;
use super::wait;
use actors::fsm::actor::Tell;
use actors::machine::{Machine, Timestamp};
use actors::model::NodeId;
use actors::pg::{self, Answer, Kind, Operation, Outcome};
use actors::raft;
use actors::raft::actor::ToFsm;
use actors::raft::actor::log_thread::Persisted;
use actors::tree::{Address, Hands};
use std::error::Error;
use std::time::Duration;
use tokio::task::JoinHandle;

type Performed = Result<(), Box<dyn Error + Send + Sync>>;

/// What a look, a health check or a word with the guard takes.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// Of the RaftActor.
pub(crate) struct RaftHands {
    pub(crate) node: NodeId,
    pub(crate) writer: Writer,
    pub(crate) persisted: Persisted,
    pub(crate) links: Links,
    pub(crate) fsm: ToFsm,
    pub(crate) announced: bool,
}

impl<M> Hands<M> for RaftHands
where
    M: Machine<Input = raft::Input, Effect = raft::Effect>,
{
    fn perform(&mut self, _: Timestamp, effect: raft::Effect, _: &Address<raft::Input>) -> Performed {
        if !std::mem::replace(&mut self.announced, true) {
            self.links.announce(self.node);
        }
        match effect {
            raft::Effect::Persist(batch) => self.writer.write(batch, self.persisted.clone()),
            raft::Effect::Send { to, message } => self.links.send(self.node, to, *message),
            raft::Effect::Tell(fact) => (self.fsm)(fact),
            // The membership does not change here.
            raft::Effect::Link(_) => {}
            raft::Effect::Note { text, .. } => tracing::info!(node = %self.node, "raft: {text}"),
            raft::Effect::Halt { reason } => wait::never(format!("node {} halts: {reason}", self.node)),
        }
        Ok(())
    }
}

/// Of the adapter. What is under way ends with them; the server does not.
pub(crate) struct PgHands {
    node: NodeId,
    databases: Databases,
    report: Tell<pg::Reported>,
    work: Option<(u64, JoinHandle<()>)>,
}

impl PgHands {
    pub(crate) fn new(node: NodeId, databases: Databases, report: Tell<pg::Reported>) -> Self {
        Self { node, databases, report, work: None }
    }

    fn begin(&mut self, id: u64, operation: Operation, me: &Address<pg::Input>) {
        let (node, databases, me) = (self.node, self.databases.clone(), me.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(takes(operation.kind())).await;
            let outcome = databases.carry_out(node, &operation);
            me.tell(pg::Input::Finished { id, outcome });
        });
        self.work = Some((id, task));
    }
}

fn takes(kind: Kind) -> Duration {
    match kind {
        Kind::InitDb | Kind::Clone | Kind::Rewind => Duration::from_millis(1000),
        Kind::Checkpoint => Duration::from_millis(100),
        _ => Duration::from_millis(10),
    }
}

impl Drop for PgHands {
    fn drop(&mut self) {
        if let Some((_, task)) = self.work.take() {
            task.abort();
        }
    }
}

impl<M> Hands<M> for PgHands
where
    M: Machine<Input = pg::Input, Effect = pg::Effect>,
{
    fn perform(&mut self, _: Timestamp, effect: pg::Effect, me: &Address<pg::Input>) -> Performed {
        let (node, databases, adapter) = (self.node, self.databases.clone(), me.clone());
        match effect {
            pg::Effect::Begin { id, operation } => self.begin(id, operation, me),
            pg::Effect::Cancel { id } => {
                if let Some((_, task)) = self.work.take_if(|(working, _)| *working == id) {
                    task.abort();
                    adapter.tell(pg::Input::Finished { id, outcome: Outcome::Cancelled });
                }
            }
            pg::Effect::Kill => databases.kill(node),
            pg::Effect::Look { number } => {
                tokio::spawn(async move {
                    tokio::time::sleep(MOMENT).await;
                    let observation = Box::new(databases.look(node));
                    adapter.tell(pg::Input::Observed { number, observation });
                });
            }
            pg::Effect::Probe { number, .. } => {
                tokio::spawn(async move {
                    tokio::time::sleep(MOMENT).await;
                    let answer = if databases.look(node).sight.is_some() { Answer::Served } else { Answer::Refused };
                    adapter.tell(pg::Input::Probed { number, answer });
                });
            }
            pg::Effect::Report(report) => (self.report)(report),
            pg::Effect::Note { rule, text, .. } => tracing::info!(%node, rule, "database: {text}"),
        }
        Ok(())
    }
}
