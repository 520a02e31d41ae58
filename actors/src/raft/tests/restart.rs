//! A node that comes back.

use super::world::World;
use core::time::Duration;

#[test]
fn a_restarted_follower_knows_the_state_without_waiting_for_a_new_entry() {
    for seed in 0..10 {
        let mut world = World::founded(seed, 3);
        world.run(Duration::from_secs(5));
        let leader = world.leader().expect("a quiet cluster keeps its leader");
        let follower = world.nodes().into_iter().find(|node| *node != leader).expect("there are three");
        world.crash(follower);
        world.run(Duration::from_millis(300));
        world.start(follower);
        let took = world.run_until(5, "the follower is whole again", World::is_whole);
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
}
