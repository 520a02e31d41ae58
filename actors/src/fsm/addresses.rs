//! What the files say of names and addresses, against what the log says.
//!
//! The log decides, so that all nodes use the same. Each node describes itself, and nobody else: its own file is the one that is right about
//! it. What a file says of *others* is only where to look for them (the links dial both), and is told where it differs.

use crate::model::{ClusterState, Command, Condition, Database, Member, NodeId};
use crate::pg::conditions::addresses::{FILE_DIFFERS, NOT_TOLD_YET, PORT_NOT_IN_FORCE};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

fn agree(one: &Member, other: &Member) -> bool {
    one.name == other.name && one.witch == other.witch && one.database == other.database
}

/// The command that tells what this node's file says of it, if the log says otherwise. `own` is its database: a server that still runs on the
/// port of before has to be found there, so nothing is told before it was looked at.
pub(super) fn description(file: &[Member], me: NodeId, state: &ClusterState, own: Option<&Database>) -> Option<Command> {
    let mut here = file.iter().find(|member| member.node == me)?.clone();
    let known = state.members.get(&me)?;
    if own.is_none() && !known.witness {
        return None;
    }
    if own.is_some_and(|database| database.conditions.iter().any(|condition| condition.id == PORT_NOT_IN_FORCE.id)) {
        here.database = known.database.clone();
    }
    // It would be refused each time it is told.
    if state.members.values().any(|other| other.node != me && other.name == here.name) {
        here.name.clone_from(&known.name);
    }
    let agrees = agree(&here, known);
    (!agrees).then_some(Command::Describe { node: me, name: here.name, witch: here.witch, database: here.database })
}

/// What this node's file says otherwise than the log.
#[must_use]
pub fn differences_of_files(file: &[Member], me: NodeId, state: &ClusterState) -> Vec<Condition> {
    let differing = file.iter().filter_map(|member| {
        let known = state.members.get(&member.node).filter(|known| !agree(member, known))?;
        let row = if member.node == me { &NOT_TOLD_YET } else { &FILE_DIFFERS };
        Some(row.seen(format!("witch.toml has {}, the cluster knows {}", shown(member), shown(known))))
    });
    differing.collect()
}

fn shown(member: &Member) -> String {
    format!("node {} as `{}` at {} with its database at {}", member.node, member.name, member.witch, member.database)
}
