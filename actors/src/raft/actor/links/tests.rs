//! Real links on loopback.

mod abuse;
mod twins;

use super::super::handshake::{MAGIC, Token};
use super::*;
use crate::model::{Boot, RaftId, Term};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

pub(in crate::raft::actor) const PATIENCE: Duration = Duration::from_secs(20);

pub(in crate::raft::actor) fn local(node: u64, boot: u64, port: u16) -> Local {
    Local {
        cluster: "prod".to_owned(),
        node: NodeId(node),
        boot: Boot(boot),
        endpoint: Endpoint { host: "127.0.0.1".to_owned(), port },
        token: Token::new("secret"),
    }
}

pub(in crate::raft::actor) fn member(node: u64, port: u16) -> Member {
    let witch = Endpoint { host: "127.0.0.1".to_owned(), port };
    Member { node: NodeId(node), raft_id: RaftId(0), name: format!("n{node}"), database: witch.clone(), witch, witness: false }
}

pub(in crate::raft::actor) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn note(term: u64) -> PeerMessage {
    PeerMessage::AskTestimony { term: Term(term) }
}

/// A node with its listener.
pub(in crate::raft::actor) struct Node {
    pub(in crate::raft::actor) links: Links,
    heard: UnboundedReceiver<Input>,
    accepting: AbortHandle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.accepting.abort();
        self.links.close();
    }
}

impl Node {
    pub(in crate::raft::actor) fn start(local: Local, listener: TcpListener, peers: &[Member]) -> Self {
        let (tell, heard) = unbounded_channel();
        let reports = tell.clone();
        let routes = Routes {
            machine: Arc::new(move |input| drop(tell.send(input))),
            // A report comes out as its number, on the same channel.
            report: Arc::new(move |_, report| drop(reports.send(Input::Persisted { number: report.seq }))),
        };
        let links = Links::start(local, peers, routes);
        let accepting = links.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, remote)) = listener.accept().await {
                accepting.accept(stream, remote);
            }
        });
        Self { links, heard, accepting: accepting.abort_handle() }
    }

    /// Waits for something, and overhears the rest.
    async fn hears<T>(&mut self, what: &str, mut wanted: impl FnMut(Input) -> Option<T>) -> T {
        let hear = async {
            loop {
                let input = self.heard.recv().await.expect("the links are alive");
                if let Some(found) = wanted(input) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, hear).await.unwrap_or_else(|_| panic!("never heard {what}"))
    }

    pub(in crate::raft::actor) async fn linked(&mut self, node: u64) {
        self.hears(&format!("that the link to {node} is up"), |input| {
            matches!(input, Input::Linked { node: up } if up.0 == node).then_some(())
        })
        .await;
    }

    async fn unlinked(&mut self, node: u64) {
        self.hears(&format!("that the link to {node} is down"), |input| {
            matches!(input, Input::Unlinked { node: down } if down.0 == node).then_some(())
        })
        .await;
    }

    pub(in crate::raft::actor) async fn note(&mut self, from: u64) -> u64 {
        self.hears(&format!("a note of {from}"), |input| match input {
            Input::Heard { from: node, message } if node.0 == from => match *message {
                PeerMessage::AskTestimony { term } => Some(term.0),
                _ => None,
            },
            _ => None,
        })
        .await
    }
}

/// A path between two nodes that can be cut.
struct Path {
    port: u16,
    cut: tokio::sync::watch::Sender<()>,
    forwarding: AbortHandle,
}

impl Drop for Path {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

impl Path {
    async fn to(target: u16) -> Self {
        let (listener, port) = listen().await;
        let (cut, cuts) = tokio::sync::watch::channel(());
        let forwarding = tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, cut, forwarding: forwarding.abort_handle() }
    }
}

