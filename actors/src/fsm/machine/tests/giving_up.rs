//! A primary whose database cannot go on gives its right to write up, if somebody can take over.

use super::*;

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
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None });
    bench.observe(2, Health::Green, database(Server::Standby, 100), 2);
    bench.grant();
    assert_eq!(*bench.order(), lead(2));
    bench.report(Database { deaths: 6, ..database(Server::Primary, 100) });
    assert_eq!(*bench.order(), lead(2), "it is well");
    bench.report(Database { deaths: 6, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Fence, "the third death in office");
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
