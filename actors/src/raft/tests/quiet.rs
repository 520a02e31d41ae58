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