#[tokio::test]
async fn three_nodes_hear_each_other_and_find_each_other_again_after_a_cut() {
    let ((l1, p1), (l2, p2), (l3, p3)) = (listen().await, listen().await, listen().await);
    let path = Path::to(p2).await;
    let mut one = Node::start(local(1, 11, p1), l1, &[member(1, p1), member(2, path.port), member(3, p3)]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1), member(3, p3)]);
    let mut three = Node::start(local(3, 33, p3), l3, &[member(1, p1), member(2, p2)]);
    for (node, peers) in [(&mut one, [2, 3]), (&mut two, [1, 3]), (&mut three, [1, 2])] {
        for peer in peers {
            // Both come, in either order; a link that is up already is announced again.
            node.links.announce();
            node.linked(peer).await;
        }
    }
    for (from, to) in [(1, 2), (2, 3), (3, 1), (2, 1)] {
        let sender = [&one, &two, &three][from - 1];
        assert!(sender.links.send(NodeId(to as u64), &note(100 + from as u64)));
        let receiver = [&mut one, &mut two, &mut three].into_iter().nth(to - 1).unwrap();
        assert_eq!(receiver.note(from as u64).await, 100 + from as u64);
    }
    assert!(!one.links.send(NodeId(9), &note(1)), "nobody is there");
    path.cut.send(()).unwrap();
    one.unlinked(2).await;
    one.linked(2).await;
    assert!(one.links.send(NodeId(2), &note(7)));
    assert_eq!(two.note(1).await, 7);
}

#[tokio::test]
async fn frames_arrive_in_the_order_of_their_lane() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    one.linked(2).await;
    for term in 0..200 {
        assert!(one.links.send(NodeId(2), &note(term)));
    }
    for term in 0..200 {
        assert_eq!(two.note(1).await, term);
    }
}

#[tokio::test]
async fn a_restarted_node_is_linked_again_with_its_new_life() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    one.linked(2).await;
    drop(two);
    one.unlinked(2).await;
    assert!(!one.links.send(NodeId(2), &note(1)), "what is said to a dead link is not kept for the next one");
    let listener = timeout(PATIENCE, async {
        loop {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", p2)).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    });
    let mut again = Node::start(local(2, 23, p2), listener.await.expect("the port is free again"), &[member(1, p1)]);
    one.linked(2).await;
    again.linked(1).await;
    assert!(one.links.send(NodeId(2), &note(2)) && again.links.send(NodeId(1), &note(3)));
    assert_eq!((again.note(1).await, one.note(2).await), (2, 3));
}

#[tokio::test]
async fn links_follow_the_membership() {
    let ((l1, p1), (l2, p2), (l3, p3)) = (listen().await, listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    let mut three = Node::start(local(3, 33, p3), l3, &[member(1, p1)]);
    one.links.follow(&[member(1, p1), member(2, p2)]);
    one.linked(2).await;
    two.linked(1).await;
    one.links.follow(&[member(3, p3)]);
    one.unlinked(2).await;
    two.unlinked(1).await;
    one.linked(3).await;
    three.linked(1).await;
    // An address that changes is dialled anew.
    let path = Path::to(p3).await;
    one.links.follow(&[member(3, path.port)]);
    one.unlinked(3).await;
    one.linked(3).await;
    drop(path);
}

/// A first name server that is down: each lookup takes longer than a connection may.
#[tokio::test]
async fn a_name_that_is_slow_to_look_up_is_linked_all_the_same() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let slow: Resolver = Arc::new(|host, port| {
        assert_eq!(host, "db2", "addresses are not looked up");
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        })
    });
    let (tell, mut heard) = unbounded_channel();
    let routes = Routes { machine: Arc::new(move |input| drop(tell.send(input))), report: Arc::new(|_, _| {}) };
    let mut peer = member(2, p2);
    peer.witch.host = "db2".into();
    let links = Links::resolving(local(1, 11, p1), &[peer], routes, slow);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    let linked = timeout(PATIENCE, async { while !matches!(heard.recv().await, Some(Input::Linked { .. })) {} });
    linked.await.expect("it is linked");
    assert!(links.send(NodeId(2), &note(3)));
    assert_eq!(two.note(1).await, 3);
    links.close();
    drop(l1);
}

#[tokio::test]
async fn reports_go_to_the_probes() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    one.linked(2).await;
    assert!(one.links.send(NodeId(2), &abuse::report(1, 77)));
    let seq = two.hears("the report", |input| if let Input::Persisted { number } = input { Some(number) } else { None }).await;
    assert_eq!(seq, 77);
}
