//! What a Raft machine is told at its birth, and the inequalities between its numbers.
//!
//! ```text
//!   heartbeat < election timeout
//!   renewal (T / 6) + largest election timeout of any node + 300 ms <= T - G      or losing a leader would fence a healthy primary (L1)
//! ```
//!
//! raft-rs draws each election timeout from the thread's random generator. Our windows are one tick wide, so nothing is drawn and a
//! simulation repeats; and they differ from node to node, so that votes do not split.

use crate::model::{LeaseTiming, Member, NodeId, Settings};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Between the windows of two neighbours lie at most so many ticks; enough for a round of votes on a slow network.
const STEP_MAX: usize = 5;
/// All windows together spread over no more than about so many ticks.
const SPREAD_MAX: usize = 20;
/// What L1 leaves for the network, the disk and the scheduler.
const MARGIN: Duration = Duration::from_millis(300);
/// A longer tick makes an election later than its window says.
const TICK_MAX: Duration = Duration::from_millis(20);

/// The Raft machine's part of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The members that the file names, this node among them. Their `raft_id` is of no account.
    pub members: Vec<Member>,
    /// The settings that a newborn cluster begins with.
    pub settings: Settings,
    /// How often a leader is heard from.
    pub heartbeat: Duration,
    /// How long a follower hears nothing before it thinks of an election.
    pub election_timeout: Duration,
    /// Raft's unit of time.
    pub tick: Duration,
    /// After so many applied entries the log is cut.
    pub snapshot_entries: u64,
    /// T, G and rho.
    pub lease: LeaseTiming,
    /// Where all randomness comes from; a different one for every life of the process.
    pub seed: u64,
    /// Where raft-rs logs to.
    pub logger: slog::Logger,
}

impl Config {
    /// A configuration with the default timing, which logs nothing.
    #[must_use]
    pub fn new(node: NodeId, cluster: String, members: Vec<Member>, seed: u64) -> Self {
        Self {
            node,
            cluster,
            members,
            settings: Settings::default(),
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            tick: TICK_MAX,
            snapshot_entries: 10_000,
            lease: LeaseTiming::default(),
            seed,
            logger: slog::Logger::root(slog::Discard, slog::o!()),
        }
    }

    /// Every fault at once; empty if there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut faults = self.membership_faults();
        let mut require = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let lease = &self.lease;
        require(
            !self.tick.is_zero() && self.tick <= TICK_MAX,
            format!("the Raft tick is {:?}; it must be more than zero and at most {TICK_MAX:?}", self.tick),
        );
        require(
            self.heartbeat >= self.tick,
            format!("raft.heartbeat_ms is {}, which is less than the Raft tick of {:?}", self.heartbeat.as_millis(), self.tick),
        );
        require(
            self.heartbeat_ticks() < self.election_ticks(),
            format!(
                "raft.heartbeat_ms ({}) must be less than raft.election_timeout_ms ({}), or every pause is an election",
                self.heartbeat.as_millis(),
                self.election_timeout.as_millis()
            ),
        );
        require(self.snapshot_entries > 0, String::from("raft.snapshot_entries is 0; it must be at least 1"));
        require(lease.rho_ppm < 500_000, format!("a clock error of {} ppm is beyond what a lease can bear", lease.rho_ppm));
        require(
            lease.kill_margin < lease.ttl,
            format!(
                "failover.kill_margin_ms ({}) must be less than failover.lease_ttl_ms ({})",
                lease.kill_margin.as_millis(),
                lease.ttl.as_millis()
            ),
        );
        let needed = lease.renewal() + self.largest_election_timeout() + MARGIN;
        let has = lease.ttl.saturating_sub(lease.kill_margin);
        require(
            needed <= has,
            format!(
                "failover.lease_ttl_ms / 6 + the largest election timeout + {} ms is {} ms, but failover.lease_ttl_ms - \
                 failover.kill_margin_ms is only {} ms: losing a Raft leader would stop a healthy primary. Raise \
                 failover.lease_ttl_ms or lower raft.election_timeout_ms (with {} members the largest is {} ms)",
                MARGIN.as_millis(),
                needed.as_millis(),
                has.as_millis(),
                self.members.len(),
                self.largest_election_timeout().as_millis()
            ),
        );
        faults
    }

    fn membership_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for member in &self.members {
            if member.node == NodeId(0) {
                faults.push(format!("the member `{}` has node_id 0; ids begin at 1", member.name));
            }
            if !seen.insert(member.node) {
                faults.push(format!("node_id {} is given to two members", member.node));
            }
        }
        if !seen.contains(&self.node) {
            faults.push(format!("this node, {}, is not among the members", self.node));
        }
        if self.members.iter().all(|member| member.witness) {
            faults.push(String::from("every member is a witness: there is no node with a database"));
        }
        if self.cluster.is_empty() {
            faults.push(String::from("cluster.name is empty"));
        }
        faults
    }

    /// Our own record, as the file has it.
    pub(super) fn own(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.node == self.node)
    }

    pub(super) fn heartbeat_ticks(&self) -> usize {
        ticks(self.heartbeat, self.tick)
    }

    pub(super) fn election_ticks(&self) -> usize {
        ticks(self.election_timeout, self.tick)
    }

    /// After how many silent ticks the node of this rank among so many members stands for election. Two ticks more than the election
    /// timeout at the least: a voter that heard the leader a tick later must not refuse because it still believes in it.
    pub(super) fn election_window(&self, rank: usize, members: usize) -> usize {
        let step = (SPREAD_MAX / members.saturating_sub(1).max(1)).clamp(1, STEP_MAX);
        self.election_ticks() + 2 + rank * step
    }

    /// The longest that any node waits before it stands for election.
    #[must_use]
    pub fn largest_election_timeout(&self) -> Duration {
        let members = self.members.len().max(1);
        let largest = self.election_window(members - 1, members) + 1;
        self.tick * u32::try_from(largest).unwrap_or(u32::MAX)
    }
}

fn ticks(duration: Duration, tick: Duration) -> usize {
    let ticks = duration.as_micros().div_ceil(tick.as_micros().max(1));
    usize::try_from(ticks).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::tests::file;

    fn config(members: u64) -> Config {
        Config::new(NodeId(1), "c".into(), file(members), 1)
    }

    #[test]
    fn the_defaults_keep_every_inequality_for_up_to_seven_members() {
        for members in 1..=7 {
            assert_eq!(config(members).validate(), Vec::<String>::new());
        }
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let mut config = config(3);
        config.heartbeat = Duration::from_secs(2);
        config.lease.ttl = Duration::from_secs(1);
        config.snapshot_entries = 0;
        config.members[1].node = NodeId(1);
        let faults = config.validate();
        for word in ["heartbeat_ms", "lease_ttl_ms", "snapshot_entries", "two members"] {
            assert!(faults.iter().any(|fault| fault.contains(word)), "{word} in {faults:?}");
        }
    }

    #[test]
    fn election_windows_are_distinct_and_later_than_the_timeout() {
        for members in 1..=9 {
            let config = config(9);
            let windows: Vec<_> = (0..members).map(|rank| config.election_window(rank, members)).collect();
            assert!(windows.is_sorted_by(|a, b| a < b), "{windows:?}");
            assert!(windows[0] >= config.election_ticks() + 2);
        }
    }
}
