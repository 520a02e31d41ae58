//! The machine alone: facts in, orders out.

mod addresses;
mod candidates;
mod catching_up;
mod ending;
mod failovers;
mod following;
mod founding;
mod giving_up;
mod leases;
mod releases;
mod restarts;
mod switching;
mod switchovers;
mod telling;

use super::*;
use crate::fsm::{Refusal, Request};
use crate::model::{
    Boot, ClusterState, Command, Database, Directory, Endpoint, Health, LeaseGrant, LeaseTiming, Lsn, Member, NodeId, Position, Promotion,
    Proposal, RaftId, RequestId, Server, Settings, SystemIdentifier, Tags, Term, Timeline, WallClock,
};
use crate::pg::{Order, Reported, Stopped};
use crate::raft::{Fact, Gate, Leadership};
use alloc::boxed::Box;

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
        members: (1..=3).map(member).collect(),
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
        conditions: Vec::new(),
        deaths: 0,
        overdue: false,
    }
}

fn lead(epoch: u64) -> Order {
    Order::Lead { epoch: Epoch(epoch), system_identifier: OURS, least: None }
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
        bench.commit(Some(1), Command::Appoint { node: NodeId(primary), why: Why::default(), lost_at_least: None, at: None });
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
