//! An order comes while another one is being carried out.

use super::*;

#[test]
fn a_fence_breaks_off_a_running_clone() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(follow(), 2_000).transcript(), ["clone"]);
    assert_eq!(bench.order(Order::Fence, 0).transcript(), ["cancel", "kill"]);
    bench.pass(1_000);
    assert!(bench.last().stopped.is_some());
}

#[test]
fn a_change_of_upstream_breaks_off_a_clone_and_the_same_order_does_not() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(follow(), 2_000).transcript(), ["clone"]);
    assert_eq!(bench.order(follow(), 1_000).transcript(), nothing());
    let other = Upstream { epoch: Epoch(3), ..upstream(true) };
    assert_eq!(bench.order(Order::Follow(other), 1_000).transcript(), ["cancel", "clone"]);
}

#[test]
fn what_comes_of_an_operation_tells_nothing_of_another_upstream() {
    let other = Order::Follow(Upstream { epoch: Epoch(3), ..upstream(true) });
    let mut bench = Bench::new(World { fork: Fork::Diverged, ..World::stopped_primary() });
    assert_eq!(bench.order(follow(), 2_000).transcript(), ["compare histories", "preserve diverged log", "rewind"]);
    // It goes on, since half a rewind leaves nothing but a clone to do.
    assert_eq!(bench.order(other.clone(), 1_000).transcript(), nothing());
    assert_eq!(bench.pass(20_000).transcript(), ["compare histories", "start as a standby"]);
    assert!(bench.last().database.streaming);

    // The same that failed: the next rewind is not the one too many.
    let mut bench = Bench::new(World { fork: Fork::Diverged, rewind_works: false, ..World::stopped_primary() });
    bench.order(follow(), 2_000).transcript();
    bench.order(other.clone(), 4_000).transcript();
    bench.world.rewind_works = true;
    assert!(bench.pass(60_000).transcript().iter().any(|line| line == "rewind"));

    // A comparison that had ended when it was cancelled.
    let mut bench = Bench::new(World { fork: Fork::Twin, ..World::stopped_standby() });
    assert_eq!(bench.order(follow(), 5).transcript(), ["compare histories"]);
    let Some(Working { id, .. }) = bench.machine.working else { panic!("it is under way") };
    bench.order(other.clone(), 0);
    bench.step(Input::Finished { id, outcome: Outcome::Compared(Fork::Prefix) });
    assert_eq!(bench.pass(20_000).transcript(), ["cancel", "compare histories", "preserve diverged log", "clone", "start as a standby"]);

    // A clone that had.
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(follow(), 2_000).transcript(), ["clone"]);
    let Some(Working { id, .. }) = bench.machine.working else { panic!("it is under way") };
    bench.order(other.clone(), 0);
    bench.world.directory = World::stopped_standby().directory;
    bench.step(Input::Finished { id, outcome: Outcome::Done });
    assert_eq!(bench.pass(20_000).transcript(), ["cancel", "compare histories", "start as a standby"]);

    // One in the way to the first that shows that the two diverged.
    let mut bench = Bench::new(World { receives_on: true, ..World::running_standby() });
    bench.order(follow(), 0);
    let follows = (0..1_000).any(|_| bench.pass(1).transcript().iter().any(|line| line == "follow"));
    assert!(follows);
    let then = bench.order(other, 20_000).transcript();
    assert_eq!(then[..2], ["compare histories", "stop fast"]);
}

#[test]
fn a_clone_outlives_a_moment_in_which_the_promotion_is_not_known() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(follow(), 2_000).transcript(), ["clone"]);
    assert_eq!(bench.order(Order::Follow(upstream(false)), 500).transcript(), nothing());
    assert_eq!(bench.order(follow(), 8_000).transcript(), ["start as a standby"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn looking_after_slots_holds_up_neither_a_promotion_nor_a_stop() {
    for (order, then) in [(lead(), "promote"), (Order::StepDown, "stop fast"), (Order::Stop, "stop fast"), (Order::Fence, "kill")] {
        let mut bench = Bench::new(World { slots_take: 15_000, ..World::running_standby() });
        bench.order(follow(), 3_000);
        assert_eq!(bench.done, ["compare histories", "follow", "tend slots"]);
        bench.done.clear();
        bench.order(order.clone(), 100);
        assert_eq!(bench.done[..2], ["cancel", then], "{order:?}");
    }
}

#[test]
fn a_look_under_an_older_order_proves_nothing_about_a_newer_one() {
    let mut bench = Bench::new(World::stopped_primary());
    bench.pass(2_000);
    bench.order(Order::Stop, 0);
    assert_eq!((bench.last().order, bench.last().stopped), (0, None));
    bench.pass(10);
    assert_eq!(bench.last().order, 1);
    assert!(bench.last().stopped.is_some());
}
