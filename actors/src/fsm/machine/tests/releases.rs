//! The word of a primary that its epoch is over: proved, then recorded, then told, and never taken back (S8).

use super::*;

#[test]
fn a_release_is_proved_then_recorded_then_told() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    bench.report(Database { deaths: 3, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Fence);
    bench.effects.clear();
    let stopped = Stopped { timeline: Timeline(1), final_lsn: None };
    bench.report_with(Database { deaths: 3, ..database(Server::Stopped, 100) }, Some(stopped));
    assert!(bench.effects.contains(&Effect::RecordRelease { epoch: Epoch(1) }));
    assert_eq!(bench.proposals(), [], "not told before it is on disk");
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    let proposals = bench.proposals();
    assert!(matches!(proposals.as_slice(), [Proposal { command: Command::Release { node: NodeId(1), .. }, .. }]), "{proposals:?}");
    bench.commit_proposal(&proposals[0]);
    bench.pass(5000);
    let asks = bench.effects.iter().any(|effect| matches!(effect, Effect::Raft(raft::Order::RequestLease(_))));
    assert!(!asks, "never asks for that epoch again");
}

/// An earlier life of this machine had it recorded, and this one has taken up the lease meanwhile.
#[test]
fn a_release_is_not_told_before_the_order_to_lead_is_withdrawn() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    assert_eq!(*bench.order(), lead(1));
    bench.report(database(Server::Standby, 100));
    bench.effects.clear();
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    assert_eq!(*bench.order(), Order::Watch);
    assert_eq!(bench.proposals(), [], "its server may be about to be promoted");
    bench.report(database(Server::Standby, 100));
    assert!(matches!(bench.proposals().as_slice(), [Proposal { command: Command::Release { .. }, .. }]));
}

/// The folder with the record was lost between recording and telling.
#[test]
fn a_release_that_only_the_guard_remembers_is_recorded_again_and_told() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.effects.clear();
    bench.tell(Input::GuardRemembers { released: Epoch(1) });
    assert!(bench.effects.contains(&Effect::RecordRelease { epoch: Epoch(1) }));
    assert_eq!(bench.proposals(), [], "not told before it is on disk");
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    bench.report(database(Server::Standby, 100));
    assert!(matches!(bench.proposals().as_slice(), [Proposal { command: Command::Release { .. }, .. }]));
    bench.effects.clear();
    bench.pass(5000);
    assert!(!bench.effects.contains(&Effect::RecordRelease { epoch: Epoch(1) }));
}

#[test]
fn a_stale_proof_of_a_stop_proves_nothing() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    bench.report(Database { deaths: 3, ..database(Server::Stopped, 100) });
    bench.effects.clear();
    let order = bench.machine.order_number - 1;
    let stopped = Some(Stopped { timeline: Timeline(1), final_lsn: None });
    let database = Database { deaths: 3, ..database(Server::Stopped, 100) };
    bench.tell(Input::Reported(Box::new(Reported { order, database, founded: None, stopped })));
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::RecordRelease { .. })));
}

#[test]
fn there_is_no_way_back_once_a_release_may_be_on_disk() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    bench.pass(100);
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    assert_eq!(*bench.order(), Order::StepDown);
    bench.report_with(database(Server::Stopped, 160), Some(Stopped { timeline: Timeline(1), final_lsn: Some(Lsn(160)) }));
    bench.commit(None, Command::AbortSwitchover { id: RequestId(9), reason: "too late".into() });
    assert_eq!(*bench.order(), Order::StepDown, "never Lead again in this epoch");
    bench.effects.clear();
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    assert!(matches!(bench.proposals().as_slice(), [Proposal { command: Command::Release { .. }, .. }]));
}

#[test]
fn a_later_life_of_the_machine_still_tells_where_the_log_ended() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Stopped, 160));
    bench.tell(Input::ReleaseRecorded { epoch: Epoch(1) });
    bench.report(database(Server::Stopped, 160));
    let proposals = bench.proposals();
    assert!(
        matches!(proposals.as_slice(), [Proposal { command: Command::Release { final_lsn: Some(Lsn(160)), .. }, .. }]),
        "{proposals:?}"
    );
}
