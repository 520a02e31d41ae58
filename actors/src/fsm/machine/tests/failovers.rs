//! A primary is replaced once its lease is over for certain, and not by just anybody.

use super::*;

#[test]
fn a_node_that_was_just_appointed_is_given_the_time_to_ask_for_its_lease() {
    let mut bench = leader_with_two_standbys();
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed().len(), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: None, at: None });
    bench.pass(1000);
    assert_eq!(bench.appointed(), [], "it has asked for nothing yet, so no lease of it need run out; but it is no reason to replace it");
    bench.pass(1000);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-lease".into())]);
}

#[test]
fn nobody_is_appointed_while_the_lease_may_be_valid_however_red_the_primary_looks() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Red, database(Server::Primary, 100), 1);
    bench.pass(60_000);
    assert_eq!(bench.appointed(), []);
}

#[test]
fn the_best_position_is_appointed_once_the_lease_is_over_for_certain() {
    let mut bench = leader_with_two_standbys();
    bench.observe(3, Health::Green, database(Server::Standby, 120), 1);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-lease".into())]);
}

#[test]
fn among_equals_the_priority_decides_and_then_the_lowest_node() {
    let mut bench = leader_with_two_standbys();
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}

#[test]
fn a_standby_beyond_the_allowed_lag_is_no_candidate() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 3 << 20), 1);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), []);
    assert_eq!(bench.machine.leader_rule, "no-candidate");
}

#[test]
fn a_diverged_standby_is_no_candidate() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, promoted(1, 2, 90));
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [], "both wrote past the point where timeline 2 began");
    bench.observe(3, Health::Green, database(Server::Standby, 90), 1);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-lease".into())]);
}

#[test]
fn a_pause_holds_the_failover() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::Pause { id: RequestId(1), paused: true });
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), []);
    bench.commit(None, Command::Pause { id: RequestId(2), paused: false });
    assert_eq!(bench.appointed().len(), 1);
}

#[test]
fn a_leader_that_is_not_ready_decides_nothing() {
    let mut bench = leader_with_two_standbys();
    bench.lead(false, Gate::Lapsed);
    assert_eq!(bench.appointed(), []);
}

#[test]
fn what_the_old_primary_wrote_counts_until_the_new_one_writes() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 3 << 20), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: None, at: None });
    bench.pass(2000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [], "node 3 lacks what node 1 had written");
}

#[test]
fn after_a_power_failure_nobody_is_chosen_before_everybody_had_the_time_to_speak() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    bench.lead(true, Gate::Lapsed);
    bench.pass(3000);
    assert_eq!(bench.appointed(), [], "node 3 may be better");
    bench.pass(4000);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}
