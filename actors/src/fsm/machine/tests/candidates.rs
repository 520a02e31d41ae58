//! Whom the leader appoints, and whom it never does (D1, S11).

use super::*;
use crate::model::{Bar, Condition};
use crate::pg::conditions::copies::ANOTHER_HISTORY;

/// Node 2 leads and stands at 100, like node 3; node 1 is the primary, whose lease is over.
fn bench_after_the_lease(third: Database, tags: Tags) -> Bench {
    let mut bench = leader_with_two_standbys();
    let (node, boot, seq) = (NodeId(3), Boot(3), bench.now);
    let report = Report { node, boot, seq, epoch: Epoch(1), stopping: false, tags, database: Some(third) };
    bench.tell(Input::Observed { peer: node, health: Health::Green, report: Some(Box::new(report)) });
    bench.lead(true, Gate::Lapsed);
    bench
}

#[test]
fn the_position_outweighs_the_priority() {
    let tags = Tags { failover_priority: 900, ..Tags::default() };
    let mut bench = bench_after_the_lease(database(Server::Standby, 99), tags.clone());
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
    let mut bench = bench_after_the_lease(database(Server::Standby, 100), tags);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-lease".into())], "among equals it decides");
}

#[test]
fn a_condition_bars_a_promotion_or_leaves_it_as_the_last_choice() {
    let with = |bars, lsn| {
        let condition = Condition { id: "x".into(), bars, text: "its words".into() };
        bench_after_the_lease(
            Database { conditions: alloc::vec![condition], ..database(Server::Standby, lsn) },
            Tags { failover_priority: 900, ..Tags::default() },
        )
    };
    for (bars, lsn, appointed) in [
        (Bar::Promotion, 120, 2),
        (Bar::LastChoice, 100, 2),
        (Bar::LastChoice, 120, 2),
        (Bar::AmongEquals, 100, 2),
        (Bar::AmongEquals, 120, 3),
        (Bar::Streaming, 100, 3),
        (Bar::Nothing, 100, 3),
    ] {
        assert_eq!(with(bars, lsn).appointed(), [(NodeId(appointed), "fail-over-after-lease".into())], "{bars:?}");
    }
}

#[test]
fn a_node_that_is_tagged_nofailover_is_no_candidate() {
    let tags = Tags { nofailover: true, ..Tags::default() };
    let mut bench = bench_after_the_lease(database(Server::Standby, 120), tags);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}

/// The leader has just begun, and never heard of the primary how far it was.
#[test]
fn a_lag_counts_from_what_anybody_has_whether_or_not_that_node_may_be_appointed() {
    let mut bench = Bench::founded(2, 1);
    bench.commit(None, promoted(1, 2, 100));
    bench.report(database(Server::Standby, 100));
    let tags = Tags { nofailover: true, ..Tags::default() };
    let far = 101 + bench.state.settings.max_replication_lag;
    let (node, boot, seq) = (NodeId(3), Boot(3), bench.now);
    let report = |lsn, timeline| {
        let position = Some(Position { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        let database = Some(Database { position, ..database(Server::Standby, lsn) });
        Some(Box::new(Report { node, boot, seq: seq + lsn, epoch: Epoch(1), stopping: false, tags: tags.clone(), database }))
    };
    bench.tell(Input::Observed { peer: node, health: Health::Green, report: report(far, 2) });
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert_eq!(bench.appointed(), []);
    bench.tell(Input::Observed { peer: node, health: Health::Green, report: report(far + 1, 1) });
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())], "what diverged was never acknowledged");
}

#[test]
fn what_a_new_primary_has_written_before_its_promotion_is_committed_counts() {
    let mut bench = leader_with_two_standbys();
    let far = 101 + bench.state.settings.max_replication_lag;
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    let position = Some(Position { timeline: Timeline(2), lsn: Lsn(far) });
    bench.observe(1, Health::Green, Database { position, ..database(Server::Primary, far) }, 2);
    bench.commit(None, promoted(1, 2, 100));
    bench.observe(1, Health::Red, database(Server::Primary, 0), 1);
    bench.pass(60_000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), []);
}

#[test]
fn what_the_old_primary_had_written_does_not_count_against_who_follows_the_new_one() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 101 + bench.state.settings.max_replication_lag), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(3), why: Why::default(), lost_at_least: None, at: None });
    let position = Some(Position { timeline: Timeline(2), lsn: Lsn(110) });
    bench.observe(3, Health::Green, Database { position, ..database(Server::Primary, 110) }, 2);
    bench.commit(None, promoted(3, 2, 100));
    bench.observe(1, Health::Red, database(Server::Stopped, 0), 1);
    bench.observe(3, Health::Red, database(Server::Primary, 0), 1);
    bench.pass(60_000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}

