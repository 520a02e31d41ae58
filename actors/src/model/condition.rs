//! What an operator should know of a database and its surroundings before it is needed.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Something about a database, its server or its host that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its row in `docs/troubles.md`.
    pub id: String,
    /// What it keeps the node from doing.
    pub bars: Bar,
    /// What happened, why, and what to do.
    pub text: String,
}

/// What a condition keeps a node from doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// Nothing: it is a warning.
    Nothing,
    /// The node can neither stream nor be compared, rewound or cloned until the condition is gone.
    Streaming,
    /// Of candidates that are as far as it is, the node is appointed last.
    AmongEquals,
    /// The node is appointed only when no other candidate is left.
    LastChoice,
    /// The node is not appointed.
    Promotion,
}
