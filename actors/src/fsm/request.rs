//! What an operator can ask for, and how it is refused.

use crate::model::NodeId;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// An operator's request, as the API has checked it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make somebody else the primary: the named node, or the best candidate.
    Switchover {
        /// The target.
        to: Option<NodeId>,
    },
    /// Hold everything but the fence.
    Pause,
    /// Go on.
    Resume,
}

/// A request that is not carried out, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The rule that stands against it.
    pub rule: String,
    /// What is the matter and what would help.
    pub reason: String,
}
