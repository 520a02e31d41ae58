//! What a published status means to a load balancer.

use super::Problem;
use crate::machine::Timestamp;
use crate::model::{Condition, NodeId, Role, Server, Status};
use crate::pg::conditions::crashes::IN_PLACE;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The body of a health endpoint that answers 200.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Why it is well.
    pub reason: String,
    /// What is not as it should be all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The status, if it is young enough to be believed.
///
/// # Errors
/// 503: nothing was published yet, or the FSM is wedged.
pub fn believed(status: Option<&Status>, now: Timestamp, age_max: Duration) -> Result<&Status, Problem> {
    let status = status.ok_or_else(Problem::starting)?;
    let age = now.since(status.at);
    if age > age_max { Err(Problem::wedged(age)) } else { Ok(status) }
}

/// `/primary`: the lease is valid *now*, whatever it was when the status was made, and the database accepts writes.
///
/// # Errors
/// 503 with the reason.
pub fn primary(status: &Status, now: Timestamp) -> Result<Serving, Problem> {
    let no = |reason: String| Err(Problem::new(503, "not_primary", reason));
    match status.lease.end {
        _ if !status.writable => no(format!("{} does not accept writes: {}", this_node(status), why_not_writable(status))),
        None => no(format!("{} holds no lease", this_node(status))),
        Some(end) if end <= now => no(format!("the lease of {} ended {} ms ago", this_node(status), now.since(end).as_millis())),
        Some(_) => Ok(serving(status, "it accepts writes under a valid lease")),
    }
}

/// `/replica`: the standby streams, and its file lets readers come.
///
/// # Errors
/// 503 with the reason.
pub fn replica(status: &Status) -> Result<Serving, Problem> {
    if status.readable {
        return Ok(serving(status, "it streams from its primary"));
    }
    Err(Problem::new(503, "not_replica", format!("{} takes no readers: {}", this_node(status), why_not_readable(status))))
}

/// `/health`: the node is a member and does what its role demands.
///
/// # Errors
/// 503 with the reason.
pub fn health(status: &Status, now: Timestamp) -> Result<Serving, Problem> {
    let Some(member) = status.state.as_ref().and_then(|state| state.members.get(&status.node)) else {
        return Err(Problem::no_member(status.waiting_for.as_deref()));
    };
    if member.witness {
        return Ok(serving(status, "it votes"));
    }
    match status.database.as_ref().map(|database| database.server) {
        Some(Server::Standby) => Ok(serving(status, "its standby answers")),
        Some(Server::Primary) => primary(status, now).map_err(|problem| Problem { error: "unhealthy".into(), ..problem }),
        _ => Err(Problem::new(503, "unhealthy", format!("{} is not well: {}", this_node(status), why_not_writable(status)))),
    }
}

fn serving(status: &Status, reason: &str) -> Serving {
    let conditions = status.database.as_ref().map(|database| database.conditions.clone()).unwrap_or_default();
    Serving { node: status.node, name: status.name.clone(), role: status.role, reason: reason.to_owned(), conditions }
}

fn this_node(status: &Status) -> String {
    format!("node {} (`{}`)", status.node, status.name)
}

fn server(server: Server) -> &'static str {
    match server {
        Server::Stopped => "its server is stopped",
        Server::StartingStandby => "its server is starting as a standby",
        Server::Standby => "its server is a standby",
        Server::StartingPrimary => "its server is starting as a primary or being promoted",
        Server::Primary => "its server is a primary, and no lease held when the status was made",
        Server::Stopping => "its server is stopping",
        Server::Hung => "its server hangs",
        Server::Stranger => "a server runs on its data directory that Witch did not start",
    }
}

fn why_not_writable(status: &Status) -> String {
    let Some(database) = &status.database else { return "it has no database".to_owned() };
    let recovers = database.conditions.iter().find(|condition| condition.id == IN_PLACE.id).map(|condition| condition.text.as_str());
    let details = [recovers, database.trouble.as_deref(), status.waiting_for.as_deref()];
    details.into_iter().flatten().fold(server(database.server).to_owned(), |said, detail| said + "; " + detail)
}

fn why_not_readable(status: &Status) -> String {
    match &status.database {
        Some(database) if database.server == Server::Standby && database.streaming => "it is tagged `noloadbalance`".to_owned(),
        Some(database) if database.server == Server::Standby => "its standby does not stream from the primary".to_owned(),
        _ => why_not_writable(status),
    }
}
