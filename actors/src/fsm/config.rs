//! What the machine is told when it is made.

use crate::machine::Timestamp;
use crate::model::{Boot, LeaseTiming, Member, NodeId, Tags, WallClock};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The machine's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The members that the file names, this node among them. Their `raft_id` is of no account.
    pub members: Vec<Member>,
    /// Votes, and has no database.
    pub witness: bool,
    /// Drawn anew for every life of the machine: a grant to an earlier life is void.
    pub boot: Boot,
    /// When this life began.
    pub started: Timestamp,
    /// The time of day at that instant. The history is dated by adding what has passed since: setting a clock changes no order of events.
    pub started_at: WallClock,
    /// What the file says of this node's database.
    pub tags: Tags,
    /// The numbers of the lease.
    pub timing: LeaseTiming,
    /// How long a node that has just started waits for its old lease before it shows its database read-only.
    pub patience: Duration,
    /// How long a switchover may take from its begin to the release of the old primary.
    pub step_down_max: Duration,
    /// How long the target may take, after that, to receive the end of the log.
    pub catch_up_max: Duration,
    /// How long the server may take to accept writes once this node may lead.
    pub start_max: Duration,
    /// How many deaths of the server within ten minutes are met with a restart in place; one more and it is failed over. `on_crash =
    /// "failover"` makes it zero.
    pub restarts_in_place: u32,
}

impl Config {
    /// The time of day, as the history shows it.
    #[must_use]
    pub fn wall(&self, now: Timestamp) -> WallClock {
        let since = u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX);
        WallClock(self.started_at.0.saturating_add(since))
    }
}
