//! A cluster at rest.

use super::world::World;
use core::time::Duration;

#[test]
fn a_settled_node_is_woken_no_more_often_than_heartbeats_are_due() {
    let mut world = World::founded(7, 3);
    world.run(Duration::from_secs(10));
    let (before, leader) = (world.alarms, world.leader());
    world.run(Duration::from_secs(10));
    let a_second = (world.alarms - before) / 10 / 3;
    assert!(a_second <= 12, "{a_second} alarms a second on each node");
    assert_eq!(world.leader(), leader, "and nobody misses a heartbeat for it");
}

/// A leader whose actor was restarted knows nobody, though all links are up: it listens to whoever says again who it is.
#[test]
fn a_quiet_cluster_goes_on_introducing_itself() {
    let mut world = World::founded(1, 3);
    world.run(Duration::from_secs(5));
    world.introductions.clear();
    world.run(Duration::from_secs(20));
    for node in world.nodes() {
        let said = world.introductions.get(&node).copied().unwrap_or(0);
        assert!(said >= 2 * 9, "node {node} said {said} times who it is, to two peers");
    }
}
