//! A node whose log on disk ends before what it once had applied: the commit index may lag at a crash, the guard remembers.

use super::*;

/// Node 1 was appointed again after a failover to node 2 and back; its own log, at its restart, shows only the first `epochs` of the three.
fn restarted_with_a_lease_of_epoch_three(epochs: u64) -> (Bench, u64) {
    let mut bench = Bench::born(1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.commit(None, Command::Founded { node: NodeId(1), system_identifier: OURS });
    bench.commit(None, promoted(1, 1, 0));
    for epoch in 2..=epochs {
        appoint(&mut bench, 2 - epoch % 2);
    }
    bench.report(database(Server::Primary, 100));
    let end = bench.now + 2500;
    bench.tell(Input::GuardFound { lease: Some((Epoch(3), at(end))) });
    (bench, end)
}

fn appoint(bench: &mut Bench, node: u64) {
    bench.commit(Some(1), Command::Appoint { node: NodeId(node), why: Why::default(), lost_at_least: None, at: None });
}

#[test]
fn a_primary_whose_guard_has_not_told_yet_is_not_made_to_follow() {
    let mut bench = Bench::born(1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: None, at: None });
    bench.commit(None, Command::Founded { node: NodeId(2), system_identifier: OURS });
    bench.commit(None, promoted(2, 1, 0));
    bench.report(database(Server::Primary, 100));
    assert_eq!(*bench.order(), Order::Watch);
    bench.tell(Input::GuardFound { lease: None });
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_primary_whose_log_names_somebody_else_in_an_earlier_epoch_is_not_touched() {
    let (mut bench, _) = restarted_with_a_lease_of_epoch_three(2);
    assert_eq!(*bench.order(), Order::Watch);
    assert_eq!(bench.machine.node_rule, "await-the-log");
    appoint(&mut bench, 1);
    assert_eq!(*bench.order(), lead(3), "the log has caught up");
}

#[test]
fn a_primary_whose_log_names_it_in_an_earlier_epoch_is_not_touched() {
    let (mut bench, _) = restarted_with_a_lease_of_epoch_three(1);
    assert_eq!(*bench.order(), Order::Watch);
    appoint(&mut bench, 2);
    assert_eq!(*bench.order(), Order::Watch);
    appoint(&mut bench, 1);
    assert_eq!(*bench.order(), lead(3));
}

#[test]
fn a_lease_that_the_log_never_explains_protects_nobody_beyond_its_end() {
    let (mut bench, end) = restarted_with_a_lease_of_epoch_three(2);
    let wake = bench.machine.wake_at().expect("there is always a deadline");
    assert!(wake <= at(end - 500));
    bench.pass(1_999);
    assert_eq!(*bench.order(), Order::Watch);
    bench.pass(1);
    assert_eq!(*bench.order(), Order::Fence, "the guard's margin has begun");
}

#[test]
fn a_log_that_has_gone_on_to_a_later_epoch_ends_the_old_lease() {
    let (mut bench, _) = restarted_with_a_lease_of_epoch_three(3);
    assert_eq!(*bench.order(), lead(3));
    appoint(&mut bench, 2);
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_lease_that_is_given_up_on_disk_protects_nobody() {
    let (mut bench, _) = restarted_with_a_lease_of_epoch_three(2);
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(3) });
    assert_eq!(*bench.order(), Order::Fence);
}

/// The log is read anew when consensus is restarted inside a living daemon.
#[test]
fn a_log_that_is_read_anew_and_ends_earlier_does_not_fence_a_leading_primary() {
    let (mut bench, _) = restarted_with_a_lease_of_epoch_three(2);
    let earlier = bench.state.clone();
    appoint(&mut bench, 1);
    assert_eq!(*bench.order(), lead(3));
    let whole = core::mem::replace(&mut bench.state, earlier);
    bench.tell_state();
    assert_eq!(*bench.order(), Order::Watch);
    bench.state = whole;
    bench.tell_state();
    assert_eq!(*bench.order(), lead(3));
}
