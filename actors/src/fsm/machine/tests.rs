//! The machine alone: facts in, orders out.

mod candidates;

use super::*;
use crate::fsm::{Refusal, Request};
use crate::model::{
    Boot, ClusterState, Command, Database, Directory, Endpoint, Health, LeaseGrant, LeaseTiming, Lsn, Member, NodeId, Position, Promotion,
    Proposal, RaftId, RequestId, Server, Settings, SystemIdentifier, Tags, Term, Timeline, WallClock,
};
use crate::pg::{Order, Reported, Stopped};
use crate::raft::{Fact, Gate, Leadership};
use alloc::boxed::Box;

mod catching_up;
mod switching;

const OURS: SystemIdentifier = SystemIdentifier(77);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn member(node: u64) -> Member {
    let endpoint = |port| Endpoint { host: alloc::format!("host{node}"), port };
    let name = alloc::format!("node{node}");
    Member { node: NodeId(node), raft_id: RaftId(node), name, witch: endpoint(7000), database: endpoint(5432), witness: false }
}

fn config(node: u64) -> Config {
    Config {
        node: NodeId(node),
        name: alloc::format!("node{node}"),
        witness: false,
        boot: Boot(node),
        started: at(0),
        started_at: WallClock(1_000_000),
        tags: Tags::default(),
        timing: LeaseTiming::default(),
        patience: Duration::from_secs(3),
        step_down_max: Duration::from_secs(30),
        catch_up_max: Duration::from_secs(5),
        start_max: Duration::from_secs(60),
        restarts_in_place: 2,
    }
}

/// The primary accepts writes on that timeline, which began there, after all of the timeline before it.
fn promoted(node: u64, timeline: u32, lsn: u64) -> Command {
    let promotion = Promotion { timeline: Timeline(timeline), lsn: Lsn(lsn), mark: None };
    Command::Promoted { node: NodeId(node), lineage: alloc::vec![promotion] }
}

fn database(server: Server, lsn: u64) -> Database {
    Database {
        directory: Directory::Database { system_identifier: OURS, timeline: Timeline(1) },
        server,
        position: Some(Position { timeline: Timeline(1), lsn: Lsn(lsn) }),
        lineage: Vec::new(),
        replayed: None,
        streaming: server == Server::Standby,
        operation: None,
        trouble: None,
        deaths: 0,
        overdue: false,
    }
}

/// A node with its machine, a clock, and everything that it has ordered since the last look.
struct Bench {
    machine: Machine,
    state: ClusterState,
    now: u64,
    index: u64,
    effects: Vec<Effect>,
}

impl Bench {
    /// A cluster of three whose database is founded and whose primary of epoch 1 is `primary`, seen by `node`.
    fn founded(node: u64, primary: u64) -> Self {
        let mut bench = Self::born(node);
        bench.commit(Some(1), Command::Appoint { node: NodeId(primary), why: Why::default(), lost_at_least: None });
        bench.commit(None, Command::Founded { node: NodeId(primary), system_identifier: OURS });
        bench.commit(None, promoted(primary, 1, 0));
        bench.tell(Input::GuardFound { lease: None });
        bench
    }

    fn born(node: u64) -> Self {
        let members = (1..=3).map(|node| (NodeId(node), member(node))).collect();
        let state = ClusterState::born("c".into(), members, Settings::default());
        let mut bench = Self { machine: Machine::new(config(node)), state, now: 10_000, index: 1, effects: Vec::new() };
        bench.tell_state();
        bench.lead(false, Gate::Closed);
        bench
    }

    fn tell(&mut self, input: Input) {
        let effects = self.machine.step(at(self.now), input);
        self.effects.extend(effects);
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        self.tell(Input::Woken);
    }

    fn tell_state(&mut self) {
        let state = Box::new(self.state.clone());
        self.tell(Input::Raft(Fact::Committed { index: self.index, state, ignored: None }));
    }

