//! A node that is told to end.

use super::*;

#[test]
fn a_node_that_is_told_to_end_hands_over_records_tells_and_exits() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    bench.tell(Input::Stopped);
    assert!(bench.effects.contains(&Effect::Raft(raft::Order::HandOver)));
    assert_eq!(*bench.order(), Order::StepDown);
    bench.report_with(database(Server::Stopped, 160), Some(Stopped { timeline: Timeline(1), final_lsn: Some(Lsn(160)) }));
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    let proposals = bench.proposals();
    bench.commit_proposal(&proposals[0]);
    assert!(bench.effects.contains(&Effect::Exit));
}

/// D1: whoever does not know where its timeline began cannot tell who has what was written on it.
#[test]
fn a_promotion_that_nobody_heard_of_is_told_while_the_primary_steps_down() {
    let mut bench = Bench::founded(1, 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.report(database(Server::Standby, 100));
    bench.grant();
    let second = Promotion { timeline: Timeline(2), lsn: Lsn(100), mark: None };
    let promoted = Database { lineage: alloc::vec![second], ..database(Server::Primary, 120) };
    let told = |bench: &mut Bench| bench.proposals().iter().any(|proposal| matches!(proposal.command, Command::Promoted { .. }));
    bench.report(promoted.clone());
    assert!(told(&mut bench), "which the network loses");
    bench.tell(Input::Stopped);
    assert_eq!(*bench.order(), Order::StepDown);
    bench.effects.clear();
    bench.report(promoted);
    bench.pass(1000);
    assert!(told(&mut bench));
}

#[test]
fn a_node_that_is_told_to_end_does_not_wait_for_a_quorum_that_is_gone() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    bench.tell(Input::Stopped);
    bench.report_with(database(Server::Stopped, 160), Some(Stopped { timeline: Timeline(1), final_lsn: Some(Lsn(160)) }));
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    bench.tell(Input::Raft(Fact::Led(Leadership { leader: None, ..Leadership::default() })));
    bench.pass(2_900);
    assert!(!bench.effects.contains(&Effect::Exit), "an election may be under way");
    bench.pass(200);
    assert!(bench.effects.contains(&Effect::Exit));
}
