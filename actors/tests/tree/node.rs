//! Nodes: the real machines in the real tree, with hands that touch the model of the world.

use super::database::{Databases, endpoint};
use super::disk::Disk;
use super::hands::{MOMENT, PgHands, RaftHands};
use super::illness::{Mortal, Ward};
use super::links::Links;
use super::log;
use actors::fsm::actor::Wiring;
use actors::machine::Timestamp;
use actors::model::{Boot, Endpoint, Epoch, LeaseTiming, Member, NodeId, RaftId, Status, Tags, WallClock};
use actors::star::Star;
use actors::tree::Tree;
use actors::tree::clock::Clock;
use actors::tree::restart::RestartPolicy;
use actors::{api, fsm, pg, probe, raft};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The default numbers, which all nodes use.
pub(crate) fn timing() -> LeaseTiming {
    LeaseTiming::default()
}

/// Everything that outlives a daemon.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) databases: Databases,
    pub(crate) links: Links,
    disks: Arc<BTreeMap<NodeId, Disk>>,
    drawn: Arc<AtomicU64>,
}

impl World {
    /// So many hosts with empty disks.
    pub(crate) fn new(nodes: u64) -> Self {
        let clock = Clock::Runtime(Instant::now());
        log::begin(clock);
        let nodes = || (1..=nodes).map(NodeId);
        Self {
            clock,
            databases: Databases::new(clock, timing(), nodes()),
            links: Links::new(),
            disks: Arc::new(nodes().map(|node| (node, Disk::default())).collect()),
            drawn: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Never the same twice.
    fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn members(&self) -> Vec<Member> {
        let member = |node: &NodeId| Member {
            node: *node,
            raft_id: RaftId(0),
            name: format!("n{node}"),
            witch: Endpoint { host: format!("h{node}"), port: 7000 },
            database: endpoint(*node),
            witness: false,
        };
        self.disks.keys().map(member).collect()
    }

    fn fsm_config(&self, node: NodeId) -> fsm::Config {
        let now = self.now();
        fsm::Config {
            node,
            name: format!("n{node}"),
            members: self.members(),
            witness: false,
            boot: Boot(self.draw()),
            started: now,
            started_at: WallClock(now.as_micros() / 1000),
            tags: Tags::default(),
            timing: timing(),
            patience: Duration::from_secs(5),
            step_down_max: Duration::from_secs(30),
            catch_up_max: Duration::from_secs(5),
            start_max: Duration::from_secs(60),
            restarts_in_place: 2,
        }
    }
}

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) node: NodeId,
    pub(crate) tree: Tree,
    pub(crate) ward: Ward,
    pub(crate) pulse: watch::Receiver<Timestamp>,
    status: watch::Receiver<Option<Arc<Status>>>,
    port: u16,
    world: World,
    _exit: mpsc::Receiver<()>,
    _api_stop: watch::Sender<bool>,
}

impl Node {
    /// Starts the daemon of that node, on what its disk, its guard and its server are.
    pub(crate) async fn start(world: &World, node: NodeId) -> Self {
        let peers = world.disks.keys().copied().filter(|peer| *peer != node);
        let star = Star::new(world.clock, peers);
        let ward = Ward::default();
        let (released, lease) = world.databases.attend(node, star.pg().clone());
        star.board().tell(fsm::Input::ReleaseRecorded { epoch: released });
        star.board().tell(fsm::Input::GuardFound { lease });
        world.links.join(node, star.routes());

        let (status, published) = watch::channel(None);
        let (pulse, pulses) = watch::channel(Timestamp::default());
        let (exit, exited) = mpsc::channel(1);
        let answers = api::Answers::new();
        let wiring = wiring(world, node, &star, &answers, (status, pulse, exit));
        let mut children = vec![
            star.raft_child({
                let (world, star, ward) = (world.clone(), star.clone(), ward.clone());
                move || {
                    let (writer, stored) = world.disks[&node].begin_life();
                    let config = raft::Config::new(node, "c".into(), world.members(), world.draw());
                    let machine = raft::Machine::new(config, &stored, world.now())?;
                    let (persisted, fsm, links) = (star.persisted(), star.to_fsm(), world.links.clone());
                    let hands = RaftHands { node, writer, persisted, links, fsm, announced: false };
                    Ok((Mortal::new("raft", &ward, machine), hands))
                }
            }),
            star.fsm_child({
                let (world, ward) = (world.clone(), ward.clone());
                move || Ok((Mortal::new("fsm", &ward, fsm::Machine::new(world.fsm_config(node))), wiring.clone()))
            }),
            star.pg_child({
                let (databases, report, ward) = (world.databases.clone(), star.reported(), ward.clone());
                move || {
                    let machine = Mortal::new("pg", &ward, pg::Machine::new(pg::Timing::default()));
                    Ok((machine, PgHands::new(node, databases.clone(), Arc::clone(&report))))
                }
            }),
        ];
        let send: probe::SendTo = {
            let (links, ward) = (world.links.clone(), ward.clone());
            Arc::new(move |to, message| {
                ward.examine("probe");
                links.send(node, to, message);
            })
        };
        let ask_database: probe::AskDatabase = {
            let databases = world.databases.clone();
            Arc::new(move |peer| {
                let answers = databases.answers(peer);
                Box::pin(async move { answers })
            })
        };
        children.extend(star.probe_children(probe::Config::default(), send, ask_database));

        let config = api::Config { host: "127.0.0.1".into(), port: 0, ..api::Config::default() };
        let listener = api::listen(&config).await.expect("a port is free");
        let port = listener.address().port();
        let (stop, stopped) = watch::channel(false);
        let wires = api::Wires {
            clock: world.clock,
            status: published.clone(),
            ask: {
                let board = star.board().clone();
                Arc::new(move |id, request| board.tell(fsm::Input::Requested { id, request }))
            },
            answers,
            peer_link: Arc::new(|_: TcpStream, _| {}),
        };
        children.push(api::child(listener, config, wires, stopped));
        let tree = Tree::start(world.clock, RestartPolicy::default(), children).await.expect("the tree starts");
        Self { node, tree, ward, pulse: pulses, status: published, port, world: world.clone(), _exit: exited, _api_stop: stop }
    }

