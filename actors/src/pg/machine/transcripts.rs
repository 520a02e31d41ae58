//! What the adapter does, order by order and situation by situation.

use super::world::*;
use super::*;
use crate::model::{Directory, Epoch, Lsn, Timeline};
use crate::pg::{Fork, Outcome, Stopped, Upstream};
use core::time::Duration;

#[test]
fn without_an_order_it_looks_and_touches_nothing() {
    for world in [World::empty(), World::stopped_primary(), World::stopped_standby(), World::running_primary(), World::running_standby()] {
        let mut bench = Bench::new(world);
        assert_eq!(bench.pass(20_000).transcript(), nothing());
        assert!(bench.reports.len() >= 20, "it reports at each health check");
    }
}

#[test]
fn it_founds_a_database_and_leaves_it_stopped() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(Order::Found, 10_000).transcript(), ["initdb"]);
    assert_eq!((bench.last().founded, bench.server()), (Some(OURS), Server::Stopped));
}

#[test]
fn it_adopts_the_database_that_is_there() {
    let mut bench = Bench::new(World::stopped_primary());
    assert_eq!(bench.order(Order::Found, 10_000).transcript(), ["adopt"]);
    assert_eq!(bench.last().founded, Some(OURS));
}

#[test]
fn it_founds_nothing_under_a_stranger_or_on_foreign_files() {
    let stranger = World { stranger: Some(42), ..World::stopped_primary() };
    let unusable = World { directory: Directory::Unusable { reason: "holds photographs".into() }, ..World::empty() };
    for (world, word) in [(stranger, "42"), (unusable, "photographs")] {
        let mut bench = Bench::new(world);
        assert_eq!(bench.order(Order::Found, 10_000).transcript(), nothing());
        let trouble = bench.last().database.trouble.clone().unwrap_or_default();
        assert!(trouble.contains(word), "{trouble}");
        assert_eq!(bench.last().founded, None);
    }
}

#[test]
fn the_last_primary_starts_as_one() {
    let mut bench = Bench::new(World::stopped_primary());
    assert_eq!(bench.order(lead(), 5_000).transcript(), ["start as a primary"]);
    assert_eq!(bench.server(), Server::Primary);
    assert!(bench.last().promotion().is_some());
}

#[test]
fn another_node_starts_as_a_standby_and_is_promoted() {
    let mut bench = Bench::new(World::stopped_standby());
    assert_eq!(bench.order(lead(), 5_000).transcript(), ["start as a standby", "promote"]);
    assert_eq!(bench.server(), Server::Primary);
}

#[test]
fn a_running_standby_is_promoted() {
    let mut bench = Bench::new(World::running_standby());
    assert_eq!(bench.order(lead(), 5_000).transcript(), ["promote"]);
    assert_eq!(bench.server(), Server::Primary);
}

#[test]
fn a_stopped_standby_whose_primary_is_gone_comes_up_all_the_same_and_can_be_appointed() {
    let mut bench = Bench::new(World { upstream_up: false, ..World::stopped_standby() });
    assert_eq!(bench.order(follow(), 1_500).transcript(), ["compare histories", "start as a standby"]);
    assert_eq!(bench.server(), Server::Standby);
    assert_eq!(bench.world.server.as_ref().map(|server| server.follows.is_some()), Some(false), "nobody knows whether it may follow");
    bench.world.upstream_up = true;
    assert_eq!(bench.pass(5_000).transcript(), ["compare histories", "follow"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_primary_that_leads_is_left_alone_and_gets_its_slots() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 25_000);
    assert_eq!(bench.done, ["tend slots", "tend slots", "tend slots"]);
    assert_eq!(bench.news, ["rests"], "nothing of that is news");
}

#[test]
fn nothing_cannot_lead() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(lead(), 5_000).transcript(), nothing());
    assert!(bench.last().database.trouble.is_some());
}

#[test]
fn a_crash_is_reported_at_once_and_restarted_in_place_at_once() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000).transcript();
    let died = bench.now;
    bench.crash();
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::Stopped, 1));
    assert_eq!(bench.pass(100).transcript(), ["start as a primary"]);
    bench.pass(400);
    assert_eq!(bench.server(), Server::Primary);
    assert!(
        bench.reports.iter().any(|(at, report)| report.database.server == Server::Primary && at.since(died) < Duration::from_millis(400))
    );
}

#[test]
fn many_crashes_are_counted_and_slow_the_restarts_down() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 2_000);
    for deaths in 1..=3 {
        bench.crash();
        assert_eq!(bench.last().database.deaths, deaths);
        bench.pass(3_000);
        assert_eq!(bench.server(), Server::Primary, "after {deaths} deaths");
    }
    bench.pass(601_000);
    assert_eq!(bench.last().database.deaths, 0, "they are forgotten after ten minutes");
}

