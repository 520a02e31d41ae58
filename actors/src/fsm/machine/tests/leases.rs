//! The right to write: a primary has it by a lease that its guard holds, and is fenced before that ends.

use super::*;

#[test]
fn an_appointed_node_leads_only_once_the_guard_has_acknowledged_its_lease() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    assert_eq!(*bench.order(), Order::StandAlone, "appointed, without a lease");
    bench.grant();
    assert_eq!(*bench.order(), lead(1));
}

#[test]
fn a_lease_lasts_as_long_as_the_cluster_says_whatever_the_file_says() {
    let mut bench = Bench::born(1);
    bench.state.settings.lease_ttl_ms = 6000;
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.tell(Input::GuardFound { lease: None });
    let asked = bench.now + 150;
    bench.grant();
    assert_eq!(bench.machine.keeper.held().map(|(_, end)| end), Some(at(asked + 6000)));
}

#[test]
fn a_primary_whose_lease_is_not_renewed_is_fenced_before_the_lease_ends() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    let wake = bench.machine.wake_at().expect("a primary always has a deadline");
    assert!(wake <= at(bench.now + 2500));
    bench.pass(2500);
    assert_eq!(*bench.order(), Order::Fence);
    bench.report(database(Server::Stopped, 100));
    assert_eq!(*bench.order(), Order::StandAlone, "readable again, without the right to write");
}

fn asks_for_a_lease(bench: &mut Bench) -> bool {
    bench.effects.clear();
    bench.pass(600);
    bench.effects.iter().any(|effect| matches!(effect, Effect::Raft(raft::Order::RequestLease(_))))
}

#[test]
fn a_primary_that_cannot_use_its_lease_does_not_ask_for_it() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    assert!(asks_for_a_lease(&mut bench));
    let reason = "the disk gives errors".into();
    bench.report(Database { directory: Directory::Unusable { reason }, ..database(Server::Stopped, 100) });
    assert!(!asks_for_a_lease(&mut bench), "W after the last request somebody else may take over");
}

/// Its guard would end it, unless that is stopped.
#[test]
fn a_primary_that_still_stops_when_its_lease_is_over_is_fenced() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    bench.tell(Input::Stopped);
    bench.report(database(Server::Stopping, 100));
    assert_eq!(*bench.order(), Order::StepDown);
    bench.pass(2_600);
    assert_eq!(*bench.order(), Order::Fence);
}