    /// Ends the daemon as `kill -9` does. The server and its guard run on.
    pub(crate) fn crash(self) {
        self.world.links.leave(self.node);
        self.world.databases.attend(self.node, actors::tree::Address::vacant());
        self.tree.stop();
    }

    /// Ends everything on the host.
    pub(crate) fn lose_power(self) {
        self.world.databases.lose_power(self.node);
        self.crash();
    }

    /// What the node published last.
    pub(crate) fn status(&self) -> Option<Arc<Status>> {
        self.status.borrow().clone()
    }

    /// It is primary, under a lease that was asked for after `since`.
    pub(crate) fn leads_since(&self, since: Timestamp) -> bool {
        self.status()
            .is_some_and(|status| status.at > since && status.writable && status.lease.end.is_some_and(|end| end > since + timing().ttl))
    }

    /// Its standby streams, as it says after `since`.
    pub(crate) fn streams_since(&self, since: Timestamp) -> bool {
        self.status().is_some_and(|status| status.at > since && status.readable)
    }

    /// Which code `GET path` is answered with, on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> u16 {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("the port is open");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.expect("it speaks HTTP");
        let request = http::Request::builder().uri(path).header("host", "localhost");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
        let answer = async { sender.send_request(request).await.expect("an answer").status().as_u16() };
        tokio::select! {
            code = answer => code,
            _ = connection => panic!("the connection ended without an answer"),
        }
    }
}

/// The FSM's hands are the real ones; what they reach of the guard and of the disk is not.
fn wiring(
    world: &World,
    node: NodeId,
    star: &Star,
    answers: &api::Answers,
    (status, pulse, exit): (watch::Sender<Option<Arc<Status>>>, watch::Sender<Timestamp>, mpsc::Sender<()>),
) -> Wiring {
    let guarded = {
        let (databases, board) = (world.databases.clone(), star.board().clone());
        move |(epoch, end): (Epoch, Timestamp)| {
            let (databases, board) = (databases.clone(), board.clone());
            tokio::spawn(async move {
                tokio::time::sleep(MOMENT).await;
                if databases.lease(node, epoch, end) {
                    board.tell(fsm::Input::LeaseGuarded { epoch, end });
                }
            });
        }
    };
    let recorded = {
        let (databases, board) = (world.databases.clone(), star.board().clone());
        move |epoch: Epoch| {
            let (databases, board) = (databases.clone(), board.clone());
            tokio::spawn(async move {
                tokio::time::sleep(MOMENT).await;
                databases.record_release(node, epoch);
                board.tell(fsm::Input::ReleaseRecorded { epoch });
            });
        }
    };
    let answers = answers.clone();
    Wiring {
        raft: star.raft().clone(),
        database: star.database(),
        guard_lease: Arc::new(guarded),
        record_release: Arc::new(recorded),
        report: star.report(),
        refuse: Arc::new(move |(id, refusal)| answers.refuse(id, refusal)),
        status,
        pulse,
        exit,
    }
}
