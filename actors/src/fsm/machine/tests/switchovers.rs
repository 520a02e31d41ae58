//! The leader's part in a switchover: whom it refuses, when it appoints the target, and when it calls the whole off.

use super::*;

#[test]
fn a_switchover_waits_until_the_target_has_the_end_of_the_log() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    let final_lsn = Some(Lsn(160));
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn, why: Why::default() });
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), []);
    bench.observe(3, Health::Green, database(Server::Standby, 160), 1);
    assert_eq!(bench.appointed(), [(NodeId(3), "complete-the-switchover".into())]);
}

#[test]
fn a_switchover_whose_target_stays_behind_returns_to_the_old_primary() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    let final_lsn = Some(Lsn(160));
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn, why: Why::default() });
    bench.lead(true, Gate::Released);
    bench.observe(1, Health::Green, database(Server::Stopped, 160), 1);
    bench.pass(5001);
    assert_eq!(bench.appointed(), [(NodeId(1), "return-from-switchover".into())]);
}

/// D5, seed 8001604: its disk may be put back meanwhile.
#[test]
fn a_primary_that_returns_is_appointed_for_what_it_had_released() {
    for position in [None, Some(Position { timeline: Timeline(1), lsn: Lsn(160) })] {
        let mut bench = leader_with_two_standbys();
        bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
        let final_lsn = Some(Lsn(160));
        bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn, why: Why::default() });
        bench.lead(true, Gate::Released);
        bench.observe(1, Health::Green, Database { position, ..database(Server::Stopped, 160) }, 1);
        bench.pass(5001);
        let appointment = bench.proposals().into_iter().find(|proposal| matches!(proposal.command, Command::Appoint { .. }));
        bench.commit_proposal(&appointment.expect("it returns"));
        assert_eq!(bench.state.least_to_lead().map(|least| least.lsn), Some(Lsn(160)), "{position:?}");
    }
}

#[test]
fn a_switchover_that_the_primary_does_not_carry_out_is_aborted() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    bench.pass(30_001);
    let proposals = bench.proposals();
    assert!(matches!(proposals.as_slice(), [Proposal { command: Command::AbortSwitchover { .. }, .. }]), "{proposals:?}");
}

#[test]
fn a_switchover_whose_target_dies_is_aborted_as_soon_as_that_is_known() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    bench.observe(3, Health::Yellow, database(Server::Standby, 100), 1);
    assert_eq!(bench.proposals(), [], "late is not dead");
    bench.observe(3, Health::Red, database(Server::Standby, 100), 1);
    let proposals = bench.proposals();
    assert!(matches!(proposals.as_slice(), [Proposal { command: Command::AbortSwitchover { .. }, .. }]), "{proposals:?}");
}

#[test]
fn a_leader_that_has_not_heard_from_everybody_yet_aborts_no_switchover() {
    let mut bench = leader_with_two_standbys();
    bench.lead(false, Gate::Closed);
    bench.observe(3, Health::Red, database(Server::Standby, 100), 1);
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    bench.lead(true, Gate::Closed);
    assert_eq!(bench.proposals(), []);
    bench.pass(2000);
    assert_eq!(bench.proposals().len(), 1);
}

#[test]
fn the_old_primary_returns_at_once_if_the_target_dies_after_the_release() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(3) });
    let final_lsn = Some(Lsn(160));
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn, why: Why::default() });
    bench.observe(1, Health::Green, database(Server::Stopped, 160), 1);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), []);
    bench.observe(3, Health::Red, database(Server::Standby, 100), 1);
    assert_eq!(bench.appointed(), [(NodeId(1), "return-from-switchover".into())]);
}

fn refusal(bench: &mut Bench, to: Option<u64>) -> Option<String> {
    bench.effects.clear();
    let request = Request::Switchover { to: to.map(NodeId) };
    bench.tell(Input::Raft(Fact::Asked { origin: NodeId(3), id: RequestId(4), request }));
    bench.effects.iter().find_map(|effect| match effect {
        Effect::Raft(raft::Order::Refuse { refusal: Refusal { rule, .. }, .. }) => Some(rule.clone()),
        _ => None,
    })
}

#[test]
fn a_switchover_to_a_node_that_cannot_take_over_is_refused_with_the_rule() {
    let mut bench = leader_with_two_standbys();
    assert_eq!(refusal(&mut bench, Some(9)).as_deref(), Some("switchover-to-a-member"));
    assert_eq!(refusal(&mut bench, Some(1)).as_deref(), Some("switchover-to-another"));
    bench.observe(3, Health::Red, database(Server::Standby, 100), 1);
    assert_eq!(refusal(&mut bench, Some(3)).as_deref(), Some("candidate-is-reachable"));
    bench.observe(3, Health::Green, database(Server::Stopped, 100), 1);
    assert_eq!(refusal(&mut bench, Some(3)).as_deref(), Some("candidate-answers"));
    bench.observe(3, Health::Green, Database { streaming: false, ..database(Server::Standby, 100) }, 1);
    assert_eq!(refusal(&mut bench, Some(3)).as_deref(), Some("switchover-to-a-streaming-standby"));
    let conditions = alloc::vec![pg::conditions::replay::STANDS_STILL.seen("it is frozen")];
    bench.observe(3, Health::Green, Database { conditions, ..database(Server::Standby, 100) }, 1);
    assert_eq!(refusal(&mut bench, Some(3)).as_deref(), Some("switchover-to-a-fit-standby"));
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    let conditions = alloc::vec![pg::conditions::files::NEXT_START.seen("pg_hba.conf:7: nonsense")];
    bench.observe(1, Health::Green, Database { conditions, ..database(Server::Primary, 100) }, 1);
    assert_eq!(refusal(&mut bench, Some(3)).as_deref(), Some("switchover-from-a-primary-that-would-start-again"));
    bench.observe(1, Health::Green, database(Server::Primary, 100), 1);
    assert_eq!(refusal(&mut bench, Some(3)), None);
    let proposals = bench.proposals();
    assert!(matches!(proposals.as_slice(), [Proposal { command: Command::BeginSwitchover { to: NodeId(3), .. }, .. }]), "{proposals:?}");
}
