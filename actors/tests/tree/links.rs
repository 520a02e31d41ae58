//! Links between nodes: a millisecond long, in order, and up while both ends are.

use actors::model::NodeId;
use actors::raft::actor::links::Routes;
use actors::raft::{Input, PeerMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

const DELAY: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Letter {
    at: Instant,
    from: NodeId,
    to: NodeId,
    message: Box<PeerMessage>,
}

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    post: UnboundedSender<Letter>,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    nodes: BTreeMap<NodeId, Routes>,
    cut: BTreeSet<NodeId>,
}

impl Book {
    fn peers_of(&self, node: NodeId) -> Vec<NodeId> {
        let here = self.nodes.contains_key(&node) && !self.cut.contains(&node);
        self.nodes.keys().copied().filter(|peer| here && *peer != node && !self.cut.contains(peer)).collect()
    }

    /// Tells both ends of every link of `node`.
    fn tell(&self, node: NodeId, peers: &[NodeId], fact: fn(NodeId) -> Input) {
        for peer in peers {
            for (here, there) in [(node, *peer), (*peer, node)] {
                if let Some(routes) = self.nodes.get(&here) {
                    (routes.machine)(fact(there));
                }
            }
        }
    }
}

fn linked(node: NodeId) -> Input {
    Input::Linked { node }
}

fn unlinked(node: NodeId) -> Input {
    Input::Unlinked { node }
}

impl Links {
    pub(crate) fn new() -> Self {
        let (post, mut letters) = unbounded_channel::<Letter>();
        let links = Self { post, book: Arc::default() };
        let book = Arc::clone(&links.book);
        tokio::spawn(async move {
            while let Some(Letter { at, from, to, message }) = letters.recv().await {
                tokio::time::sleep_until(at).await;
                let routes = {
                    let book = lock(&book);
                    if book.peers_of(from).contains(&to) { book.nodes.get(&to).cloned() } else { None }
                };
                match (routes, *message) {
                    (Some(routes), PeerMessage::Report(report)) => (routes.report)(from, report),
                    (Some(routes), message) => (routes.machine)(Input::Heard { from, message: Box::new(message) }),
                    (None, _) => {}
                }
            }
        });
        links
    }

    /// Says something, or drops it.
    pub(crate) fn send(&self, from: NodeId, to: NodeId, message: PeerMessage) {
        if lock(&self.book).peers_of(from).contains(&to) {
            let letter = Letter { at: Instant::now() + DELAY, from, to, message: Box::new(message) };
            self.post.send(letter).expect("the post works as long as the test");
        }
    }

    /// The node's daemon has begun.
    pub(crate) fn join(&self, node: NodeId, routes: Routes) {
        let mut book = lock(&self.book);
        book.nodes.insert(node, routes);
        book.tell(node, &book.peers_of(node), linked);
    }

    /// The node's daemon has ended.
    pub(crate) fn leave(&self, node: NodeId) {
        let mut book = lock(&self.book);
        let peers = book.peers_of(node);
        book.nodes.remove(&node);
        book.tell(node, &peers, unlinked);
    }

    /// Cuts the node off, or puts it back.
    pub(crate) fn cut(&self, node: NodeId, cut: bool) {
        let mut book = lock(&self.book);
        if cut {
            let peers = book.peers_of(node);
            book.cut.insert(node);
            book.tell(node, &peers, unlinked);
        } else {
            book.cut.remove(&node);
            book.tell(node, &book.peers_of(node), linked);
        }
    }

    /// Tells a new life of the RaftActor which of its links are up.
    pub(crate) fn announce(&self, node: NodeId) {
        let book = lock(&self.book);
        if let Some(routes) = book.nodes.get(&node) {
            for peer in book.peers_of(node) {
                (routes.machine)(linked(peer));
            }
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
