//! Operators' requests: checked by the leader before anything happens, and carried by the log once they are accepted.

use super::candidates::{best, judge, name};
use super::facts::Facts;
use super::{Refusal, Request};
use crate::machine::Timestamp;
use crate::model::{Bar, ClusterState, Command, NodeId, RequestId, Server};
use crate::pg::conditions::files::NEXT_START;
use crate::raft::Gate;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// A request that nobody has answered is brought before the leader again after this time.
const REPEAT: Duration = Duration::from_millis(250);
/// And forgotten after this: its asker has long gone away.
const FORGET: Duration = Duration::from_secs(120);
/// How many may be open at once.
const OPEN_MAX: usize = 64;

/// Requests of this node's operators that are not in the committed state yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    requests: BTreeMap<RequestId, Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    request: Request,
    since: Timestamp,
    asked_at: Option<Timestamp>,
}

impl Open {
    /// Takes one in; refuses it if too many wait already.
    pub(super) fn take(&mut self, now: Timestamp, id: RequestId, request: Request) -> Result<(), Refusal> {
        if self.requests.len() >= OPEN_MAX {
            let reason = "too many requests wait for an answer; try again later".to_string();
            return Err(Refusal { rule: "requests-are-bounded".to_string(), reason });
        }
        self.requests.insert(id, Waiting { request, since: now, asked_at: None });
        Ok(())
    }

    pub(super) fn close(&mut self, id: RequestId) {
        self.requests.remove(&id);
    }

    /// Those that must be brought before the leader (again) now.
    pub(super) fn due(&mut self, now: Timestamp, state: Option<&ClusterState>) -> Vec<(RequestId, Request)> {
        self.requests.retain(|id, waiting| now.since(waiting.since) < FORGET && !state.is_some_and(|state| is_taken(state, *id)));
        let mut due = Vec::new();
        for (id, waiting) in &mut self.requests {
            if waiting.asked_at.is_none_or(|at| now.since(at) >= REPEAT) {
                waiting.asked_at = Some(now);
                due.push((*id, waiting.request.clone()));
            }
        }
        due
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// Whether the committed state has taken the request up.
pub(super) fn is_taken(state: &ClusterState, id: RequestId) -> bool {
    state.switchover.as_ref().is_some_and(|switchover| switchover.id == id) || state.endings.iter().any(|ending| ending.id == id)
}

/// The leader's answer: what to propose, or why not.
pub(super) fn check(facts: &Facts, state: &ClusterState, id: RequestId, request: &Request) -> Result<Command, Refusal> {
    match request {
        Request::Pause => Ok(Command::Pause { id, paused: true }),
        Request::Resume => Ok(Command::Pause { id, paused: false }),
        Request::Switchover { to } => check_switchover(facts, state, *to).map(|to| Command::BeginSwitchover { id, to }),
    }
}

fn refuse<T>(rule: &str, reason: String) -> Result<T, Refusal> {
    Err(Refusal { rule: rule.to_string(), reason })
}

fn check_switchover(facts: &Facts, state: &ClusterState, to: Option<NodeId>) -> Result<NodeId, Refusal> {
    if state.paused {
        return refuse("switchover-unpaused", "failover is paused; let it go on first with `witch resume`".to_string());
    }
    if let Some(switchover) = &state.switchover {
        let (from, to) = (name(state, switchover.from), name(state, switchover.to));
        return refuse("switchover-alone", format!("a switchover from {from} to {to} is under way"));
    }
    let Some((primary, _)) = state.leaseholder().filter(|_| facts.leadership.gate == Gate::Closed) else {
        return refuse("switchover-from-a-primary", "the cluster has no primary that could step down; see `witch status`".to_string());
    };
    let server = facts.fresh(primary).and_then(|report| report.database.as_ref()).map(|database| database.server);
    if server != Some(Server::Primary) {
        let called = name(state, primary);
        return refuse(
            "switchover-from-a-primary",
            format!("{called} is appointed primary and does not accept writes; see `witch status`"),
        );
    }
    // It is to come back as a standby; and if the target does not get the end of its log, as the primary (D4).
    let conditions = facts.fresh(primary).and_then(|report| report.database.as_ref()).map(|database| database.conditions.as_slice());
    if let Some(condition) = conditions.unwrap_or_default().iter().find(|condition| condition.id == NEXT_START.id) {
        let called = name(state, primary);
        return refuse("switchover-from-a-primary-that-would-start-again", format!("{called} would not come back: {}", condition.text));
    }
    let to = match to {
        Some(to) if to == primary => return refuse("switchover-to-another", format!("{} is the primary already", name(state, to))),
        Some(to) if !state.members.contains_key(&to) => {
            let members: Vec<_> = state.members.values().map(|member| member.name.as_str()).collect();
            return refuse("switchover-to-a-member", format!("there is no node {to}; the members are {}", members.join(", ")));
        }
        Some(to) => to,
        None => match best(facts, state, Some(primary)) {
            Some(candidate) => candidate.node,
            None => return refuse("switchover-to-a-candidate", "no node can take over now; see `witch status`".to_string()),
        },
    };
    let target = judge(facts, state, to)?;
    if !target.streaming {
        return refuse("switchover-to-a-streaming-standby", format!("{} does not stream from the primary right now", name(state, to)));
    }
    // What a failover puts up with is no reason to stop a primary that is well.
    let conditions = facts.fresh(to).and_then(|report| report.database.as_ref()).map(|database| database.conditions.as_slice());
    if let Some(condition) = conditions.unwrap_or_default().iter().find(|condition| condition.bars >= Bar::AmongEquals) {
        return refuse("switchover-to-a-fit-standby", format!("{} is not fit to take over now: {}", name(state, to), condition.text));
    }
    Ok(to)
}
