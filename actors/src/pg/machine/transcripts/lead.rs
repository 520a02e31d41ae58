//! The database shall be the primary.

use super::*;

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

/// An overflowed snapshot keeps it closed, and the transaction that it waits for has died with its primary.
#[test]
fn a_standby_that_lets_nobody_in_tells_how_far_it_is_and_is_promoted() {
    let mut bench = Bench::new(World { closed: true, ..World::running_standby() });
    bench.order(Order::StandAlone, 3_000);
    assert_eq!((bench.server(), bench.last().database.position.is_some()), (Server::Standby, true));
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
fn an_older_copy_leads_nobody_and_says_so() {
    for world in [World::stopped_primary(), World::running_standby()] {
        let mut bench = Bench::new(World { older: true, ..world });
        bench.order(lead(), 5_000);
        assert!(!bench.world.is_writable());
        let conditions = bench.last().database.conditions.clone();
        assert_eq!(conditions.iter().map(|condition| condition.id.as_str()).collect::<Vec<_>>(), ["older-copy"]);
        assert!(bench.last().database.trouble.is_some());
        bench.world.older = false;
        bench.pass(60_000);
        assert_eq!((bench.server(), bench.last().database.conditions.len()), (Server::Primary, 0), "the newer one was put back");
    }
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

/// Clients get 57P03 meanwhile, so whoever asks for the primary must not be sent here; and the lease goes on, since the server is not started anew.
#[test]
fn a_primary_that_recovers_in_place_is_on_its_way_up_and_has_died_once() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000).transcript();
    bench.world.crash = Some("server process (PID 7) was terminated by signal 9: Killed".into());
    bench.kill_a_backend(8_000).pass(1_500);
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::StartingPrimary, 1));
    let conditions = bench.last().database.conditions.clone();
    assert_eq!(conditions.iter().map(|condition| condition.id.as_str()).collect::<Vec<_>>(), ["recovers-in-place"]);
    assert!(conditions[0].text.contains("terminated by signal 9"), "{}", conditions[0].text);
    bench.pass(9_000);
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::Primary, 1));
    assert_eq!((bench.last().database.conditions.len(), bench.transcript()), (0, nothing()), "nobody touches it");
}

/// Most of them take a fraction of a second.
#[test]
fn a_recovery_in_place_between_two_looks_is_a_death_that_is_shown_at_once() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000);
    for deaths in 1..=3 {
        let begins = bench.reports.len();
        bench.kill_a_backend(0).pass(3_000);
        let shown =
            |(_, report): &(Timestamp, Reported)| (report.database.server, report.database.deaths) == (Server::StartingPrimary, deaths);
        assert!(bench.reports[begins..].iter().any(shown), "whoever decides about a server that dies again and again sees it at it");
        assert_eq!((bench.server(), bench.last().database.deaths), (Server::Primary, deaths));
    }
}

#[test]
fn a_recovery_in_place_that_takes_too_long_is_overdue_like_a_start() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000);
    bench.kill_a_backend(90_000).pass(58_000);
    assert!(!bench.last().database.overdue);
    bench.pass(5_000);
    assert_eq!((bench.server(), bench.last().database.overdue), (Server::StartingPrimary, true));
    bench.pass(40_000);
    assert_eq!((bench.server(), bench.last().database.overdue), (Server::Primary, false));
}

/// As with restart_after_crash = off, or with a log that cannot be replayed.
#[test]
fn a_server_that_ends_instead_of_recovering_in_place_has_died_once() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000).transcript();
    bench.kill_a_backend(90_000).pass(2_000);
    bench.crash();
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::Stopped, 1));
    assert_eq!(bench.pass(100).transcript(), ["start as a primary"], "at once");
    bench.pass(2_000);
    assert_eq!((bench.server(), bench.last().database.deaths), (Server::Primary, 1));
}

#[test]
fn an_adapter_that_finds_a_server_at_it_knows_what_it_does() {
    let mut world = World::running_primary();
    world.start = 0;
    let mut bench = Bench::new(world);
    bench.kill_a_backend(20_000);
    bench.machine = Machine::new(Timing::default());
    bench.order(lead(), 5_000);
    assert_eq!((bench.server(), bench.last().database.conditions.len()), (Server::StartingPrimary, 1));
}

#[test]
fn a_standby_that_recovers_in_place_is_no_standby_for_so_long_and_is_left_to_it() {
    let mut bench = Bench::new(World::running_standby());
    bench.order(follow(), 5_000).transcript();
    bench.kill_a_backend(30_000).pass(20_000);
    assert_eq!((bench.server(), bench.last().database.streaming), (Server::StartingStandby, false));
    bench.pass(15_000);
    assert!(bench.last().database.streaming);
    assert_eq!(bench.transcript(), nothing());
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
fn a_primarys_configuration_that_somebody_changed_is_written_again_once() {
    let mut bench = Bench::new(World::running_primary());
    bench.order(lead(), 5_000).transcript();
    bench.world.upkeep = Upkeep::Configure;
    assert_eq!(bench.pass(30_000).transcript(), ["write configuration"]);
    assert_eq!(bench.server(), Server::Primary);
}

/// PostgreSQL ends such a server itself when it is promoted.
#[test]
fn a_standby_without_enough_room_is_restarted_before_it_is_promoted() {
    let mut bench = Bench::new(World { hold: Some(Hold::Room { before: 2 }), ..World::running_standby() });
    assert_eq!(bench.order(lead(), 5_000).transcript(), ["stop fast", "start as a standby", "promote"]);
}
