//! The database shall be a standby.

use super::*;
use crate::pg::classify::{Consequence, LastWords};
use crate::pg::conditions;

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

fn died_of(text: &str, consequence: Consequence) -> World {
    World { dies: true, last_words: Some(LastWords { text: text.into(), consequence }), ..World::stopped_standby() }
}

#[test]
fn a_standby_that_cannot_start_is_cloned_only_for_what_a_copy_mends() {
    let mut bench = Bench::new(died_of("PANIC:  could not locate a valid checkpoint record", Consequence::Clone));
    bench.order(follow(), 60_000);
    assert!(bench.transcript().contains(&"clone".into()));
    for (text, consequence) in [
        ("FATAL:  could not create any TCP/IP sockets", Consequence::Operator),
        ("FATAL:  could not restore file \"00000002.history\" from archive: command not found", Consequence::Operator),
        ("FATAL:  words that nobody knows", Consequence::Retry),
    ] {
        let mut bench = Bench::new(died_of(text, consequence));
        bench.order(follow(), 900_000);
        let done = bench.transcript();
        assert!(!done.contains(&"clone".into()), "it is no matter of the directory: {done:?}");
        let starts = done.iter().filter(|line| *line == "start as a standby").count();
        assert!((25..=32).contains(&starts), "once in 30 s, not {starts} times in a quarter of an hour");
        assert!(bench.last().database.trouble.as_ref().is_some_and(|trouble| trouble.contains(text)), "{:?}", bench.last());
        (bench.world.dies, bench.world.last_words) = (false, None);
        bench.pass(60_000);
        assert!(bench.last().database.streaming && bench.last().database.trouble.is_none());
    }
    // Where the log cannot be read, nobody knows.
    let mut bench = Bench::new(World { dies: true, ..World::stopped_standby() });
    bench.order(follow(), 900_000);
    assert!(!bench.transcript().contains(&"clone".into()));
    assert!(bench.last().database.trouble.as_ref().is_some_and(|trouble| trouble.contains("log_destination")), "{:?}", bench.last());
}

/// F07: the copy brings the damage along.
#[test]
fn the_same_damage_is_cloned_once() {
    let mut bench = Bench::new(died_of("PANIC:  could not locate a valid checkpoint record", Consequence::Clone));
    bench.order(follow(), 3_600_000);
    assert_eq!(bench.transcript().iter().filter(|line| *line == "clone").count(), 1);
    let conditions = &bench.last().database.conditions;
    assert!(
        conditions.iter().any(|condition| condition.id == "clones-spent" && condition.text.contains("checkpoint record")),
        "{conditions:?}"
    );
    bench.world.dies = false;
    bench.pass(60_000);
    assert!(bench.last().database.streaming, "it is tried as it is");
    assert!(bench.last().database.conditions.is_empty());
}

/// The primary was restarted while it was copied, or the network broke: that has mended nothing.
#[test]
fn a_copy_that_was_broken_off_is_made_again() {
    let words = LastWords { text: "PANIC:  could not locate a valid checkpoint record".into(), consequence: Consequence::Clone };
    let mut bench = Bench::new(World { dies: true, last_words: Some(words), broken_copies: 3, ..World::stopped_standby() });
    bench.order(follow(), 3_600_000);
    assert_eq!(bench.transcript().iter().filter(|line| *line == "clone").count(), 4, "{:?}", bench.transcript());
    let conditions = &bench.last().database.conditions;
    assert!(conditions.iter().any(|condition| condition.id == "clones-spent"), "the whole one brought the damage along: {conditions:?}");
}

/// F05, security.md F4: neither a refused question nor a planted line ends a standby that streams.
#[test]
fn a_standby_that_streams_is_stopped_for_no_refusal_and_no_line_of_a_log() {
    for world in [World { refused: true, ..World::running_standby() }, World { planted: true, ..World::running_standby() }] {
        let mut bench = Bench::new(world);
        bench.order(follow(), 600_000);
        let done = bench.transcript();
        assert!(done.iter().all(|line| line == "compare histories" || line == "follow"), "{done:?}");
        assert!(done.len() < 40, "nobody asks without end: {}", done.len());
        assert_eq!(bench.server(), Server::Standby);
    }
    let mut bench = Bench::new(World { refused: true, ..World::running_standby() });
    bench.order(follow(), 60_000);
    let trouble = bench.last().database.trouble.clone().unwrap_or_default();
    assert!(trouble.contains("28P01"), "{trouble}");
    bench.world.refused = false;
    bench.pass(40_000);
    assert!(bench.last().database.streaming && bench.last().database.trouble.is_none(), "{:?}", bench.last());
}

/// A standby that is away while hints are planted is compared, and the comparison decides.
#[test]
fn a_planted_hint_is_asked_about_and_costs_nothing() {
    let mut bench = Bench::new(World { planted: true, upstream_up: false, ..World::stopped_standby() });
    bench.order(follow(), 120_000);
    bench.world.upstream_up = true;
    bench.pass(30_000);
    let done = bench.transcript();
    assert!(!done.iter().any(|line| line == "clone" || line == "rewind"), "{done:?}");
    assert!(bench.last().database.streaming);
}

