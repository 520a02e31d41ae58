//! A served port, a status to publish, and a client.

use crate::api::access::Hosts;
use crate::api::actor::{Answers, Listener, Wires, listen, serve};
use crate::api::{Config, Token};
use crate::fsm::Request;
use crate::machine::Timestamp;
use crate::model::*;
use crate::tree::clock::{Clock, boottime};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// More than anything here takes, on the slowest machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct World {
    pub(super) listener: Listener,
    pub(super) status: watch::Sender<Option<Arc<Status>>>,
    pub(super) answers: Answers,
    pub(super) asked: mpsc::UnboundedReceiver<(RequestId, Request)>,
    pub(super) links: mpsc::UnboundedReceiver<TcpStream>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) serving: JoinHandle<()>,
}

/// Loopback, any port, a token, and a status that stays believable however slow the machine is.
pub(super) fn config() -> Config {
    let (token, hosts) = (Some(Token("the right token".into())), Hosts::new(["db1.example"]));
    Config { host: "127.0.0.1".into(), port: 0, token, hosts, status_age_max: Duration::from_secs(60), ..Config::default() }
}

pub(super) async fn world(config: Config) -> World {
    let listener = listen(&config).await.and_then(|listener| listener.with_socket(&config)).expect("the port is free");
    let (status, seen) = watch::channel(Some(Arc::new(primary())));
    let (ask, asked) = mpsc::unbounded_channel();
    let (link, links) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let answers = Answers::new();
    let wires = Wires {
        clock: Clock::Boot,
        status: seen,
        ask: Arc::new(move |id, request| ask.send((id, request)).expect("the test lives on")),
        answers: answers.clone(),
        peer_link: Arc::new(move |stream, _| link.send(stream).expect("the test lives on")),
    };
    let serving = tokio::spawn(serve(listener.clone(), Arc::new(config), wires, stopped));
    World { listener, status, answers, asked, links, stop, serving }
}

