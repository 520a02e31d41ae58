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