#[test]
fn a_server_that_dies_at_every_start_is_not_restarted_hot() {
    let mut bench = Bench::new(World { dies: true, ..World::stopped_primary() });
    bench.order(lead(), 90_000);
    let starts = bench.transcript().len();
    assert!((4..=8).contains(&starts), "{starts} starts in 90 seconds");
    assert!(bench.last().database.overdue, "all of it is one attempt to come up");
}

#[test]
fn a_long_start_is_overdue_and_goes_on() {
    let mut bench = Bench::new(World { start: 90_000, ..World::stopped_primary() });
    assert_eq!(bench.order(lead(), 59_000).transcript(), ["start as a primary"]);
    assert_eq!((bench.server(), bench.last().database.overdue), (Server::StartingPrimary, false));
    bench.pass(5_000);
    assert!(bench.last().database.overdue);
    bench.pass(30_000);
    assert_eq!((bench.server(), bench.last().database.overdue), (Server::Primary, false));
}

#[test]
fn a_primary_without_an_appointment_stops_and_comes_back_read_only() {
    for order in [Order::StandAlone, Order::Follow(upstream(false))] {
        let mut bench = Bench::new(World::running_primary());
        assert_eq!(bench.order(order, 5_000).transcript(), ["stop fast", "start as a standby"]);
        assert_eq!(bench.server(), Server::Standby);
    }
}

#[test]
fn a_standby_without_an_upstream_is_left_alone() {
    let mut bench = Bench::new(World::running_standby());
    assert_eq!(bench.order(Order::StandAlone, 20_000).transcript(), nothing());
}

#[test]
fn an_empty_directory_waits_for_a_promoted_primary_and_is_cloned_from_it() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(Order::StandAlone, 5_000).transcript(), nothing());
    assert_eq!(bench.order(Order::Follow(upstream(false)), 5_000).transcript(), nothing());
    assert!(bench.last().database.trouble.is_some());
    assert_eq!(bench.order(follow(), 8_000).transcript(), ["clone", "start as a standby"]);
    assert!(bench.last().database.streaming && bench.last().database.trouble.is_none(), "{:?}", bench.last());
}

