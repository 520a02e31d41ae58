//! `[raft]` and `[failover]`: the times, and the inequalities between them.
//!
//! ```text
//!   a primary asks for its lease, and with bad luck the Raft leader dies at that instant
//!   |-- renewal ---|--- the longest election ---|- 300 ms -|
//!   |              it asks again ...            a leader answers
//!   |------------------------ lease_ttl - kill_margin ------------------|-- kill_margin --|
//!                                                    the guard ends the database          the lease ends
//! ```
//!
//! The first line must fit into the second, or the death of a Raft leader that is not the primary would fence a healthy primary.

use super::reading::Reading;
use actors::model::LeaseTiming;
use std::time::Duration;

/// Raft's tick.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// So many ticks lie between the election timeouts of two nodes, so that they do not stand for election at once.
const TICKS_APART: u32 = 5;
/// Room for messages, fsyncs and scheduling.
const ELECTION_SLACK: Duration = Duration::from_millis(300);

/// `[raft]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raft {
    /// How often a leader says that it is alive.
    pub(crate) heartbeat: Duration,
    /// A follower that hears nothing for so long, and a little more that differs from node to node, stands for election.
    pub(crate) election_timeout: Duration,
    /// After so many entries the log is replaced by a snapshot.
    pub(crate) snapshot_entries: u64,
}

/// `[failover]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failover {
    /// How often nodes exchange reports and look at their databases.
    pub(crate) health_check_interval: Duration,
    /// A database that does not answer for so long has missed a check.
    pub(crate) health_check_timeout: Duration,
    /// So many misses in a row make a peer unreachable, or a server hung.
    pub(crate) health_check_failures: u32,
    /// A server that is not ready for so long after its start is given up.
    pub(crate) start_timeout: Duration,
    /// A stop takes no longer than this.
    pub(crate) stop_timeout: Duration,
    /// T, G and rho.
    pub(crate) lease: LeaseTiming,
    /// Seeds the replicated `max_replication_lag` when the cluster is founded, in bytes.
    pub(crate) maximum_lag_on_failover: u64,
}

/// The longest that any follower waits before it stands for election.
pub(crate) fn largest_election_timeout(election_timeout: Duration, members: usize) -> Duration {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    election_timeout + TICK * 2 + TICK * members.saturating_mul(TICKS_APART)
}

/// Reads `[raft]`.
pub(super) fn read_raft(reading: &mut Reading) -> Raft {
    Raft {
        heartbeat: reading.millis("raft.heartbeat_ms", 100),
        election_timeout: reading.millis("raft.election_timeout_ms", 1000),
        snapshot_entries: reading.whole("raft.snapshot_entries", 10_000, 100..=10_000_000),
    }
}

/// Reads `[failover]`.
pub(super) fn read_failover(reading: &mut Reading) -> Failover {
    if reading.flag("failover.failsafe_mode") {
        let rule = "this version of witch has no failsafe mode yet: a primary without a quorum is fenced";
        reading.fault("failover.failsafe_mode", rule, "set it to false or remove it");
    }
    read_on_crash(reading);
    Failover {
        health_check_interval: reading.millis("failover.health_check_interval_ms", 1000),
        health_check_timeout: reading.millis("failover.health_check_timeout_ms", 1000),
        health_check_failures: reading.whole("failover.health_check_failures", 3, 1..=100),
        start_timeout: reading.millis("failover.start_timeout_ms", 60_000),
        stop_timeout: reading.millis("failover.stop_timeout_ms", 30_000),
        lease: LeaseTiming {
            ttl: reading.millis("failover.lease_ttl_ms", 3000),
            kill_margin: reading.millis("failover.kill_margin_ms", 500),
            ..LeaseTiming::default()
        },
        maximum_lag_on_failover: reading.whole("failover.maximum_lag_on_failover", 1 << 20, 0..=i64::MAX as u64),
    }
}

