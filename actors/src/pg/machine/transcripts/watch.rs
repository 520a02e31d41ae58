//! What is seen without an order, or while one holds.

use super::*;

#[test]
fn without_an_order_it_looks_and_touches_nothing() {
    for world in [World::empty(), World::stopped_primary(), World::stopped_standby(), World::running_primary(), World::running_standby()] {
        let mut bench = Bench::new(world);
        assert_eq!(bench.pass(20_000).transcript(), nothing());
        assert!(bench.reports.len() >= 20, "it reports at each health check");
    }
}

#[test]
fn a_hang_is_three_missed_checks_and_any_answer_ends_it() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 2_000);
    bench.world.frozen = true;
    bench.pass(2_900);
    assert_eq!(bench.server(), Server::Primary, "two missed checks are no hang");
    bench.pass(1_200);
    assert_eq!(bench.server(), Server::Hung);
    assert_eq!(bench.pass(60_000).transcript(), nothing(), "whether to end it is not decided here");
    bench.world.frozen = false;
    bench.pass(1_500);
    assert_eq!(bench.server(), Server::Primary);
}

#[test]
fn a_hung_standby_is_stopped_and_started() {
    let mut bench = Bench::new(World::running_standby());
    bench.order(follow(), 2_000).transcript();
    bench.world.frozen = true;
    bench.pass(30_000);
    bench.world.frozen = false;
    bench.pass(20_000);
    assert!(bench.last().database.streaming);
}

#[test]
fn processes_whose_guard_died_are_ended_and_the_order_goes_on() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 2_000).transcript();
    bench.world.orphaned = true;
    assert_eq!(bench.pass(3_000).transcript(), ["kill", "start as a primary"]);
    assert_eq!(bench.server(), Server::Primary);
}

#[test]
fn processes_without_a_guard_are_ended_even_while_nobody_says_what_the_database_shall_be() {
    let mut bench = Bench::new(World { orphaned: true, ..World::running_primary() });
    assert_eq!(bench.pass(1_000).transcript(), ["kill"]);
}

#[test]
fn a_primary_whose_guard_falls_silent_stays_one_and_is_fenced_when_that_is_ordered() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 2_000).transcript();
    bench.world.silent = true;
    assert_eq!(bench.pass(3_000).transcript(), nothing());
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::Primary, 0));
    assert_eq!(bench.order(Order::Fence, 3_000).transcript(), ["kill"]);
    assert!(bench.last().stopped.is_some());
}

#[test]
fn a_new_machine_takes_a_running_server_over_without_touching_it() {
    for (world, order) in [(World::running_primary(), lead()), (World::running_standby(), Order::StandAlone)] {
        let mut bench = Bench::new(world);
        let life = bench.world.server.as_ref().map(|server| server.life);
        bench.order(order, 60_000);
        assert_eq!(bench.transcript(), nothing());
        assert_eq!(bench.world.server.as_ref().map(|server| server.life), life);
    }
}

/// Each situation is played once as it is, and then again with each message lost in turn: the end must be the same.
#[test]
fn the_loss_of_any_message_delays_and_never_misleads() {
    let diverged = World { fork: Fork::Diverged, ..World::running_primary() };
    let situations: [(&str, World, Order); 9] = [
        ("found", World::empty(), Order::Found),
        ("lead", World::stopped_standby(), lead()),
        ("lead again", World::stopped_primary(), lead()),
        ("clone", World::empty(), follow()),
        ("prefix", World::stopped_standby(), follow()),
        ("rewind", diverged, follow()),
        ("step down", World::running_primary(), Order::StepDown),
        ("stop", World::running_standby(), Order::Stop),
        ("fence", World::running_primary(), Order::Fence),
    ];
    for (name, world, order) in situations {
        let goal = |bench: &Bench| {
            let report = bench.last();
            (report.database.server, report.founded, report.stopped.is_some(), report.database.streaming, report.database.trouble.clone())
        };
        let mut whole = Bench::new(world.clone());
        whole.order(order.clone(), 60_000);
        let wanted = goal(&whole);
        for lost in 0..whole.told.min(40) {
            let mut bench = Bench::new(world.clone());
            bench.lose = Some(lost);
            bench.order(order.clone(), 10_000);
            for _ in 0..250 {
                if goal(&bench) == wanted {
                    break;
                }
                bench.pass(10_000);
            }
            bench.pass(3_000);
            assert_eq!(goal(&bench), wanted, "{name} without its message {lost}: {:?}", bench.done);
        }
    }
}

/// Seed 481: the host is paused, and tells of itself before it has looked again.
#[test]
fn a_replay_that_nobody_has_looked_at_does_not_stand_still() {
    let mut bench = Bench::new(World { replayed: Some(Lsn(0x4000)), ..World::running_standby() });
    bench.order(Order::StandAlone, 3_000);
    bench.now = bench.now + Duration::from_secs(5);
    bench.step(Input::Woken);
    assert_eq!(bench.last().database.conditions, []);
}
