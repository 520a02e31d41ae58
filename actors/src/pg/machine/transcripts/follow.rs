//! The database shall be a standby.

use super::*;

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

/// The receiver of a server whose programs were replaced cannot start again, whatever it is aimed at; the ladder has nothing to mend there.
#[test]
fn a_standby_whose_programs_were_replaced_is_started_anew_once_it_does_not_stream() {
    let mut bench = Bench::new(World::running_standby());
    bench.order(follow(), 5_000).transcript();
    bench.world.upkeep = Upkeep::Restart;
    assert_eq!(bench.pass(30_000).transcript(), nothing(), "as long as it streams it is left alone");
    bench.world.outdated = true;
    assert_eq!(bench.pass(8_000).transcript(), ["stop fast", "compare histories", "start as a standby"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn a_configuration_that_somebody_changed_is_written_again_where_the_server_is_what_it_shall_be() {
    let mut bench = Bench::new(World::running_standby());
    bench.world.upkeep = Upkeep::Configure;
    assert_eq!(bench.order(Order::StandAlone, 5_000).transcript(), nothing(), "whom it follows is not known");
    bench.order(follow(), 5_000);
    assert!(bench.transcript().ends_with(&["write configuration".into()]));
    assert!(bench.last().database.streaming);
}
