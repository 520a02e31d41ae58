//! Ids are newtypes, so that no two can be swapped.

use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// A node, as its `witch.toml` numbers it. Stays with the host for good.
    NodeId
}
id! {
    /// One life of a node's Raft log. Drawn at random when the log is born; never zero, never used again once the log is lost (S13).
    RaftId
}
id! {
    /// The number of an appointment of a primary; zero before the first (S1).
    Epoch
}
id! {
    /// A Raft term.
    Term
}
id! {
    /// One life of a daemon process, drawn at random when it starts (S3).
    Boot
}
id! {
    /// An operator's request, drawn at random at the API.
    RequestId
}
id! {
    /// PostgreSQL's `system_identifier`: which database cluster a data directory belongs to (S11).
    SystemIdentifier
}

impl Epoch {
    /// The epoch of the next appointment.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The time of day in milliseconds since 1970 (UTC). For people only: it stands in the history and decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallClock(pub u64);

impl WallClock {
    /// Milliseconds from `earlier` to this; zero if a clock was set back in between.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
