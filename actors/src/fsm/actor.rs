//! The FSM's hands: every order goes to its actor, and nothing here waits.

mod board;
mod released;

pub use board::Board;
pub use released::{Released, ReleasedError};

use super::{Effect, Input, Refusal};
use crate::machine::{Machine, Timestamp};
use crate::model::{Epoch, Report, RequestId, Status};
use crate::tree::{Address, Hands};
use crate::{pg, raft};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Told to somebody; never waits.
pub type Tell<T> = Arc<dyn Fn(T) + Send + Sync>;

/// Where the orders go.
#[derive(Clone)]
pub struct Wiring {
    /// To consensus.
    pub raft: Address<raft::Input>,
    /// To the adapter.
    pub database: Tell<DatabaseOrder>,
    /// To the guard: a new end of the lease.
    pub guard_lease: Tell<(Epoch, Timestamp)>,
    /// To disk and then to the guard: the epoch is released.
    pub record_release: Tell<Epoch>,
    /// To the probes.
    pub report: Tell<Report>,
    /// To the API.
    pub refuse: Tell<(RequestId, Refusal)>,
    /// To everybody who looks.
    pub status: watch::Sender<Option<Arc<Status>>>,
    /// To the watchdog.
    pub pulse: watch::Sender<Timestamp>,
    /// To `main`: everything that had to be done before the end is done.
    pub exit: mpsc::Sender<()>,
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wiring")
    }
}

/// See [`Effect::Database`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseOrder {
    /// Repeated by the reports made under it.
    pub number: u64,
    /// The order.
    pub order: pg::Order,
    /// Observe as often as is sensible.
    pub hurry: bool,
}

impl<M> Hands<M> for Wiring
where
    M: Machine<Input = Input, Effect = Effect>,
{
    fn perform(&mut self, now: Timestamp, effect: Effect, _: &Address<Input>) -> Result<(), Box<dyn Error + Send + Sync>> {
        match effect {
            Effect::Raft(order) => {
                // While consensus is being restarted an order is lost; the machine orders again.
                self.raft.tell(raft::Input::Ordered(order));
            }
            Effect::Database { number, order, hurry } => (self.database)(DatabaseOrder { number, order, hurry }),
            Effect::GuardLease { epoch, end } => (self.guard_lease)((epoch, end)),
            Effect::RecordRelease { epoch } => (self.record_release)(epoch),
            Effect::Report(report) => (self.report)(*report),
            Effect::Refuse { id, refusal } => (self.refuse)((id, refusal)),
            Effect::Publish(status) => {
                self.status.send_replace(Some(Arc::new(*status)));
            }
            Effect::Decided { what, why } => {
                tracing::info!(decision = what, rule = why.rule, because = why.because, "decided");
            }
            Effect::Pulse => {
                self.pulse.send_replace(now);
            }
            Effect::Exit => {
                // Full means that main knows already.
                let _ = self.exit.try_send(());
            }
        }
        Ok(())
    }
}