/// A server that died on a living host is restarted in place, and failed over if that does not work; there is no other policy yet.
fn read_on_crash(reading: &mut Reading) {
    let asked = reading.is_set("failover.on_crash");
    match reading.choice("failover.on_crash", &["restart", "fastest", "failover"]) {
        "failover" => {
            let rule =
                "this version of witch cannot salvage the WAL of a dead server, so a failover at once could lose acknowledged writes";
            reading.fault("failover.on_crash", rule, "set it to \"restart\" or remove it");
        }
        "fastest" if asked => {
            let rule = "this version of witch does not estimate which is faster: it does the same as for \"restart\"";
            reading.warn("failover.on_crash", rule, "set it to \"restart\" to say what happens");
        }
        _ => {}
    }
}

/// What holds between the times.
pub(super) fn validate(reading: &mut Reading, raft: &Raft, failover: &Failover, members: usize) {
    let ms = |duration: Duration| duration.as_millis();
    if raft.heartbeat < TICK {
        let rule = format!("{} ms is less than Raft's tick of {} ms", ms(raft.heartbeat), ms(TICK));
        reading.fault("raft.heartbeat_ms", rule, format!("set it to at least {}", ms(TICK)));
    }
    if raft.heartbeat >= raft.election_timeout {
        let rule = format!(
            "heartbeat_ms < election_timeout_ms must hold, and {} < {} does not: every follower would stand for election all the time",
            ms(raft.heartbeat),
            ms(raft.election_timeout)
        );
        let key = reading.culprit(&["raft.heartbeat_ms", "raft.election_timeout_ms"]);
        reading.fault(
            key,
            rule,
            format!("set raft.heartbeat_ms to {}, a tenth of the other", ms(raft.election_timeout / 10).max(ms(TICK))),
        );
    }
    let LeaseTiming { ttl, kill_margin, .. } = failover.lease;
    if kill_margin * 2 >= ttl {
        let rule = format!("kill_margin_ms < lease_ttl_ms / 2 must hold, and {} < {} / 2 does not", ms(kill_margin), ms(ttl));
        let key = reading.culprit(&["failover.kill_margin_ms", "failover.lease_ttl_ms"]);
        reading.fault(key, rule, format!("set failover.kill_margin_ms to {}, a sixth of the other", ms(ttl / 6).max(1)));
        return;
    }
    let election = largest_election_timeout(raft.election_timeout, members);
    let renewal = failover.lease.renewal();
    let (needed, granted) = (renewal + election + ELECTION_SLACK, ttl - kill_margin);
    if needed > granted {
        let rule = format!(
            "lease_ttl_ms / 6 + the longest election + {} <= lease_ttl_ms - kill_margin_ms must hold, and {} + {} + {} <= {} - {} does not: with \
             {members} nodes the loss of a Raft leader would fence a healthy primary",
            ms(ELECTION_SLACK),
            ms(renewal),
            ms(election),
            ms(ELECTION_SLACK),
            ms(ttl),
            ms(kill_margin)
        );
        let key = reading.culprit(&["failover.lease_ttl_ms", "raft.election_timeout_ms", "failover.kill_margin_ms"]);
        reading.fault(key, rule, fix_for_lease(raft, election, kill_margin, granted.saturating_sub(renewal)));
    }
}

/// Either a longer lease or a shorter election would do.
fn fix_for_lease(raft: &Raft, election: Duration, kill_margin: Duration, room: Duration) -> String {
    // Solves ttl / 6 + election + slack <= ttl - margin for ttl, rounded up to tenths of a second.
    let ttl = ((election + ELECTION_SLACK + kill_margin) * 6).div_f64(5.0).as_millis().div_ceil(100) * 100;
    let spread = election - raft.election_timeout;
    match room.checked_sub(ELECTION_SLACK + spread).filter(|shorter| *shorter > raft.heartbeat) {
        Some(shorter) => {
            format!("set failover.lease_ttl_ms to at least {ttl}, or raft.election_timeout_ms to at most {}", shorter.as_millis())
        }
        None => format!("set failover.lease_ttl_ms to at least {ttl}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_election_grows_with_the_number_of_nodes() {
        assert_eq!(largest_election_timeout(Duration::from_secs(1), 3), Duration::from_millis(1340));
        assert_eq!(largest_election_timeout(Duration::from_secs(1), 5), Duration::from_millis(1540));
    }
}