#[test]
fn a_leader_that_begins_anew_counts_its_own_database_from_the_first_step_on() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: None, why: Why::default() });
    bench.machine = Machine::new(Config { boot: Boot(9), ..config(2) });
    bench.effects.clear();
    let gate = Gate::Released;
    let leadership = Leadership { term: Term(1), leader: Some(NodeId(2)), ready: true, appointing: false, gate, member: true };
    let third = Report {
        node: NodeId(3),
        boot: Boot(3),
        seq: 1,
        epoch: Epoch(1),
        stopping: false,
        tags: Tags::default(),
        database: Some(Database { streaming: false, ..database(Server::Standby, 90) }),
    };
    let own = Database { streaming: false, ..database(Server::Standby, 100) };
    let own = Reported { order: 0, database: own, founded: None, stopped: None };
    bench.tell(Input::Recalled(alloc::vec![
        Input::Raft(Fact::Committed { index: bench.index, state: Box::new(bench.state.clone()), ignored: None }),
        Input::Raft(Fact::Led(leadership)),
        Input::Observed { peer: NodeId(1), health: Health::Red, report: None },
        Input::Observed { peer: NodeId(3), health: Health::Green, report: Some(Box::new(third)) },
        Input::Reported(Box::new(own)),
    ]));
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-release".into())]);
}

/// Node 3 was promoted to timeline 3 by an earlier epoch, and node 1, which never heard of that, to another timeline 2.
#[test]
fn a_branch_that_was_given_up_is_no_candidate_however_high_its_timeline() {
    let given_up = |lsn| Database { position: Some(Position { timeline: Timeline(3), lsn: Lsn(lsn) }), ..database(Server::Standby, lsn) };
    let mut bench = leader_with_two_standbys();
    bench.observe(3, Health::Green, given_up(120), 1);
    bench.commit(None, promoted(1, 2, 100));
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
    let mut bench = leader_with_two_standbys();
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.observe(3, Health::Green, given_up(120), 2);
    bench.pass(5000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-lease".into())], "a promotion that is not committed yet");
}

/// It died, came back, and went on from where its log ended; this node had lost sight of it long before.
#[test]
fn how_far_a_primary_had_written_when_it_was_promoted_once_more_counts() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, promoted(1, 2, 101 + bench.state.settings.max_replication_lag));
    bench.observe(1, Health::Red, database(Server::Stopped, 0), 1);
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert_eq!(bench.appointed(), []);
}

/// Node 1 went on from there, node 3 was appointed after it and told nothing, and this node has just started.
#[test]
fn what_the_committed_history_tells_of_a_primary_before_counts_as_long_as_the_present_one_tells_nothing() {
    let started = |fork| {
        let mut bench = Bench::founded(2, 1);
        bench.commit(None, promoted(1, 2, fork));
        bench.commit(Some(1), Command::Appoint { node: NodeId(3), why: Why::default(), lost_at_least: None, at: None });
        bench.machine = Machine::new(config(2));
        bench.tell_state();
        bench.report(database(Server::Standby, 100));
        bench.lead(true, Gate::Lapsed);
        bench.pass(60_000);
        bench.appointed()
    };
    let far = 100 + Settings::default().max_replication_lag;
    assert_eq!(started(far), [(NodeId(2), "fail-over-after-lease".into())]);
    assert_eq!(started(far + 1), []);
}

#[test]
fn what_the_old_primary_had_written_does_not_count_once_the_promotion_of_the_new_one_is_committed() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 101 + bench.state.settings.max_replication_lag), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(3), why: Why::default(), lost_at_least: None, at: None });
    bench.commit(None, promoted(3, 2, 100));
    bench.observe(1, Health::Red, database(Server::Stopped, 0), 1);
    bench.observe(3, Health::Red, database(Server::Standby, 0), 2);
    bench.pass(60_000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}

#[test]
fn what_a_primary_had_written_does_not_count_any_more_once_another_one_was_promoted_unseen() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 101 + bench.state.settings.max_replication_lag), 1);
    bench.observe(1, Health::Red, database(Server::Stopped, 0), 1);
    let appoint = |node| Command::Appoint { node: NodeId(node), why: Why::default(), lost_at_least: None, at: None };
    for (term, command) in [(Some(Term(1)), appoint(3)), (None, promoted(3, 2, 100))] {
        let proposal = Proposal { by: NodeId(1), term, basis: bench.state.epoch, at: WallClock(0), command };
        assert_eq!(bench.state.apply(bench.index, Term(1), &proposal), crate::model::Applied::Done);
    }
    bench.commit(Some(1), appoint(1));
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert!(!bench.appointed().is_empty());
}