    fn commit(&mut self, term: Option<u64>, command: Command) {
        let proposal = Proposal { by: NodeId(1), term: term.map(Term), basis: self.state.epoch, at: WallClock(0), command };
        self.commit_proposal(&proposal);
    }

    fn commit_proposal(&mut self, proposal: &Proposal) {
        self.index += 1;
        let applied = self.state.apply(self.index, Term(1), proposal);
        assert_eq!(applied, crate::model::Applied::Done, "{proposal:?}");
        self.tell_state();
    }

    fn lead(&mut self, ready: bool, gate: Gate) {
        let leadership = Leadership { term: Term(1), leader: Some(NodeId(1)), ready, appointing: false, gate, member: true };
        self.tell(Input::Raft(Fact::Led(leadership)));
    }

    /// The adapter reports under the order in force.
    fn report(&mut self, database: Database) {
        self.report_with(database, None);
    }

    fn report_with(&mut self, database: Database, stopped: Option<Stopped>) {
        let order = self.machine.order_number;
        self.tell(Input::Reported(Box::new(Reported { order, database, founded: None, stopped })));
    }

    fn observe(&mut self, peer: u64, health: Health, database: Database, epoch: u64) {
        let tags = Tags::default();
        let (node, boot, seq) = (NodeId(peer), Boot(peer), self.now);
        let report = Report { node, boot, seq, epoch: Epoch(epoch), stopping: false, tags, database: Some(database) };
        self.tell(Input::Observed { peer: node, health, report: Some(Box::new(report)) });
    }

    /// Answers the newest lease request, and has the guard acknowledge.
    fn grant(&mut self) {
        self.pass(150);
        let request = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Raft(raft::Order::RequestLease(request)) => Some(*request),
            _ => None,
        });
        let request = request.expect("the primary asks for a lease");
        let grant = LeaseGrant { node: request.node, epoch: request.epoch, boot: request.boot, seq: request.seq };
        self.effects.clear();
        self.tell(Input::Raft(Fact::Leased(grant)));
        let guard = self.effects.iter().find_map(|effect| match effect {
            Effect::GuardLease { epoch, end } => Some((*epoch, *end)),
            _ => None,
        });
        let (epoch, end) = guard.expect("a grant goes to the guard first");
        self.tell(Input::LeaseGuarded { epoch, end });
    }

    fn order(&self) -> &Order {
        &self.machine.ordered.as_ref().expect("an order was given").order
    }

    fn proposals(&mut self) -> Vec<Proposal> {
        let proposals = self.effects.iter().filter_map(|effect| match effect {
            Effect::Raft(raft::Order::Propose(proposal)) => Some(proposal.clone()),
            _ => None,
        });
        let proposals = proposals.collect();
        self.effects.clear();
        proposals
    }

    fn appointed(&mut self) -> Vec<(NodeId, String)> {
        let appointments = self.proposals().into_iter().filter_map(|proposal| match proposal.command {
            Command::Appoint { node, why, .. } => Some((node, why.rule)),
            _ => None,
        });
        appointments.collect()
    }
}

#[test]
fn an_appointed_node_leads_only_once_the_guard_has_acknowledged_its_lease() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    assert_eq!(*bench.order(), Order::StandAlone, "appointed, without a lease");
    bench.grant();
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(1) });
}

/// Requests are numbered from one again in each life of the daemon: only the nonce tells a late grant to an earlier life apart.
#[test]
fn each_life_asks_for_its_lease_under_its_own_nonce() {
    for boot in [Boot(7), Boot(8)] {
        let mut bench = Bench::born(1);
        bench.machine = Machine::new(Config { boot, ..config(1) });
        bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None });
        let asked = bench.effects.iter().find_map(|effect| match effect {
            Effect::Raft(raft::Order::RequestLease(request)) => Some(request.boot),
            _ => None,
        });
        assert_eq!(asked, Some(boot));
    }
}

