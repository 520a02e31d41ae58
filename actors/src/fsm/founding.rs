//! Who makes the cluster's database: exactly one, and never over the head of a database that is there already.

use super::candidates::name;
use super::facts::Facts;
use crate::model::{ClusterState, Directory, NodeId, Server};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// What the reports say about the founding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Founding {
    /// Not all data nodes have told what they have.
    Waiting(String),
    /// This one shall do it.
    Chosen(NodeId),
    /// An operator has to decide first.
    Refused(String),
}

/// Looks at every data node.
pub(super) fn founder(facts: &Facts, state: &ClusterState) -> Founding {
    let mut holders = Vec::new();
    let mut bare = Vec::new();
    for member in state.data_nodes() {
        let called = name(state, member.node);
        let Some((report, database)) = facts.fresh(member.node).and_then(|report| Some((report, report.database.as_ref()?))) else {
            return Founding::Waiting(format!("{called} has not told yet what its data directory holds"));
        };
        if database.server == Server::Stranger {
            let trouble =
                database.trouble.as_deref().unwrap_or("a server that Witch did not start runs on its data directory; stop it first");
            return Founding::Refused(format!("{called}: {trouble}"));
        }
        match &database.directory {
            Directory::Database { system_identifier, timeline } => {
                let lsn = database.position.map_or_else(String::new, |position| format!(" at {}", position.lsn));
                holders.push((member.node, format!("{called} holds database {system_identifier} on timeline {timeline}{lsn}")));
            }
            Directory::Unusable { reason } => return Founding::Refused(format!("{called}: {reason}")),
            Directory::Empty | Directory::Unfinished if !report.tags.nofailover => {
                bare.push((report.tags.failover_priority, Reverse(member.node)));
            }
            Directory::Empty | Directory::Unfinished => {}
        }
    }
    match holders.as_slice() {
        [] => bare.into_iter().max().map_or_else(
            || Founding::Refused(String::from("every data node is tagged nofailover; remove the tag from the one that shall be primary")),
            |(_, Reverse(node))| Founding::Chosen(node),
        ),
        [(node, _)] => Founding::Chosen(*node),
        several => {
            let list: Vec<_> = several.iter().map(|(_, text)| text.as_str()).collect();
            let list = list.join("; ");
            Founding::Refused(format!("{list}. Witch will not choose between databases: empty all data directories but the right one"))
        }
    }
}
