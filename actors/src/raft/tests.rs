//! Many machines at once, over a network and disks that do what real ones do.

mod birth;
mod dice;
mod holder;
mod lead;
mod log;
mod quiet;
mod restart;
mod safety;
mod screen;
mod world;

use crate::model::{Endpoint, Member, NodeId, RaftId};
use alloc::format;
use alloc::vec::Vec;

/// The members as the files of a test name them.
pub(super) fn file(members: u64) -> Vec<Member> {
    let endpoint = |node: u64, port: u16| Endpoint { host: format!("h{node}"), port };
    let member = |node: u64| Member {
        node: NodeId(node),
        raft_id: RaftId(0),
        name: format!("n{node}"),
        witch: endpoint(node, 7000),
        database: endpoint(node, 5432),
        witness: false,
    };
    (1..=members).map(member).collect()
}
