//! Facts in, text out. A status makes the journey that it makes in truth: as JSON. `BLESS=1` rewrites the golden answers; commit that only if
//! you can explain it.

use super::{history, members};
use actors::machine::Timestamp;
use actors::model::{
    Boot, ClusterState, Database, Directory, Endpoint, Epoch, Event, EventKind, Health, LeaseStatus, Lsn, Member, MemberStatus, NodeId,
    Operation, Position, Primary, Promotion, RaftId, Release, Report, RequestId, Role, Server, Settings, Status, Switchover,
    SystemIdentifier, Tags, Term, Timeline, WallClock, Why,
};
use jiff::tz::{Offset, TimeZone};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/view/testdata").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name}");
}

fn shown(status: &Status, lease_left: Option<Duration>) -> String {
    let json = serde_json::to_string(status).unwrap();
    let received = serde_json::from_str::<Status>(&json).unwrap();
    assert_eq!(&received, status, "JSON loses something");
    members::render(&received, lease_left)
}

fn name(node: u64) -> String {
    ["a", "b", "c", "d", "e"][usize::try_from(node - 1).unwrap()].into()
}

fn database(role: Role) -> Database {
    Database {
        directory: Directory::Database { system_identifier: SystemIdentifier(7), timeline: Timeline(2) },
        server: if role == Role::Primary { Server::Primary } else { Server::Standby },
        position: Some(Position { timeline: Timeline(2), lsn: Lsn(0x500_0148) }),
        lineage: Vec::new(),
        replayed: None,
        streaming: role == Role::Standby,
        operation: None,
        trouble: None,
        conditions: Vec::new(),
        deaths: 0,
        overdue: false,
    }
}

fn member(node: u64) -> MemberStatus {
    let role = if node == 1 { Role::Primary } else { Role::Standby };
    let report = Report {
        node: NodeId(node),
        boot: Boot(9),
        seq: 1,
        epoch: Epoch(4),
        stopping: false,
        tags: Tags::default(),
        database: Some(database(role)),
    };
    MemberStatus {
        node: NodeId(node),
        name: name(node),
        health: Health::Green,
        role,
        report: Some(report),
        report_age_ms: Some(300),
        lag_bytes: Some(if node == 1 { 0 } else { 1536 }),
    }
}

/// Three nodes of which `a` is the primary and nothing is the matter, seen by `b`.
pub(crate) fn healthy() -> Status {
    let endpoint = |port| Endpoint { host: "h".into(), port };
    let record = |node| Member {
        node: NodeId(node),
        raft_id: RaftId(node),
        name: name(node),
        witch: endpoint(1),
        database: endpoint(2),
        witness: false,
    };
    let records = (1..=3).map(|node| (NodeId(node), record(node))).collect();
    let mut state = ClusterState::born("main".into(), records, Settings::default());
    state.epoch = Epoch(4);
    let promoted = Some(Promotion { timeline: Timeline(2), lsn: Lsn(0x300_0000), mark: None });
    state.primary = Some(Primary { node: NodeId(1), epoch: Epoch(4), appointed_at: WallClock(0), was_at: None, promoted, released: None });
    Status {
        at: Timestamp::from_micros(5_000_000),
        node: NodeId(2),
        name: "b".into(),
        role: Role::Standby,
        database: None,
        lease: LeaseStatus::default(),
        writable: false,
        readable: true,
        term: Term(7),
        leader: Some(NodeId(1)),
        members: (1..=3).map(member).collect(),
        state: Some(state),
        decisions: Vec::new(),
        waiting_for: None,
    }
}

fn state(status: &mut Status) -> &mut ClusterState {
    status.state.as_mut().unwrap()
}

fn database_of(status: &mut Status, node: usize) -> &mut Database {
    status.members[node - 1].report.as_mut().unwrap().database.as_mut().unwrap()
}

#[test]
fn a_healthy_cluster_is_shown_at_a_glance() {
    assert_golden("healthy.txt", &shown(&healthy(), Some(Duration::from_millis(2440))));
}

#[test]
fn everything_unusual_about_a_member_stands_in_its_note() {
    let mut status = healthy();
    *database_of(&mut status, 2) = Database {
        server: Server::StartingStandby,
        streaming: false,
        operation: Some(Operation { name: "clone".into(), percent: Some(42), detail: "512.0 MiB of 1.2 GiB".into() }),
        deaths: 2,
        ..database(Role::Standby)
    };
    let report = status.members[2].report.as_mut().unwrap();
    report.tags.nofailover = true;
    report.stopping = true;
    *database_of(&mut status, 3) =
        Database { server: Server::Hung, trouble: Some("does not answer SELECT 1".into()), ..database(Role::Standby) };
    status.members[2].report_age_ms = Some(12_000);
    status.members[2].health = Health::Yellow;
    state(&mut status).paused = true;
    let begun_at = WallClock(0);
    state(&mut status).switchover = Some(Switchover { id: RequestId(5), from: NodeId(1), epoch: Epoch(4), to: NodeId(3), begun_at });
    status.waiting_for = Some("the clone to end".into());
    assert_golden("unusual.txt", &shown(&status, None));
}

