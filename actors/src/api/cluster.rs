//! The cluster in one page, as this node sees it: `GET /cluster`; and its past: `GET /history`.

use super::Problem;
use crate::model::{
    ClusterState, Endpoint, Epoch, Event, Health, Lsn, Member, MemberStatus, NodeId, Operation, Role, Status, Switchover, Term, Timeline,
};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// `GET /cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub cluster: String,
    /// The last epoch that was appointed.
    pub epoch: Epoch,
    /// The primary of that epoch, unless it is released.
    pub primary: Option<NodeId>,
    /// Where its database listens.
    pub primary_endpoint: Option<Endpoint>,
    /// Raft's leader, if one is known.
    pub leader: Option<NodeId>,
    /// Raft's term.
    pub term: Term,
    /// An operator holds everything but the fence.
    pub paused: bool,
    /// The switchover that is under way.
    pub switchover: Option<Switchover>,
    /// Who is in it.
    pub members: Vec<Row>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// How it looks from here.
    pub health: Health,
    /// Where its database listens; a witness: where its daemon does.
    pub host: String,
    /// The port of it.
    pub port: u16,
    /// Its database's timeline.
    pub timeline: Option<Timeline>,
    /// How far its database is.
    pub lsn: Option<Lsn>,
    /// How many bytes it is behind the primary.
    pub lag_bytes: Option<u64>,
    /// Whether it streams from its upstream.
    pub streaming: bool,
    /// What it is busy with.
    pub operation: Option<Operation>,
    /// What keeps it from doing what it should.
    pub trouble: Option<String>,
}

/// `GET /history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Oldest first.
    pub events: VecDeque<Event>,
}

/// The state, once there is one.
///
/// # Errors
/// 503 before this node is a member.
pub fn state(status: &Status) -> Result<&ClusterState, Problem> {
    status.state.as_ref().ok_or_else(|| Problem::no_member(status.waiting_for.as_deref()))
}

/// `GET /cluster`, distilled from a status.
///
/// # Errors
/// 503 before this node is a member.
pub fn cluster(status: &Status) -> Result<Cluster, Problem> {
    let state = state(status)?;
    let primary = state.leaseholder().map(|(node, _)| node);
    Ok(Cluster {
        cluster: state.cluster.clone(),
        epoch: state.epoch,
        primary,
        primary_endpoint: primary.and_then(|node| state.members.get(&node)).map(|member| member.database.clone()),
        leader: status.leader,
        term: status.term,
        paused: state.paused,
        switchover: state.switchover.clone(),
        members: state.members.values().map(|member| row(status, member)).collect(),
    })
}

/// `GET /history`.
///
/// # Errors
/// 503 before this node is a member.
pub fn history(status: &Status) -> Result<History, Problem> {
    Ok(History { events: state(status)?.history.clone() })
}

fn row(status: &Status, member: &Member) -> Row {
    let seen: Option<&MemberStatus> = status.members.iter().find(|seen| seen.node == member.node);
    let reported = seen.and_then(|seen| seen.report.as_ref()).and_then(|report| report.database.as_ref());
    // What a node says to others of its own database is never newer than what it knows itself.
    let database = if member.node == status.node { status.database.as_ref() } else { reported };
    let endpoint = if member.witness { &member.witch } else { &member.database };
    let position = database.and_then(|database| database.position);
    Row {
        node: member.node,
        name: member.name.clone(),
        role: seen.map_or(Role::Unknown, |seen| seen.role),
        health: seen.map_or(Health::Red, |seen| seen.health),
        host: endpoint.host.clone(),
        port: endpoint.port,
        timeline: position.map(|position| position.timeline),
        lsn: position.map(|position| position.lsn),
        lag_bytes: seen.and_then(|seen| seen.lag_bytes),
        streaming: database.is_some_and(|database| database.streaming),
        operation: database.and_then(|database| database.operation.clone()),
        trouble: database.and_then(|database| database.trouble.clone()),
    }
}