impl World {
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.listener.address().port()))
    }

    pub(super) fn publish(&self, status: Status) {
        self.status.send_replace(Some(Arc::new(status)));
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.expect("the port is open")
    }

    /// The FSM commits the end of a request.
    pub(super) fn commit_end(&self, id: RequestId, failure: Option<&str>) {
        let mut status = primary();
        let failure = failure.map(Into::into);
        let (from, to) = (NodeId(1), NodeId(2));
        let ending = Ending { id, from, to, epoch: Epoch(2), timeline: Timeline(2), duration_ms: 321, failure };
        status.state.as_mut().expect("a member").endings.push_back(ending);
        self.publish(status);
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        call(self.address(), "GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        let json: &[_] = &[("content-type", "application/json")];
        call(self.address(), "POST", path, if body.is_empty() { &[] } else { json }, body.to_owned()).await
    }

    pub(super) async fn next_asked(&mut self) -> (RequestId, Request) {
        tokio::time::timeout(DEADLINE, self.asked.recv()).await.expect("the FSM is asked in time").expect("the API lives")
    }

    pub(super) fn was_not_asked(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) head: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// An error must be JSON and have a word and a sentence.
    pub(super) fn error(&self) -> String {
        let json = self.json();
        assert!(json["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{json}");
        json["error"].as_str().expect("an error has a word").to_owned()
    }

    pub(super) fn reason(&self) -> String {
        self.json()["reason"].as_str().expect("an error has a sentence").to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.head.get(name).map(|value| value.to_str().expect("headers are text")).unwrap_or_default()
    }
}

/// One request on a connection of its own, with the right token.
pub(super) async fn call(address: SocketAddr, method: &str, path: &str, head: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let with_token: Vec<_> = head.iter().copied().chain([("authorization", "bearer the right token")]).collect();
    call_with(address, method, path, &with_token, body).await
}

/// One request on a connection of its own, with these headers only.
pub(super) async fn call_with(address: SocketAddr, method: &str, path: &str, head: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut request = http::Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in head {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let talk = async {
        let stream = TcpStream::connect(address).await.expect("the port is open");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the whole answer").to_bytes();
        connection.abort();
        Reply { code: StatusCode::as_u16(&head.status), head: head.headers, body }
    };
    tokio::time::timeout(DEADLINE, talk).await.expect("it answers in time")
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.into(), port }
}

fn member(node: u64, name: &str, witness: bool) -> (NodeId, Member) {
    let host = format!("10.0.0.{node}");
    let member = Member {
        node: NodeId(node),
        raft_id: RaftId(node * 11),
        name: name.into(),
        witch: endpoint(&host, 7000),
        database: endpoint(&host, 5432),
        witness,
    };
    (NodeId(node), member)
}

fn state() -> ClusterState {
    let members = [member(1, "anna", false), member(2, "bert", false), member(3, "carl", true)];
    let mut state = ClusterState::born("fruit".into(), members.into(), Settings::default());
    let mut index = 0;
    let mut apply = |term: Option<u64>, basis: u64, command: Command| {
        index += 1;
        let proposal =
            Proposal { by: NodeId(1), term: term.map(Term), basis: Epoch(basis), at: WallClock(1_700_000_000_000 + index), command };
        assert_eq!(state.apply(index, Term(4), &proposal), Applied::Done);
    };
    let why = Why { rule: "found".into(), because: "no database exists yet".into() };
    apply(Some(4), 0, Command::Appoint { node: NodeId(1), why, lost_at_least: None, at: None });
    apply(None, 1, Command::Founded { node: NodeId(1), system_identifier: SystemIdentifier(7_001_002_003) });
    apply(
        None,
        1,
        Command::Promoted { node: NodeId(1), lineage: vec![Promotion { timeline: Timeline(1), lsn: Lsn(0x300_0000), mark: None }] },
    );
    state
}

fn database(server: Server, streaming: bool) -> Database {
    Database {
        directory: Directory::Database { system_identifier: SystemIdentifier(7_001_002_003), timeline: Timeline(1) },
        server,
        position: Some(Position { timeline: Timeline(1), lsn: Lsn(0x300_0148) }),
        lineage: vec![Promotion { timeline: Timeline(1), lsn: Lsn(0), mark: None }],
        replayed: streaming.then_some(Lsn(0x300_0148)),
        streaming,
        operation: None,
        trouble: None,
        conditions: Vec::new(),
        deaths: 0,
        overdue: false,
    }
}

fn seen(node: u64, name: &str, role: Role, database: Option<Database>) -> MemberStatus {
    let report =
        Report { node: NodeId(node), boot: Boot(node * 7), seq: 42, epoch: Epoch(1), stopping: false, tags: Tags::default(), database };
    MemberStatus {
        node: NodeId(node),
        name: name.into(),
        health: Health::Green,
        role,
        report: Some(report),
        report_age_ms: Some(120),
        lag_bytes: (role == Role::Standby).then_some(0),
    }
}

/// What node 1 publishes while it is a healthy primary.
pub(super) fn primary() -> Status {
    let now = boottime();
    let ours = database(Server::Primary, false);
    Status {
        at: now,
        node: NodeId(1),
        name: "anna".into(),
        role: Role::Primary,
        database: Some(ours.clone()),
        lease: LeaseStatus { epoch: Some(Epoch(1)), end: Some(now + Duration::from_secs(600)) },
        writable: true,
        readable: false,
        term: Term(4),
        leader: Some(NodeId(3)),
        members: vec![
            seen(1, "anna", Role::Primary, Some(ours)),
            seen(2, "bert", Role::Standby, Some(database(Server::Standby, true))),
            seen(3, "carl", Role::Witness, None),
        ],
        state: Some(state()),
        decisions: vec![RecentDecision {
            at: WallClock(1_700_000_000_009),
            what: "lead epoch 1".into(),
            why: Why { rule: "lead-under-lease".into(), because: "this node is appointed and holds the lease".into() },
        }],
        waiting_for: None,
    }
}

/// What node 2 publishes while it is a healthy standby.
pub(super) fn standby() -> Status {
    Status {
        node: NodeId(2),
        name: "bert".into(),
        role: Role::Standby,
        database: Some(database(Server::Standby, true)),
        lease: LeaseStatus::default(),
        writable: false,
        readable: true,
        ..primary()
    }
}

/// So many seconds before now.
pub(super) fn ago(seconds: u64) -> Timestamp {
    boottime() - Duration::from_secs(seconds)
}
