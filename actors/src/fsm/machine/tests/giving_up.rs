//! A primary whose database cannot go on gives its right to write up, if somebody can take over.

use super::*;
use crate::pg::conditions::copies::OLDER_COPY;

#[test]
fn a_hung_primary_is_given_up_only_if_somebody_can_take_over() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Hung, 100));
    assert_eq!(*bench.order(), lead(1), "nobody could take over");
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_primary_with_an_unusable_directory_releases_if_somebody_can_take_over() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    let reason = "the disk gives errors".into();
    bench.report(Database { directory: Directory::Unusable { reason }, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn deaths_before_the_appointment_and_of_a_server_that_is_well_again_do_not_count() {
    let mut bench = Bench::founded(1, 2);
    bench.report(Database { deaths: 3, ..database(Server::Standby, 100) });
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.observe(2, Health::Green, database(Server::Standby, 100), 2);
    bench.grant();
    assert_eq!(*bench.order(), lead(2));
    bench.report(Database { deaths: 6, ..database(Server::Primary, 100) });
    assert_eq!(*bench.order(), lead(2), "it is well");
    bench.report(Database { deaths: 6, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Fence, "the third death in office");
}

/// A recovery in place is shown as a start, with its death, however short it was.
#[test]
fn a_primary_that_recovers_in_place_keeps_its_right_until_it_has_died_too_often() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    bench.grant();
    for deaths in 1..=2 {
        bench.report(Database { deaths, ..database(Server::StartingPrimary, 100) });
        assert_eq!(*bench.order(), lead(1), "{deaths} deaths are borne in place");
        bench.report(Database { deaths, ..database(Server::Primary, 100) });
        assert_eq!(*bench.order(), lead(1));
    }
    bench.report(Database { deaths: 3, ..database(Server::StartingPrimary, 100) });
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_primary_that_does_not_come_up_in_time_is_given_up_if_somebody_can_take_over() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    bench.report(Database { overdue: true, ..database(Server::StartingPrimary, 100) });
    assert_eq!(*bench.order(), Order::Fence, "the adapter finds its start overdue");

    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    for _ in 0..110 {
        bench.grant();
        bench.pass(350);
    }
    assert_eq!(*bench.order(), lead(1), "55 s with the lease and without a write");
    for _ in 0..9 {
        bench.grant();
        bench.pass(350);
    }
    bench.pass(1000);
    assert_eq!(*bench.order(), Order::Fence, "more than 60 s");
}

/// A server that comes up says nothing of how far its log is. To give it up for a standby that lacks too much, and to start it again because of that
/// once it has stopped, would go on for ever.
#[test]
fn a_primary_that_does_not_come_up_in_time_goes_on_if_everybody_else_is_too_far_behind() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    bench.report(database(Server::Stopped, 100 + 2 * Settings::default().max_replication_lag));
    assert_eq!(*bench.order(), lead(1));
    let comes_up = Database { overdue: true, position: None, ..database(Server::StartingPrimary, 0) };
    bench.report(comes_up.clone());
    assert_eq!(*bench.order(), lead(1), "node 2 may not be appointed");
    bench.observe(2, Health::Green, database(Server::Standby, 100 + 2 * Settings::default().max_replication_lag), 2);
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn an_older_copy_in_the_place_of_the_primarys_database_is_given_up_and_not_appointed_again() {
    let older = || alloc::vec![OLDER_COPY.seen("it ends at 0/32")];
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(Database { conditions: older(), ..database(Server::Stopped, 50) });
    assert_eq!(*bench.order(), lead(1), "nobody could take over");
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    assert_eq!(*bench.order(), Order::Fence);

    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: Some(Lsn(50)), why: Why::default() });
    for node in [2, 3] {
        let untaken = database(Server::Stopped, 100);
        if node == 2 { bench.report(untaken) } else { bench.observe(node, Health::Green, untaken, 1) }
    }
    bench.observe(1, Health::Green, Database { conditions: older(), ..database(Server::Stopped, 50) }, 1);
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert_eq!(bench.appointed(), []);
}

#[test]
fn the_order_to_lead_says_what_the_database_must_hold() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 200));
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: Some(Lsn(200)), why: Why::default() });
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: Some(0), at: None });
    bench.grant();
    let least = Some(Position { timeline: Timeline(1), lsn: Lsn(200) });
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(2), system_identifier: OURS, least });
}

/// Node 1 is appointed after node 2, and its server is told to accept writes. Node 3 stands at 100.
fn appointed_with_a_rival() -> Bench {
    let mut bench = Bench::founded(1, 2);
    bench.report(database(Server::Standby, 100));
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.observe(3, Health::Green, database(Server::Standby, 100), 2);
    bench.grant();
    bench.pass(350);
    bench.report(promoting(60));
    assert_eq!(*bench.order(), lead(2));
    bench
}

fn promoting(replayed: u64) -> Database {
    Database { replayed: Some(Lsn(replayed)), ..database(Server::StartingPrimary, 100) }
}

#[test]
fn a_promotion_that_replays_nothing_is_given_up_within_seconds_and_one_that_goes_on_is_not() {
    let mut bench = appointed_with_a_rival();
    for replayed in 61..=90 {
        bench.grant();
        bench.pass(350);
        bench.report(promoting(replayed));
        assert_eq!(*bench.order(), lead(2), "it replays");
    }
    for _ in 0..3 {
        bench.grant();
        bench.pass(350);
    }
    assert_eq!(*bench.order(), lead(2), "for less than 1.5 s it has replayed nothing");
    bench.pass(100);
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_promotion_whose_replay_is_known_to_stand_still_is_given_up_at_once() {
    let mut bench = appointed_with_a_rival();
    let conditions = alloc::vec![pg::conditions::replay::STANDS_STILL.seen("the process that replays is stopped")];
    bench.report(Database { conditions, ..promoting(100) });
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_promotion_that_stands_still_goes_on_if_nobody_else_is_ready() {
    let mut bench = appointed_with_a_rival();
    let conditions = alloc::vec![pg::conditions::replay::STANDS_STILL.seen("the process that replays is stopped")];
    bench.observe(3, Health::Green, Database { conditions, ..database(Server::Standby, 100) }, 2);
    for _ in 0..20 {
        bench.grant();
        bench.pass(350);
    }
    assert_eq!(*bench.order(), lead(2), "the other one stands still as well");
    bench.observe(3, Health::Green, database(Server::Standby, 100), 2);
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn after_appointments_in_vain_a_promotion_gets_more_time() {
    let mut bench = appointed_with_a_rival();
    bench.commit(Some(1), Command::Appoint { node: NodeId(3), why: Why::default(), lost_at_least: None, at: None });
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.observe(3, Health::Green, database(Server::Standby, 100), 4);
    bench.grant();
    bench.pass(350);
    bench.report(promoting(60));
    for _ in 0..11 {
        bench.grant();
        bench.pass(350);
    }
    assert_eq!(*bench.order(), lead(4), "two came to nothing, so it has 6 s");
    bench.grant();
    bench.pass(350);
    bench.pass(350);
    assert_eq!(*bench.order(), Order::Fence);
}