/// What keeps the next rung from being taken keeps the server running.
#[test]
fn a_standby_is_not_stopped_for_a_clone_that_would_be_refused() {
    let mut bench = Bench::new(World { wal_removed: true, ..World::running_standby() });
    let barred = conditions::refusals::REPLICATION_REFUSED.seen("two:5432 refused (SQLSTATE 28P01)");
    bench.world.conditions.push(barred);
    bench.order(follow(), 120_000);
    assert!(!bench.transcript().contains(&"stop fast".into()));
    bench.world.conditions.clear();
    bench.pass(20_000);
    assert!(bench.transcript().contains(&"clone".into()));
    assert!(bench.last().database.streaming);
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
    assert_eq!(bench.order(follow(), 30_000).transcript(), expected);
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

/// A standby is worth more than a clone that cannot be made: once one was refused it serves on, and is stopped for the next try much later.
#[test]
fn a_clone_that_is_refused_does_not_stop_the_standby_again_and_again() {
    let mut bench = Bench::new(World { wal_removed: true, no_room: true, ..World::running_standby() });
    bench.order(follow(), 240_000);
    let done = bench.transcript();
    assert_eq!(done.iter().filter(|line| *line == "stop fast").count(), 1, "{done:?}");
    assert_eq!(bench.server(), Server::Standby);
    bench.world.no_room = false;
    bench.pass(200_000);
    assert!(bench.transcript().contains(&"clone".into()));
    assert!(bench.last().database.streaming);
}

#[test]
fn standbys_without_enough_room_are_restarted_one_after_the_other() {
    for (before, waits) in [(0, 0), (1, 5_000), (2, 10_000)] {
        let mut bench = Bench::new(World::running_standby());
        bench.order(follow(), 3_000).transcript();
        bench.world.hold = Some(Hold::Room { before });
        assert_eq!(bench.pass(waits).transcript(), nothing(), "{before} come before it");
        assert_eq!(bench.pass(5_000).transcript(), ["stop fast", "compare histories", "start as a standby"], "{before}");
        assert!(bench.last().database.streaming);
    }
}

#[test]
fn a_standby_that_cannot_be_told_to_follow_another_primary_is_restarted() {
    let mut bench = Bench::new(World { unaimable: true, ..World::running_standby() });
    let done = bench.order(follow(), 5_000).transcript();
    assert_eq!(done, ["compare histories", "follow", "stop fast", "compare histories", "start as a standby"]);
    assert!(bench.last().database.streaming);
}

#[test]
fn the_replay_of_a_switchovers_target_is_cleared_of_readers() {
    let mut bench = Bench::new(World { hold: Some(Hold::Readers), ..World::running_standby() });
    assert_eq!(bench.order(follow(), 3_000).transcript(), ["compare histories", "follow"], "nobody waits for it");
    bench.world.chosen = true;
    assert_eq!(bench.pass(3_000).transcript(), ["clear the replay"]);
}

#[test]
fn a_replay_that_stands_still_is_told_after_a_moment_and_one_that_is_done_is_not() {
    let mut bench = Bench::new(World { replayed: Some(Lsn(0x3000)), ..World::running_standby() });
    bench.order(follow(), 6_000);
    let told = |bench: &Bench| bench.last().database.conditions.iter().map(|condition| condition.id.clone()).collect::<Vec<_>>();
    assert_eq!(told(&bench), ["replay-stands-still"]);
    bench.world.replayed = Some(Lsn(0x4000));
    bench.pass(6_000);
    assert!(told(&bench).is_empty(), "{:?}", told(&bench));
    (bench.world.replayed, bench.world.hold) = (Some(Lsn(0x3f00)), Some(Hold::Rest));
    bench.pass(6_000);
    assert!(told(&bench).is_empty(), "the rest of a record has yet to come: {:?}", told(&bench));
    bench.world.hold = Some(Hold::Stopped);
    bench.pass(1_500);
    assert_eq!(told(&bench), ["replay-stands-still"], "a stopped process is seen at once");
}

/// One that was rewound waits for the rest of the log from a primary that is gone, and one that an overflowed snapshot keeps closed for a transaction
/// of that primary. Neither has a session.
#[test]
fn a_standby_that_lets_nobody_in_is_compared_and_told_whom_to_follow() {
    let mut bench = Bench::new(World { closed: true, ..World::running_standby() });
    assert_eq!(bench.order(follow(), 3_000).transcript(), ["compare histories", "follow"]);
    assert_eq!(bench.pass(60_000).transcript(), nothing(), "it is not stopped for taking its time");
    bench.world.closed = false;
    bench.pass(3_000);
    assert!(bench.last().database.streaming);
    let mut bench = Bench::new(World { closed: true, fork: Fork::Diverged, ..World::running_standby() });
    let expected = ["compare histories", "stop fast", "preserve diverged log", "rewind", "start as a standby"];
    assert_eq!(bench.order(follow(), 10_000).transcript(), expected, "what it waits for is nowhere any more");
    // While the primary cannot be asked nothing is stopped, however long that takes.
    let mut bench = Bench::new(World { closed: true, upstream_up: false, ..World::running_standby() });
    assert!(bench.order(follow(), 300_000).transcript().iter().all(|done| done == "compare histories"));
}
