//! From empty disks to a cluster that serves.

use super::node::{Node, World};
use super::wait::until;
use actors::model::{NodeId, Server, Timeline};
use std::time::Duration;

const FOUNDED_MAX: Duration = Duration::from_secs(10);

/// One node, until it is a writable primary.
pub(crate) async fn alone() -> (World, Node) {
    let world = World::new(1);
    let node = Node::start(&world, NodeId(1)).await;
    until(FOUNDED_MAX, "the node is a writable primary", || node.leads_since(world.now() - Duration::from_secs(1))).await;
    (world, node)
}

/// Three nodes, until one is a writable primary and the others stream.
pub(crate) async fn three() -> (World, Vec<Node>) {
    let world = World::new(3);
    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(Node::start(&world, NodeId(node)).await);
    }
    let recently = || world.now() - Duration::from_secs(1);
    until(FOUNDED_MAX * 2, "node 1 leads and the others stream", || {
        nodes[0].leads_since(recently()) && nodes[1..].iter().all(|node| node.streams_since(recently()))
    })
    .await;
    (world, nodes)
}

#[tokio::test(start_paused = true)]
async fn an_empty_node_becomes_a_writable_primary() {
    let (world, node) = alone().await;
    let status = node.status().expect("it is published");
    let database = status.database.as_ref().expect("the adapter reported");
    assert_eq!((database.server, database.position.map(|position| position.timeline)), (Server::Primary, Some(Timeline(1))));
    assert_eq!(node.get("/primary").await, 200);
    assert_eq!(world.databases.ended(NodeId(1)), [], "nothing was started in vain");
}

#[tokio::test(start_paused = true)]
async fn three_empty_nodes_become_a_primary_and_two_standbys() {
    let (world, nodes) = three().await;
    for node in &nodes {
        let state = node.status().and_then(|status| status.state.clone()).expect("it is a member");
        assert_eq!(state.primary.map(|primary| primary.node), Some(NodeId(1)));
        assert_eq!(world.databases.ended(node.node), [], "nothing was started in vain");
    }
}
