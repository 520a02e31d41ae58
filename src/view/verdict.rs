//! What is the matter with a cluster, in words.

use actors::model::{ClusterState, Health, MemberStatus, NodeId, Role, Status};

/// How a node is called.
pub(super) fn name_of(status: &Status, node: NodeId) -> String {
    let listed = status.members.iter().find(|member| member.node == node).map(|member| &member.name);
    let known = status.state.as_ref().and_then(|state| state.members.get(&node)).map(|member| &member.name);
    listed.or(known).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| format!("node {node}"))
}

/// The state of the cluster in a few sentences, the most important first.
pub(super) fn sentences(status: &Status) -> Vec<String> {
    let mut said = Vec::new();
    if status.leader.is_none() {
        said.push(no_leader(status));
    }
    match &status.state {
        Some(state) => {
            said.push(primary(status, state));
            said.extend(standbys(status, state));
            said.extend(held(status, state));
        }
        None => said.push(format!("{} does not belong to a cluster yet", status.name)),
    }
    if let Some(reason) = &status.waiting_for {
        said.push(format!("{} waits: {reason}", status.name));
    }
    said
}

fn no_leader(status: &Status) -> String {
    let count = status.members.len();
    let unreachable = status.members.iter().filter(|member| member.node != status.node && member.health == Health::Red).count();
    match unreachable {
        0 => "no leader: an election is under way".into(),
        _ if unreachable * 2 < count => format!("no leader: {unreachable} of {count} nodes unreachable; the others elect one"),
        _ => format!("no leader: {unreachable} of {count} nodes unreachable; nobody decides until more than half are back"),
    }
}

fn primary(status: &Status, state: &ClusterState) -> String {
    let Some(primary) = &state.primary else { return "no primary: none was appointed yet".into() };
    let name = name_of(status, primary.node);
    let member = status.members.iter().find(|member| member.node == primary.node);
    match member {
        _ if primary.released.is_some() => {
            format!("no primary: {name} gave up epoch {}, and nobody is appointed after it yet", primary.epoch)
        }
        Some(member) if member.health == Health::Red && member.node != status.node => {
            format!("the primary {name} is unreachable from {}", status.name)
        }
        Some(member) if member.role == Role::Primary => format!("{name} accepts writes"),
        _ if primary.promoted.is_none() => format!("no primary yet: {name} is appointed for epoch {} and being promoted", primary.epoch),
        _ => format!("the primary {name} does not accept writes"),
    }
}

fn standbys(status: &Status, state: &ClusterState) -> Vec<String> {
    let is_primary = |node| state.primary.as_ref().is_some_and(|primary| primary.node == node && primary.released.is_none());
    let expected = status.members.iter().filter(|member| member.role != Role::Witness && !is_primary(member.node)).collect::<Vec<_>>();
    if expected.is_empty() {
        return vec!["there is no standby: nobody can take over".into()];
    }
    let (streaming, others): (Vec<&MemberStatus>, Vec<&MemberStatus>) = expected.iter().partition(|member| is_streaming(member));
    let mut said = vec![format!("{} of {} standbys stream", streaming.len(), expected.len())];
    said.extend(others.iter().map(|member| match member.health {
        Health::Red => format!("{} is unreachable from {}", member.name, status.name),
        _ => format!("{} does not stream", member.name),
    }));
    said
}

fn is_streaming(member: &MemberStatus) -> bool {
    let database = member.report.as_ref().and_then(|report| report.database.as_ref());
    member.health != Health::Red && database.is_some_and(|database| database.streaming)
}

fn held(status: &Status, state: &ClusterState) -> Vec<String> {
    let mut said = Vec::new();
    if state.paused {
        said.push("failover is paused: nobody is promoted until `witch resume`".into());
    }
    if let Some(switchover) = &state.switchover {
        said.push(format!("a switchover from {} to {} is under way", name_of(status, switchover.from), name_of(status, switchover.to)));
    }
    said
}
