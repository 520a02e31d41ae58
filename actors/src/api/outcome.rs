//! What becomes of a request.

use super::Problem;
use crate::fsm::Refusal;
use crate::model::{ClusterState, Ending, Epoch, NodeId, RequestId, Timeline};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The answer to `POST /switchover` that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// The primary before.
    pub from: NodeId,
    /// The primary after.
    pub to: NodeId,
    /// The epoch after.
    pub epoch: Epoch,
    /// The timeline after.
    pub timeline: Timeline,
    /// From the proposal that began it to the one that ended it.
    pub duration_ms: u64,
}

/// The answer to `POST /failover/pause` and `/failover/resume` that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Whether failover is paused now.
    pub paused: bool,
    /// The epoch in force.
    pub epoch: Epoch,
}

/// `GET /requests/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Fate {
    /// It has not ended as far as this node knows.
    Pending {
        /// The request.
        id: RequestId,
    },
    /// It succeeded. Pausing and resuming leave the primary where it was.
    Done {
        /// The request.
        id: RequestId,
        /// How.
        #[serde(flatten)]
        switched: Switched,
    },
    /// It was begun and failed.
    Failed {
        /// The request.
        id: RequestId,
        /// Why.
        reason: String,
    },
    /// It was refused, and nothing was begun.
    Refused {
        /// The request.
        id: RequestId,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
}

/// How the request ended, if the committed state tells.
#[must_use]
pub fn ending(state: Option<&ClusterState>, id: RequestId) -> Option<&Ending> {
    state?.endings.iter().find(|ending| ending.id == id)
}

/// A request that ended well, or why not.
///
/// # Errors
/// 409 with the reason of its failure.
pub fn switched(ending: &Ending) -> Result<Switched, Problem> {
    let Ending { id, from, to, epoch, timeline, duration_ms, failure } = ending;
    match failure {
        Some(reason) => Err(Problem::new(409, "failed", reason.clone()).about(*id)),
        None => Ok(Switched { from: *from, to: *to, epoch: *epoch, timeline: *timeline, duration_ms: *duration_ms }),
    }
}

/// What the committed state tells of a request.
#[must_use]
pub fn fate(state: Option<&ClusterState>, id: RequestId) -> Option<Fate> {
    if let Some(ending) = ending(state, id) {
        return Some(match switched(ending) {
            Ok(switched) => Fate::Done { id, switched },
            Err(problem) => Fate::Failed { id, reason: problem.reason },
        });
    }
    let under_way = state?.switchover.as_ref().is_some_and(|switchover| switchover.id == id);
    under_way.then_some(Fate::Pending { id })
}
