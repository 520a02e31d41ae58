//! Who is who at this moment, by the daemons' own words.

use super::Who;
use crate::live::{Door, request};
use actors::model::{NodeId, Status};
use std::time::Duration;
use tokio::task::JoinSet;

/// A stopped daemon accepts the connection and never answers.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// What every node says, all asked at once; None where nobody answers.
pub async fn statuses(doors: &[Door]) -> Vec<Option<Status>> {
    let mut asked = JoinSet::new();
    for (index, door) in doors.iter().enumerate() {
        let (host, port) = door.http.clone();
        asked.spawn(async move {
            let answer = request((&host, port), ("GET", "/node"), None, "", ANSWER_DEADLINE).await;
            (index, answer.ok().and_then(|answer| answer.json::<Status>().ok()))
        });
    }
    let mut statuses: Vec<Option<Status>> = doors.iter().map(|_| None).collect();
    for (index, status) in asked.join_all().await {
        statuses[index] = status;
    }
    statuses
}

/// None: one node accepts writes, all others stream on its timeline, and all agree on who is appointed. Otherwise what is missing.
#[must_use]
pub fn is_settled(statuses: &[Option<Status>]) -> Option<String> {
    let mut primary = None;
    for (place, status) in statuses.iter().enumerate() {
        let Some(status) = status else { return Some(format!("the daemon of node {} does not answer", place + 1)) };
        if status.writable && primary.replace(status.node).is_some() {
            return Some("two nodes say that they accept writes".to_owned());
        }
        if !status.writable && !status.readable {
            let waiting = status.waiting_for.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            return Some(format!("{} neither accepts writes nor streams{waiting}", status.name));
        }
    }
    let Some(primary) = primary else { return Some("no node accepts writes".to_owned()) };
    let appointed = |status: &Status| status.state.as_ref().and_then(|state| state.primary.as_ref()).map(|primary| primary.node);
    if let Some(doubter) = statuses.iter().flatten().find(|status| appointed(status) != Some(primary)) {
        return Some(format!("{} does not know that node {primary} is the primary", doubter.name));
    }
    let timeline = |status: &Status| Some(status.database.as_ref()?.position?.timeline);
    let right = statuses.iter().flatten().find(|status| status.writable).and_then(timeline);
    let stray = statuses.iter().flatten().find(|status| timeline(status) != right)?;
    Some(format!("{} is on timeline {:?}, and node {primary}, the primary, on {right:?}", stray.name, timeline(stray)))
}

/// The victims that a fault may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    primary: Option<usize>,
    leader: Option<usize>,
    nodes: usize,
}

impl Roles {
    /// Reads them from what the nodes say.
    #[must_use]
    pub fn of(doors: &[Door], statuses: &[Option<Status>]) -> Self {
        let place = |id: NodeId| doors.iter().position(|door| door.id == id);
        let leaders = statuses.iter().flatten().filter_map(|status| status.leader);
        let most = leaders.clone().max_by_key(|candidate| leaders.clone().filter(|leader| leader == candidate).count());
        Self {
            primary: statuses.iter().position(|status| status.as_ref().is_some_and(|status| status.writable)),
            leader: most.and_then(place),
            nodes: doors.len(),
        }
    }

    /// The place of a victim. None: nobody has that role now.
    #[must_use]
    pub fn find(&self, who: Who) -> Option<usize> {
        match who {
            Who::Primary => self.primary,
            Who::RaftLeader => self.leader,
            Who::Standby => self.primary.and_then(|primary| (0..self.nodes).find(|&node| node != primary)),
            Who::Node(node) => Some(node % self.nodes),
        }
    }
}
