//! A node that comes back.

use super::world::World;
use crate::raft::{Effect, Fact};
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

/// Its listener may believe still that it leads, and what it finds on its disk may be older than what it told before it died.
#[test]
fn a_restarted_leader_tells_that_it_leads_no_more_before_it_tells_a_state() {
    let mut world = World::founded(1, 3);
    world.run(Duration::from_secs(5));
    let leader = world.leader().expect("a quiet cluster keeps its leader");
    let said = world.first_words(leader);
    let led = said.iter().position(|effect| matches!(effect, Effect::Tell(Fact::Led(led)) if !led.ready));
    let state = said.iter().position(|effect| matches!(effect, Effect::Tell(Fact::Committed { .. })));
    assert!(led.is_some() && state.is_some() && led < state, "{said:?}");
}