#[test]
fn a_lease_lasts_as_long_as_the_cluster_says_whatever_the_file_says() {
    let mut bench = Bench::born(1);
    bench.state.settings.lease_ttl_ms = 6000;
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None });
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

#[test]
fn a_restarted_daemon_takes_its_running_primary_over() {
    let mut bench = Bench::born(1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None });
    bench.commit(None, Command::Founded { node: NodeId(1), system_identifier: OURS });
    bench.report(database(Server::Primary, 100));
    assert_eq!(*bench.order(), Order::Watch, "the guard has not told yet what it holds");
    let end = at(bench.now + 2000);
    bench.tell(Input::GuardFound { lease: Some((Epoch(1), end)) });
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(1) });
    bench.pass(1500);
    assert_eq!(*bench.order(), Order::Fence, "the old lease is no better than any other");
}

#[test]
fn a_running_primary_is_left_to_the_guard_until_the_log_is_read() {
    let mut machine = Machine::new(config(1));
    machine.step(at(1000), Input::GuardFound { lease: Some((Epoch(1), at(3000))) });
    let reported = Reported { order: 0, database: database(Server::Primary, 100), founded: None, stopped: None };
    machine.step(at(1010), Input::Reported(Box::new(reported)));
    assert_eq!(machine.ordered.map(|ordered| ordered.order), Some(Order::Watch));
}

#[test]
fn a_writable_database_on_a_node_that_is_not_primary_is_fenced() {
    let mut bench = Bench::founded(1, 2);
    bench.report(database(Server::Primary, 100));
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_standby_follows_the_promoted_primary_and_rewinds_nothing_before_it_has_settled() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    let promotion = |bench: &Bench| match bench.order() {
        Order::Follow(upstream) => upstream.promotion,
        other => panic!("{other:?}"),
    };
    assert_eq!(promotion(&bench), None);
    bench.pass(600);
    assert!(promotion(&bench).is_some());
}

#[test]
fn a_foreign_database_is_left_alone() {
    let mut bench = Bench::founded(2, 1);
    let foreign = Directory::Database { system_identifier: SystemIdentifier(1), timeline: Timeline(1) };
    bench.effects.clear();
    bench.report(Database { directory: foreign, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Watch);
    let told = bench.effects.iter().find_map(|effect| match effect {
        Effect::Report(report) => report.database.as_ref()?.trouble.clone(),
        _ => None,
    });
    assert!(told.is_some_and(|trouble| trouble.contains("identifier is 1, and c has 77")));
}

fn leader_with_two_standbys() -> Bench {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    bench.observe(1, Health::Green, database(Server::Primary, 100), 1);
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    bench.lead(true, Gate::Closed);
    bench.pass(3000);
    bench.effects.clear();
    bench
}

#[test]
fn a_node_that_was_just_appointed_is_given_the_time_to_ask_for_its_lease() {
    let mut bench = leader_with_two_standbys();
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed().len(), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: None });
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
fn a_hung_primary_is_given_up_only_if_somebody_can_take_over() {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Hung, 100));
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(1) }, "nobody could take over");
    bench.observe(2, Health::Green, database(Server::Standby, 100), 1);
    assert_eq!(*bench.order(), Order::Fence);
}

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
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(1) });
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
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    assert_eq!(refusal(&mut bench, Some(3)), None);
    let proposals = bench.proposals();
    assert!(matches!(proposals.as_slice(), [Proposal { command: Command::BeginSwitchover { to: NodeId(3), .. }, .. }]), "{proposals:?}");
}

