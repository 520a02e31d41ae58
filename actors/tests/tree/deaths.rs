//! Actors die, one kind after the other, and the database runs on.

use super::founding::{alone, three};
use super::illness::{FELL_ILL, Illness};
use super::log;
use super::node::{Node, World, timing};
use super::wait::{pass, until};
use actors::machine::Timestamp;
use actors::model::NodeId;
use std::time::Duration;
use tokio::time::timeout;

/// Every kind. A node without peers has no probe.
const KINDS: [&str; 5] = ["raft", "fsm", "pg", "probe", "api"];

/// A lease that was asked for after the death must be there in this time. Consensus has to elect itself first.
fn back_max(kind: &str) -> Duration {
    Duration::from_millis(if kind == "raft" { 2000 } else { 700 })
}

/// Waits until the node leads under a lease that was asked for after `since`, and sees that the server never even stops.
async fn goes_on(world: &World, primary: &Node, since: Timestamp, kind: &str) {
    let before = world.databases.life(primary.node);
    assert!(before.is_some(), "a server runs");
    let max = back_max(kind);
    until(max, &format!("after the death of `{kind}` the node leads under a new lease"), || {
        assert_eq!(world.databases.life(primary.node), before, "the server runs on after the death of `{kind}`");
        primary.leads_since(since)
    })
    .await;
    pass(Duration::from_secs(7)).await;
    assert_eq!(world.databases.life(primary.node), before, "the server runs on long after the death of `{kind}`");
    assert_eq!(world.databases.ended(primary.node), []);
}

#[tokio::test(start_paused = true)]
async fn each_actor_of_a_lone_primary_is_killed_in_turn_and_the_database_never_stops() {
    let (world, node) = alone().await;
    for kind in KINDS.into_iter().filter(|kind| *kind != "probe") {
        let since = world.now();
        node.tree.kill(kind);
        goes_on(&world, &node, since, kind).await;
        assert_eq!(node.get("/primary").await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn each_actor_of_each_of_three_nodes_is_killed_in_turn_and_the_database_never_stops() {
    let (world, nodes) = three().await;
    for kind in KINDS {
        for node in &nodes {
            let since = world.now();
            node.tree.kill(kind);
            goes_on(&world, &nodes[0], since, kind).await;
            for standby in &nodes[1..] {
                assert!(standby.streams_since(since), "{standby:?}");
                assert_eq!(world.databases.ended(standby.node), [], "no standby stopped, either");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_panics_is_restarted_and_logged_with_its_cause() {
    let (world, nodes) = three().await;
    for kind in KINDS.into_iter().filter(|kind| *kind != "api") {
        let since = world.now();
        nodes[0].ward.infect(kind, Illness::Panics);
        goes_on(&world, &nodes[0], since, kind).await;
        let cause = format!("the {kind} actor {FELL_ILL}");
        let told = |line: &String| line.contains("an actor died and is restarted") && line.contains(&cause);
        assert!(log::lines().iter().any(told), "`{cause}` is not in\n{}", log::end());
    }
}

/// Its first word to the world already has the state, the database, the peers and the lease in it.
#[tokio::test(start_paused = true)]
async fn a_new_life_of_the_fsm_learns_everything_from_the_board() {
    let (world, nodes) = three().await;
    let primary = &nodes[0];
    let before = primary.status().expect("it is published");
    let boot = |status: &actors::model::Status| {
        let own = status.members.iter().find(|member| member.node == NodeId(1)).and_then(|member| member.report.as_ref());
        own.map(|report| report.boot)
    };
    primary.tree.kill("fsm");
    until(Duration::from_millis(100), "the next life has spoken", || primary.status().is_some_and(|now| boot(&now) != boot(&before))).await;
    let after = primary.status().expect("it is published");
    assert_eq!((&after.state, after.leader, after.term), (&before.state, before.leader, before.term));
    assert_eq!(after.database.as_ref().map(|database| database.server), before.database.as_ref().map(|database| database.server));
    assert!(after.writable, "it has the lease from the guard's last word: {after:?}");
    assert!(after.lease.end >= before.lease.end);
    let healths = |status: &actors::model::Status| status.members.iter().map(|member| (member.node, member.health)).collect::<Vec<_>>();
    assert_eq!(healths(&after), healths(&before));
    assert!(world.databases.lease_end(NodeId(1)).is_some_and(|end| end > world.now() + timing().kill_margin));
}

/// L3: past the restart intensity the tree gives up, with the last cause, for `main` to end the process.
async fn is_given_up(kind: &'static str) {
    let (_world, mut nodes) = three().await;
    let node = &mut nodes[2];
    node.ward.infect(kind, Illness::PanicsAlways);
    let gave_up = timeout(Duration::from_secs(30), node.tree.gave_up()).await.expect("it gives up in time");
    assert!(gave_up.actor.starts_with(kind), "{gave_up}");
    assert!(gave_up.cause.contains(&format!("the {kind} actor {FELL_ILL}")), "{gave_up}");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_dies_at_every_step_is_given_up_with_its_cause() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "api") {
        is_given_up(kind).await;
    }
}
