//! The server shall end.

use super::*;

#[test]
fn a_step_down_checkpoints_first_and_tells_the_end_of_the_log() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 1_000).transcript();
    assert_eq!(bench.order(Order::StepDown, 5_000).transcript(), ["checkpoint", "stop fast"]);
    assert_eq!(bench.last().stopped, Some(Stopped { timeline: Timeline(1), final_lsn: Some(Lsn(0x4000)) }));
    assert_eq!(bench.last().database.deaths, 0, "it was asked to");
}

#[test]
fn a_clean_end_of_the_log_that_cannot_be_read_yet_is_waited_for_and_not_for_ever() {
    for for_ever in [true, false] {
        let mut bench = Bench::new(World { unreadable: true, ..World::running_primary() });
        bench.order(lead(), 1_000).transcript();
        assert_eq!(bench.order(Order::StepDown, 4_000).transcript(), ["checkpoint", "stop fast"]);
        assert_eq!((bench.server(), bench.last().stopped), (Server::Stopped, None));
        bench.world.unreadable = for_ever;
        bench.pass(8_000);
        let final_lsn = if for_ever { None } else { Some(Lsn(0x4000)) };
        assert_eq!(bench.last().stopped, Some(Stopped { timeline: Timeline(1), final_lsn }));
    }
}

#[test]
fn a_step_down_that_overruns_its_time_is_killed_and_knows_no_end() {
    let mut bench = Bench::new(World { obstinate: true, ..World::running_primary() });
    assert_eq!(bench.order(Order::StepDown, 29_000).transcript(), ["checkpoint", "stop fast"]);
    assert_eq!((bench.server(), bench.last().stopped), (Server::Stopping, None));
    bench.world.dies = true;
    assert_eq!(bench.pass(5_000).transcript(), ["kill"]);
    assert_eq!(bench.last().stopped.map(|stopped| stopped.final_lsn), Some(None));
}

#[test]
fn a_stop_goes_from_fast_to_immediate() {
    let mut bench = Bench::new(World { obstinate: true, ..World::running_primary() });
    assert_eq!(bench.order(Order::Stop, 32_000).transcript(), ["stop fast", "stop immediately"]);
    assert!(bench.last().stopped.is_some());
}

#[test]
fn a_stop_goes_from_immediate_to_a_kill() {
    let mut bench = Bench::new(World { frozen: true, ..World::running_primary() });
    assert_eq!(bench.order(Order::Stop, 32_000).transcript(), ["stop fast", "stop immediately", "kill"]);
    assert!(bench.last().stopped.is_some());
}

#[test]
fn a_fence_kills_at_once() {
    for world in [World::running_primary(), World::running_standby(), World { frozen: true, ..World::running_primary() }] {
        let mut bench = Bench::new(world);
        assert_eq!(bench.order(Order::Fence, 0).transcript(), ["kill"], "in the very step of the order");
        bench.pass(1_000);
        assert!(bench.last().stopped.is_some());
        assert_eq!(bench.last().database.deaths, 0);
    }
}

#[test]
fn what_is_left_of_a_server_that_has_shut_down_is_killed_once_the_standbys_have_the_end_of_its_log() {
    let left = |awaited| Leftover { awaited, names: vec!["archiver".into()] };
    let mut bench = Bench::new(World { obstinate: true, leftover: Some(left(true)), ..World::running_primary() });
    bench.order(lead(), 1_000).transcript();
    bench.order(Order::StepDown, 1_500);
    bench.world.phase = Phase::ShutDown;
    assert_eq!(bench.pass(5_000).transcript(), ["checkpoint", "stop fast"], "a standby is still being sent the end of the log (D4)");
    bench.world.leftover = Some(left(false));
    assert_eq!(bench.pass(300).transcript(), ["kill"]);
    assert_eq!(bench.last().stopped, Some(Stopped { timeline: Timeline(1), final_lsn: Some(Lsn(0x4000)) }));
    assert!(bench.news.iter().any(|line| line.contains("archiver")), "{:?}", bench.news);
}

/// The data directory of a server that has just begun may still say that the one before had shut down.
#[test]
fn a_server_that_nobody_asked_to_stop_is_never_taken_for_shut_down() {
    let leftover = Some(Leftover { awaited: false, names: vec!["checkpointer".into()] });
    let mut bench = Bench::new(World { leftover, phase: Phase::ShutDown, ..World::running_primary() });
    bench.world.phase = Phase::ShutDown;
    assert_eq!(bench.order(lead(), 5_000).transcript(), nothing());
}