#[test]
fn a_prefix_is_compared_and_started() {
    let mut bench = Bench::new(World::stopped_standby());
    assert_eq!(bench.order(follow(), 5_000).transcript(), ["compare histories", "start as a standby"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn what_diverged_is_kept_and_rewound() {
    let mut bench = Bench::new(World { fork: Fork::Diverged, ..World::stopped_primary() });
    let expected = ["compare histories", "preserve diverged log", "rewind", "start as a standby"];
    assert_eq!(bench.order(follow(), 10_000).transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn what_cannot_be_rewound_is_cloned() {
    let mut bench = Bench::new(World { fork: Fork::Diverged, rewind_works: false, ..World::stopped_primary() });
    let expected = ["compare histories", "preserve diverged log", "rewind", "clone", "start as a standby"];
    assert_eq!(bench.order(follow(), 20_000).transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn what_can_be_neither_compared_nor_kept_is_cloned_in_the_end() {
    let mut bench = Bench::new(World { comparable: false, keepable: false, ..World::stopped_primary() });
    bench.order(follow(), 60_000);
    let mut expected = ["compare histories"; 3].to_vec();
    expected.extend(["preserve diverged log"; 3]);
    expected.extend(["clone", "start as a standby"]);
    assert_eq!(bench.transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn what_diverged_and_cannot_be_kept_is_rewound_all_the_same() {
    let mut bench = Bench::new(World { fork: Fork::Diverged, keepable: false, ..World::stopped_primary() });
    bench.order(follow(), 60_000);
    let mut expected = ["compare histories"].to_vec();
    expected.extend(["preserve diverged log"; 3]);
    expected.extend(["rewind", "start as a standby"]);
    assert_eq!(bench.transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_standby_that_cannot_start_is_cloned_unless_a_copy_could_not_either() {
    let mut bench = Bench::new(World { dies: true, ..World::stopped_standby() });
    bench.order(follow(), 300_000);
    assert!(bench.transcript().contains(&"clone".into()));
    let excuse = "FATAL:  could not create any TCP/IP sockets";
    let mut bench = Bench::new(World { dies: true, excuse: Some(excuse), ..World::stopped_standby() });
    bench.order(follow(), 900_000);
    assert!(!bench.transcript().contains(&"clone".into()), "the port is in use for a copy, too");
    assert!(bench.last().database.trouble.as_ref().is_some_and(|trouble| trouble.contains(excuse)), "{:?}", bench.last());
    (bench.world.dies, bench.world.excuse) = (false, None);
    bench.pass(60_000);
    assert!(bench.last().database.streaming && bench.last().database.trouble.is_none());
}

#[test]
fn what_is_received_after_the_comparison_is_compared_before_another_is_followed() {
    let mut bench = Bench::new(World { receives_on: true, ..World::running_standby() });
    let expected = ["compare histories", "follow", "stop fast", "preserve diverged log", "clone", "start as a standby"];
    assert_eq!(bench.order(follow(), 20_000).transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_standby_that_was_let_go_and_followed_nobody_is_brought_back_to_its_primary() {
    let mut bench = Bench::new(World::running_standby());
    assert_eq!(bench.order(follow(), 20_000).transcript(), ["compare histories", "follow"]);
    assert!(bench.last().database.streaming);
    bench.order(Order::Follow(Upstream { epoch: Epoch(3), ..upstream(true) }), 0);
    let mut begun = Vec::new();
    for _ in 0..5_000 {
        begun.extend(bench.pass(1).transcript());
        if begun.last().is_some_and(|last| last == "follow") {
            break;
        }
    }
    assert_eq!(begun, ["compare histories", "follow"]);
    bench.world.upstream_up = false;
    bench.pass(1_000);
    assert!(!bench.last().database.streaming);
    bench.world.upstream_up = true;
    bench.order(follow(), 30_000);
    assert!(bench.last().database.streaming, "{:?}", bench.last());
}

#[test]
fn a_standby_whose_log_is_gone_upstream_is_cloned() {
    let mut bench = Bench::new(World { wal_removed: true, ..World::stopped_standby() });
    let expected = ["compare histories", "start as a standby", "stop fast", "clone", "start as a standby"];
    assert_eq!(bench.order(follow(), 20_000).transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_running_standby_is_turned_to_another_primary_without_a_stop() {
    let mut bench = Bench::new(World::running_standby());
    assert_eq!(bench.order(follow(), 5_000).transcript(), ["compare histories", "follow"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_running_standby_that_diverged_climbs_the_ladder() {
    let mut bench = Bench::new(World { fork: Fork::Diverged, ..World::running_standby() });
    let expected = ["compare histories", "stop fast", "preserve diverged log", "rewind", "start as a standby"];
    assert_eq!(bench.order(follow(), 20_000).transcript(), expected);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_timeline_of_the_same_number_is_never_streamed_onto_and_never_rewound() {
    let expected = ["preserve diverged log", "clone", "start as a standby"];
    let mut stopped = Bench::new(World { fork: Fork::Twin, ..World::stopped_primary() });
    let mut running = Bench::new(World { fork: Fork::Twin, ..World::running_standby() });
    for (bench, before) in [(&mut stopped, &["compare histories"][..]), (&mut running, &["compare histories", "stop fast"])] {
        assert_eq!(bench.order(follow(), 20_000).transcript(), [before, &expected].concat());
        assert!(bench.last().database.streaming);
    }
}

#[test]
fn nobody_is_followed_before_the_promotion_is_known() {
    let mut bench = Bench::new(World { fork: Fork::Twin, ..World::stopped_standby() });
    assert_eq!(bench.order(Order::Follow(upstream(false)), 5_000).transcript(), ["start as a standby"]);
    assert!(!bench.last().database.streaming);
    let mut bench = Bench::new(World::running_standby());
    assert_eq!(bench.order(Order::Follow(upstream(false)), 5_000).transcript(), nothing());
    assert_eq!(bench.order(follow(), 1_000).transcript(), ["compare histories", "follow"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn while_the_upstream_is_not_promoted_nothing_is_discarded() {
    let mut bench = Bench::new(World { fork: Fork::Diverged, ..World::stopped_standby() });
    assert_eq!(bench.order(Order::Follow(upstream(false)), 120_000).transcript(), ["start as a standby"]);
    assert!(bench.last().database.trouble.is_some());
}

#[test]
fn an_upstream_that_cannot_be_reached_costs_the_standby_nothing() {
    let mut bench = Bench::new(World { upstream_up: false, ..World::running_standby() });
    bench.order(follow(), 120_000);
    assert!(bench.transcript().iter().all(|line| line == "follow" || line == "compare histories"));
    assert_eq!(bench.server(), Server::Standby);
    bench.world.upstream_up = true;
    bench.pass(3_000);
    assert!(bench.last().database.streaming && bench.last().database.trouble.is_none());
}

#[test]
fn another_clusters_database_is_never_touched() {
    let foreign = Directory::Database { system_identifier: ANOTHER, timeline: Timeline(1) };
    for (world, order) in [
        (World::stopped_primary(), follow()),
        (World::stopped_standby(), follow()),
        (World::stopped_primary(), lead()),
        (World::stopped_standby(), lead()),
    ] {
        let mut bench = Bench::new(World { directory: foreign.clone(), ..world });
        assert_eq!(bench.order(order, 60_000).transcript(), nothing());
        let trouble = bench.last().database.trouble.clone().unwrap_or_default();
        assert!(trouble.contains("7001") && trouble.contains("9999"), "{trouble}");
    }
}

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
fn a_look_under_an_older_order_proves_nothing_about_a_newer_one() {
    let mut bench = Bench::new(World::stopped_primary());
    bench.pass(2_000);
    bench.order(Order::Stop, 0);
    assert_eq!((bench.last().order, bench.last().stopped), (0, None));
    bench.pass(10);
    assert_eq!(bench.last().order, 1);
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
