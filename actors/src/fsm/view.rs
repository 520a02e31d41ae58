//! From facts to the two small views that the tables look at.

use super::candidates::{all, best, final_lsn, is_ours, judge};
use super::config::Config;
use super::facts::Facts;
use super::founding::{Founding, founder};
use super::lease::Keeper;
use super::rules::leader::{self, Candidate, Switching};
use super::rules::node::{self, Appointment, Lease, Leaving, Local};
use crate::machine::Timestamp;
use crate::model::{ClusterState, Database, Directory, NodeId, Server};
use crate::pg::conditions::copies;
use crate::raft::Gate;
use core::time::Duration;

/// After a release, candidates that still stream are given so long to tell their last position.
const POSITIONS_MAX: Duration = Duration::from_millis(500);

/// A leader so young may not have heard from everybody yet, so it refuses nothing and calls nothing off.
pub(super) const YOUNG: Duration = Duration::from_secs(2);

/// An election takes less than two seconds: who has known no leader for so long is without a quorum.
const LEADERLESS_MAX: Duration = Duration::from_secs(3);

/// What the adapter has proved about the orders that this life of the machine gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proofs {
    /// See [`node::View::proved_gone`].
    pub(super) gone: bool,
    /// See [`node::View::withdrawn`].
    pub(super) withdrawn: bool,
}

/// What the node table looks at.
pub(super) fn of_node(facts: &Facts, config: &Config, keeper: &Keeper, now: Timestamp, leaving: Leaving, proofs: Proofs) -> node::View {
    let state = facts.state.as_ref();
    let holder = facts.holder();
    // Before the log is read as far as it was known when the lease was taken, nobody can say for which epoch a lease should be. The log may be lost
    // for good, and the guard stopped: so a lease that the guard told of counts as long as it lasts, and not a moment longer.
    let caught_up = state.filter(|state| !keeper.outruns(now, state.epoch));
    let lease = match (keeper.held_until(now, holder), facts.guard_found) {
        (Some(_), _) => Lease::Held,
        (None, true) if caught_up.is_some() || keeper.guarded_until(now).is_none() => Lease::Missing,
        (None, _) => Lease::Unknown,
    };
    let recorded = holder.is_some_and(|(node, epoch)| node == config.node && epoch <= keeper.released());
    node::View {
        appointment: appointment(caught_up, config.node),
        lease,
        local: facts.own.as_ref().map_or(Local::Unknown, |own| local(state, &own.database)),
        leaving: if recorded { Leaving::Recorded } else { leaving },
        proved_gone: proofs.gone,
        withdrawn: proofs.withdrawn,
        founded: state.is_some_and(|state| state.system_identifier.is_some()),
        stopping: facts.stopping,
        paused: state.is_some_and(|state| state.paused),
        patient: now.since(config.started) < config.patience,
        switching: state.is_some_and(|state| state.switchover.is_some()),
        leaderless: facts.leaderless_for(now) >= LEADERLESS_MAX,
    }
}

fn appointment(state: Option<&ClusterState>, me: NodeId) -> Appointment {
    let Some(state) = state else { return Appointment::Unknown };
    match &state.primary {
        None => Appointment::Nobody,
        Some(primary) => match (primary.node == me, primary.released.is_some(), primary.promoted.is_some()) {
            (true, false, _) => Appointment::Mine,
            (true, true, _) => Appointment::MineReleased,
            (false, true, _) => Appointment::Nobody,
            (false, false, true) => Appointment::Other,
            (false, false, false) => Appointment::OtherPending,
        },
    }
}

/// Whether a primary has a data directory on which Witch may run nothing.
pub(super) fn is_not_ours_to_run(state: &ClusterState, database: &Database) -> bool {
    matches!(local(Some(state), database), Local::Foreign | Local::Unusable | Local::Stranger)
}

fn local(state: Option<&ClusterState>, database: &Database) -> Local {
    if database.server == Server::Stranger {
        return Local::Stranger;
    }
    let founded = state.and_then(|state| state.system_identifier);
    match &database.directory {
        Directory::Unusable { .. } if database.server == Server::Stopped => return Local::Unusable,
        Directory::Database { system_identifier, .. } if founded.is_some_and(|ours| ours != *system_identifier) => return Local::Foreign,
        Directory::Empty | Directory::Unfinished if database.server == Server::Stopped => return Local::Bare,
        _ => {}
    }
    match database.server {
        Server::Stopped => Local::Stopped,
        Server::StartingStandby | Server::Standby => Local::Standby,
        Server::StartingPrimary | Server::Primary => Local::Leading,
        Server::Stopping => Local::Stopping,
        Server::Hung => Local::Hung,
        Server::Stranger => Local::Stranger,
    }
}