#[test]
fn a_lost_majority_is_told_in_words() {
    let mut status = healthy();
    status.leader = None;
    for member in [0, 2] {
        status.members[member].health = Health::Red;
        status.members[member].report_age_ms = Some(150_000);
    }
    status.members[2].report = None;
    assert_golden("no-majority.txt", &shown(&status, None));
}

#[test]
fn each_way_of_having_no_primary_is_told_apart() {
    let line = |change: fn(&mut Status)| {
        let mut status = healthy();
        change(&mut status);
        shown(&status, None).lines().nth(1).unwrap().trim().to_string()
    };
    assert_eq!(line(|_| {}), "a accepts writes");
    assert_eq!(line(|status| status.leader = None), "no leader: an election is under way");
    assert_eq!(line(|status| state(status).primary = None), "no primary: none was appointed yet");
    assert_eq!(line(|status| status.members[0].health = Health::Red), "the primary a is unreachable from b");
    assert_eq!(line(|status| status.members[0].role = Role::Standby), "the primary a does not accept writes");
    assert_eq!(line(|status| status.state = None), "b does not belong to a cluster yet");
    assert_eq!(
        line(|status| {
            status.members[0].role = Role::Standby;
            state(status).primary.as_mut().unwrap().promoted = None;
        }),
        "no primary yet: a is appointed for epoch 4 and being promoted"
    );
    assert_eq!(
        line(|status| {
            let release = Release { timeline: Timeline(2), final_lsn: None };
            state(status).primary.as_mut().unwrap().released = Some(release);
        }),
        "no primary: a gave up epoch 4, and nobody is appointed after it yet"
    );
}

#[test]
fn a_lonely_primary_and_a_silent_standby_are_named() {
    let mut status = healthy();
    database_of(&mut status, 3).streaming = false;
    let text = shown(&status, None);
    assert!(text.contains("  1 of 2 standbys stream\n  c does not stream\n"), "{text}");
    status.members.truncate(1);
    assert!(shown(&status, None).contains("nobody can take over"));
}

#[test]
fn the_history_tells_who_when_and_why() {
    let why = |rule: &str, because: &str| Why { rule: rule.into(), because: because.into() };
    let (a, b) = (NodeId(1), NodeId(2));
    let lsn = Lsn(0x300_0000);
    let lapsed = why("replace-lapsed", "the lease of the primary is over for certain");
    let asked = why("step-down-for-switchover", "an operator asked for it");
    let kinds = [
        (
            0,
            EventKind::Appointed {
                node: a,
                replaces: None,
                why: why("appoint-founder", "it has the highest priority"),
                lost_at_least: None,
            },
        ),
        (1, EventKind::Founded { node: a, system_identifier: SystemIdentifier(73) }),
        (2, EventKind::Promoted { node: a, timeline: Timeline(1), lsn }),
        (60_000, EventKind::Appointed { node: b, replaces: Some(a), why: lapsed.clone(), lost_at_least: Some(1536) }),
        (60_100, EventKind::Appointed { node: a, replaces: Some(b), why: lapsed.clone(), lost_at_least: Some(0) }),
        (60_200, EventKind::Appointed { node: b, replaces: Some(a), why: lapsed, lost_at_least: None }),
        (70_000, EventKind::Paused { paused: true }),
        (71_000, EventKind::Paused { paused: false }),
        (80_000, EventKind::SwitchoverBegun { id: RequestId(5), from: b, to: a }),
        (80_300, EventKind::Released { node: b, timeline: Timeline(2), final_lsn: Some(lsn), why: asked.clone() }),
        (80_450, EventKind::SwitchoverEnded { id: RequestId(5), failure: None }),
        (90_000, EventKind::SwitchoverBegun { id: RequestId(6), from: a, to: b }),
        (91_000, EventKind::SwitchoverEnded { id: RequestId(6), failure: Some("b stopped streaming".into()) }),
        (92_000, EventKind::Released { node: NodeId(9), timeline: Timeline(2), final_lsn: None, why: asked }),
        (93_000, EventKind::MemberReplaced { node: b }),
    ];
    let event =
        |(index, (after, kind)): (u64, (u64, EventKind))| Event { index, at: WallClock(1_763_771_088_123 + after), epoch: Epoch(4), kind };
    let events = (1..).zip(kinds).map(event).collect::<Vec<_>>();
    let json = serde_json::to_string(&events).unwrap();
    let received = serde_json::from_str::<Vec<Event>>(&json).unwrap();
    assert_eq!(received, events, "JSON loses something");
    let names = BTreeMap::from([(a, "a".to_string()), (b, "b".to_string())]);
    assert_golden("history.txt", &history::render(&received, &names, &TimeZone::fixed(Offset::constant(1))));
    assert_eq!(history::render(&[], &names, &TimeZone::UTC), "nothing has happened yet\n");
}