/// Raft died, and tells at first only what it finds on its disk.
#[test]
fn what_a_primary_had_written_counts_while_raft_catches_up_with_itself() {
    let mut bench = leader_with_two_standbys();
    let mut told = alloc::vec![bench.state.clone()];
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    told.push(bench.state.clone());
    bench.commit(None, promoted(1, 2, 100));
    bench.observe(1, Health::Green, database(Server::Primary, 101 + bench.state.settings.max_replication_lag), 2);
    bench.observe(1, Health::Red, database(Server::Stopped, 0), 2);
    told.push(bench.state.clone());
    for state in told {
        bench.state = state;
        bench.tell_state();
    }
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert_eq!(bench.appointed(), []);
}

/// Node 1 is primary again, went on from 100, told its peers so, and died before its promotion was committed. Node 2 followed it; node 3 has more
/// of the timeline before than node 1 went on from.
#[test]
fn a_promotion_that_was_told_to_the_peers_and_never_committed_counts() {
    let line = |promotions: &[(u32, u64)]| {
        let promotion = |(timeline, lsn): &(u32, u64)| Promotion { timeline: Timeline(*timeline), lsn: Lsn(*lsn), mark: None };
        promotions.iter().map(promotion).collect::<Vec<_>>()
    };
    let on = |server, timeline, lsn, promotions: &[(u32, u64)]| {
        let position = Some(Position { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        Database { position, lineage: line(promotions), streaming: false, ..database(server, lsn) }
    };
    let died = |third, told, successor: Option<u64>| {
        let mut bench = leader_with_two_standbys();
        bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
        bench.observe(1, Health::Green, on(Server::Primary, 2, 3 << 20, &[(1, 0), (2, 100)]), 2);
        if told {
            bench.commit(None, Command::Promoted { node: NodeId(1), lineage: line(&[(1, 0), (2, 100)]) });
        }
        bench.observe(1, Health::Red, on(Server::Stopped, 2, 0, &[]), 2);
        bench.report(database(Server::Standby, 90));
        bench.observe(3, Health::Green, third, 2);
        if let Some(node) = successor {
            bench.commit(Some(1), Command::Appoint { node: NodeId(node), why: Why::default(), lost_at_least: None, at: None });
        }
        bench.pass(5000);
        bench.lead(true, Gate::Lapsed);
        bench.appointed()
    };
    let before = |lsn| on(Server::Standby, 1, lsn, &[(1, 0)]);
    let follower = |lsn| on(Server::Standby, 2, lsn, &[(1, 0), (2, 100)]);
    // The successor, or node 1 once more, dies before it has told anything.
    for (told, successor) in [(true, None), (false, None), (true, Some(2)), (false, Some(2)), (false, Some(1))] {
        let beyond = died(before(3 << 20), told, successor);
        assert_eq!(beyond, [], "what it has beyond 100 is not what node 1 wrote; {told} {successor:?}");
        let appointed = died(follower(3 << 20), told, successor);
        assert_eq!(appointed, [(NodeId(3), "fail-over-after-lease".into())], "{told} {successor:?}");
    }
}

#[test]
fn a_standby_of_another_database_is_no_candidate() {
    let foreign = Directory::Database { system_identifier: SystemIdentifier(1), timeline: Timeline(1) };
    let mut bench = bench_after_the_lease(Database { directory: foreign, ..database(Server::Standby, 120) }, Tags::default());
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}

#[test]
fn after_a_release_candidates_that_still_stream_may_tell_their_last_position_first() {
    let mut bench = leader_with_two_standbys();
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: None, why: Why::default() });
    bench.lead(true, Gate::Released);
    bench.pass(400);
    assert_eq!(bench.appointed(), [], "node 3 still receives");
    bench.observe(3, Health::Green, database(Server::Standby, 120), 1);
    assert_eq!(bench.appointed(), []);
    bench.pass(200);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-release".into())]);
}