/// What the leader table looks at.
pub(super) fn of_leader(facts: &Facts, config: &Config, state: &ClusterState, now: Timestamp) -> leader::View {
    let old = state.primary.as_ref().map(|primary| primary.node);
    leader::View {
        in_charge: facts.leadership.ready && !facts.leadership.appointing,
        gate: gate(facts, state),
        paused: state.paused,
        founding: match (state.system_identifier, founder(facts, state)) {
            (Some(_), _) => leader::Founding::Done,
            (None, Founding::Waiting(_)) => leader::Founding::Waiting,
            (None, Founding::Chosen(_)) => leader::Founding::Chosen,
            (None, Founding::Refused(_)) => leader::Founding::Refused,
        },
        switching: switching(facts, config, state, now),
        candidate: candidate(facts, config, state, old, now),
        old_is_well: old.is_some_and(|node| is_well(facts, state, node)),
        old_may_return: old.is_some_and(|node| facts.fresh(node).is_none()) && facts.ready_for(now) < config.timing.wait() * 2,
        newly_appointed: facts.appointed_for(now) < config.timing.ttl / 2,
    }
}

/// What opens it wider is known with the release itself, a moment before Raft says so.
fn gate(facts: &Facts, state: &ClusterState) -> Gate {
    let released = state.primary.as_ref().is_some_and(|primary| primary.released.is_some());
    match facts.leadership.gate {
        Gate::Lapsed if released => Gate::Released,
        gate => gate,
    }
}

fn switching(facts: &Facts, config: &Config, state: &ClusterState, now: Timestamp) -> Switching {
    let Some(switchover) = &state.switchover else { return Switching::No };
    let Some(primary) = &state.primary else { return Switching::No };
    if primary.epoch != switchover.epoch {
        let overdue = facts.appointed_for(now) > config.start_max;
        return if overdue { Switching::Overdue } else { Switching::Appointed };
    }
    let gone = facts.ready_for(now) >= YOUNG && facts.fresh(switchover.to).is_none_or(|target| target.stopping);
    let Some(release) = primary.released else {
        let overdue = facts.switching_for(now) > config.step_down_max;
        return match (gone, overdue) {
            (true, _) => Switching::TargetGone,
            (false, true) => Switching::Overdue,
            (false, false) => Switching::Running,
        };
    };
    let Some(final_lsn) = release.final_lsn.filter(|_| !gone) else { return Switching::TargetLate };
    let ready = judge(facts, state, switchover.to).is_ok_and(|target| target.position.lsn >= final_lsn);
    match (ready, facts.released_for(now) > config.catch_up_max) {
        (true, _) => Switching::TargetReady,
        (false, false) => Switching::TargetPending,
        (false, true) => Switching::TargetLate,
    }
}

fn tells_position(facts: &Facts, node: NodeId) -> bool {
    facts.fresh(node).and_then(|report| report.database.as_ref()?.position).is_some()
}

fn candidate(facts: &Facts, config: &Config, state: &ClusterState, old: Option<NodeId>, now: Timestamp) -> Candidate {
    let Some(best) = best(facts, state, old) else { return Candidate::None };
    // Nobody knows how far the primary was, as after a power failure: nobody is chosen before everybody had the time to speak.
    let unknown = final_lsn(state).is_none() && !facts.has_heard_from_primary();
    let silent = || state.data_nodes().any(|member| Some(member.node) != old && !tells_position(facts, member.node));
    let awaited = unknown && facts.ready_for(now) < config.timing.wait() * 2 && silent();
    let moving = match gate(facts, state) {
        Gate::Closed => false,
        Gate::Lapsed => awaited,
        Gate::Released => awaited || facts.released_for(now) < POSITIONS_MAX && all(facts, state, old).any(|candidate| candidate.streaming),
    };
    match final_lsn(state) {
        _ if moving && state.primary.is_some() => Candidate::Moving,
        Some(end) if best.position.lsn < end => Candidate::Short,
        _ => Candidate::Settled,
    }
}

/// Whether the old primary could lead again.
fn is_well(facts: &Facts, state: &ClusterState, node: NodeId) -> bool {
    facts.fresh(node).filter(|report| !report.stopping).and_then(|report| report.database.as_ref()).is_some_and(|database| {
        is_ours(state, database)
            && database.server.is_harmless()
            && !copies::is_older(&database.conditions)
            && !copies::is_disowned(&database.conditions)
            && database.position.is_none_or(|position| state.is_prefix(position))
    })
}