#[test]
fn a_request_is_brought_before_the_leader_until_the_state_has_it() {
    let mut bench = Bench::founded(2, 1);
    bench.effects.clear();
    bench.tell(Input::Requested { id: RequestId(4), request: Request::Pause });
    bench.pass(250);
    let asks = |bench: &Bench| bench.effects.iter().filter(|effect| matches!(effect, Effect::Raft(raft::Order::Ask { .. }))).count();
    assert_eq!(asks(&bench), 2);
    bench.commit(None, Command::Pause { id: RequestId(4), paused: true });
    bench.effects.clear();
    bench.pass(250);
    assert_eq!(asks(&bench), 0);
}

#[test]
fn the_founder_has_the_highest_priority_and_a_database_outweighs_that() {
    let empty = || Database { directory: Directory::Empty, position: None, ..database(Server::Stopped, 0) };
    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, empty(), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), [], "node 3 has not told yet");
    bench.observe(3, Health::Green, empty(), 0);
    assert_eq!(bench.appointed(), [(NodeId(1), "found-unpaused".into())]);

    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, empty(), 0);
    bench.observe(3, Health::Green, database(Server::Stopped, 100), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), [(NodeId(3), "found-unpaused".into())]);

    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, database(Server::Stopped, 100), 0);
    bench.observe(3, Health::Green, database(Server::Stopped, 100), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), []);
    assert_eq!(bench.machine.leader_rule, "founding-refused");
}

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

#[test]
fn a_status_is_stamped_at_least_four_times_a_second() {
    let mut bench = Bench::founded(2, 1);
    bench.effects.clear();
    for _ in 0..40 {
        bench.pass(50);
    }
    let stamps = bench.effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count();
    assert!(stamps >= 8, "{stamps}");
}

#[test]
fn a_step_that_stamps_nothing_does_not_put_the_next_stamp_off() {
    let mut bench = Bench::founded(2, 1);
    bench.pass(250);
    let stamped_at = bench.now;
    bench.now += 200;
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    assert!(bench.machine.wake_at() <= Some(at(stamped_at + 250)), "{:?}", bench.machine.wake_at());
}

#[test]
fn a_new_life_knows_what_the_old_one_was_told() {
    let bench = Bench::founded(1, 1);
    let facts = alloc::vec![
        Input::Raft(Fact::Committed { index: 4, state: Box::new(bench.state.clone()), ignored: None }),
        Input::GuardFound { lease: Some((Epoch(1), at(20_000))) },
    ];
    let mut reborn = Machine::new(Config { started: at(19_000), ..config(1) });
    reborn.step(at(19_000), Input::Recalled(facts));
    reborn.step(
        at(19_001),
        Input::Reported(Box::new(Reported { order: 0, database: database(Server::Primary, 100), founded: None, stopped: None })),
    );
    assert_eq!(reborn.ordered.map(|ordered| ordered.order), Some(Order::Lead { epoch: Epoch(1) }));
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
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(2) });
    bench.report(Database { deaths: 6, ..database(Server::Primary, 100) });
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(2) }, "it is well");
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
    assert_eq!(*bench.order(), Order::Lead { epoch: Epoch(1) }, "55 s with the lease and without a write");
    for _ in 0..9 {
        bench.grant();
        bench.pass(350);
    }
    bench.pass(1000);
    assert_eq!(*bench.order(), Order::Fence, "more than 60 s");
}

#[test]
fn what_the_old_primary_wrote_counts_until_the_new_one_writes() {
    let mut bench = leader_with_two_standbys();
    bench.observe(1, Health::Green, database(Server::Primary, 3 << 20), 1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: None });
    bench.pass(2000);
    bench.lead(true, Gate::Lapsed);
    assert_eq!(bench.appointed(), [], "node 3 lacks what node 1 had written");
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
fn after_a_power_failure_nobody_is_chosen_before_everybody_had_the_time_to_speak() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    bench.lead(true, Gate::Lapsed);
    bench.pass(3000);
    assert_eq!(bench.appointed(), [], "node 3 may be better");
    bench.pass(4000);
    assert_eq!(bench.appointed(), [(NodeId(2), "fail-over-after-lease".into())]);
}