/// Node 1 was the last to stop, wrote until then, and all come back.
#[test]
fn an_old_primary_that_alone_has_everything_returns_instead_of_being_replaced() {
    let release = |lsn| Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: Some(Lsn(lsn)), why: Why::default() };
    let started = |end| {
        let mut bench = Bench::founded(2, 1);
        bench.commit(None, release(end));
        bench.report(Database { streaming: false, ..database(Server::Standby, 100) });
        bench.lead(true, Gate::Released);
        bench
    };
    assert_eq!(started(100).appointed(), [(NodeId(2), "fail-over-after-release".into())], "node 2 has everything");

    let mut bench = started(300);
    assert_eq!(bench.appointed(), [], "node 1 may be about to return");
    bench.observe(1, Health::Green, database(Server::Stopped, 300), 1);
    assert_eq!(bench.appointed(), [(NodeId(1), "return-to-the-complete".into())]);

    let mut bench = started(300);
    bench.pass(7000);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-release".into())], "it stays away, and node 2 is close enough");

    let mut bench = started(3 << 20);
    bench.pass(7000);
    assert_eq!(bench.appointed(), [], "what the release tells counts as much as a report: node 2 is too far behind");
}

/// A whole cluster is started again after a stop in which the primary had to be killed, and this node is the first to lead.
#[test]
fn after_a_release_that_tells_no_end_a_leader_that_never_heard_the_primary_hears_everybody_first() {
    let started = || {
        let mut bench = Bench::founded(2, 1);
        bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: None, why: Why::default() });
        bench.report(Database { streaming: false, ..database(Server::Standby, 100) });
        bench.lead(true, Gate::Released);
        bench.pass(1000);
        assert_eq!(bench.appointed(), [], "node 3 has not told where it stands");
        bench
    };
    let mut bench = started();
    bench.observe(3, Health::Green, database(Server::Standby, 120), 1);
    assert_eq!(bench.appointed(), [(NodeId(3), "fail-over-after-release".into())]);
    let mut bench = started();
    bench.pass(7000);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-release".into())], "it stays away");
}

/// Raft tells of a release before it tells that the gate is open because of it.
#[test]
fn what_is_released_is_not_taken_for_a_lease_that_is_merely_over() {
    let mut bench = Bench::founded(2, 1);
    bench.report(Database { streaming: false, ..database(Server::Standby, 100) });
    bench.lead(true, Gate::Lapsed);
    bench.pass(6000);
    assert_eq!(bench.appointed(), [], "node 3 has not told where it stands");
    bench.observe(1, Health::Green, database(Server::Stopped, 300), 1);
    bench.now += 1000;
    bench.commit(None, Command::Release { node: NodeId(1), timeline: Timeline(1), final_lsn: Some(Lsn(300)), why: Why::default() });
    assert_eq!(bench.appointed(), [(NodeId(1), "return-to-the-complete".into())]);
}

#[test]
fn an_old_primary_that_is_being_stopped_is_not_waited_for() {
    let mut bench = leader_with_two_standbys();
    let (node, boot, seq, tags) = (NodeId(1), Boot(1), bench.now, Tags::default());
    let report = Report { node, boot, seq, epoch: Epoch(1), stopping: true, tags, database: Some(database(Server::Stopped, 300)) };
    bench.tell(Input::Observed { peer: node, health: Health::Green, report: Some(Box::new(report)) });
    bench.commit(None, Command::Release { node, timeline: Timeline(1), final_lsn: Some(Lsn(300)), why: Why::default() });
    bench.lead(true, Gate::Released);
    bench.pass(600);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-release".into())]);
}

#[test]
fn a_copy_with_another_history_is_no_candidate_and_puts_nobody_too_far_behind() {
    let far = 101 + Settings::default().max_replication_lag;
    for conditions in [Vec::new(), alloc::vec![ANOTHER_HISTORY.seen("it goes up to 0/1")]] {
        let mut bench = leader_with_two_standbys();
        let lies = !conditions.is_empty();
        bench.observe(3, Health::Green, Database { conditions, ..database(Server::Standby, far) }, 1);
        bench.observe(1, Health::Red, database(Server::Primary, 100), 1);
        bench.lead(true, Gate::Lapsed);
        bench.pass(60_000);
        let wanted = if lies { NodeId(2) } else { NodeId(3) };
        assert_eq!(bench.appointed().first().map(|(node, _)| *node), Some(wanted), "{lies}");
    }
}

#[test]
fn a_position_beyond_belief_counts_for_nothing() {
    let mut bench = leader_with_two_standbys();
    bench.observe(3, Health::Green, database(Server::Standby, u64::MAX / 2), 1);
    bench.observe(1, Health::Red, database(Server::Primary, 100), 1);
    bench.lead(true, Gate::Lapsed);
    bench.pass(60_000);
    assert_eq!(bench.appointed().first().map(|(node, _)| *node), Some(NodeId(2)));
}
