//! The links to the peers, on the shared port: one TCP connection for each direction between two nodes.
//!
//! We dial every node that we are told to follow and send on that connection; we hear on the connections that the others dialled. Links outlive the
//! actor: a restarted one is told again which links are up. Everything is bounded: the queue of a link drops rather than grows, a talkative peer is read
//! slower, only so many strangers may be shaking hands ([`half_open`]), and there is one accepted link for each node that we know, since a newer
//! one takes its place. What is malformed closes its link with one line in the log and harms nothing else.

mod addresses;
mod allowance;
mod complaints;
mod half_open;
mod incoming;
mod lanes;
mod outgoing;
mod seats;
mod socket;
mod wire;

use super::handshake::{Failure, Local, Peer, Refusal};
use crate::model::{Endpoint, Member, NodeId, Report};
use crate::raft::{Input, PeerMessage};
use crate::tree::clock::boottime;
use addresses::Resolver;
pub use addresses::Undialled;
use complaints::{About, Complaints};
use half_open::HalfOpen;
use lanes::{Lanes, Outlet};
use seats::{Direction, Evicted, Seats, Sitter};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Where what is heard goes. Neither may wait.
#[derive(Clone)]
pub struct Routes {
    /// To the machine: `Heard`, `Linked`, `Unlinked`.
    pub machine: Arc<dyn Fn(Input) + Send + Sync>,
    /// To the probe of that node.
    pub report: Arc<dyn Fn(NodeId, Report) + Send + Sync>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Routes")
    }
}

/// The handle. Clones lead to the same links.
#[derive(Clone)]
pub struct Links {
    hub: Arc<Hub>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links of node {}, up: {:?}", self.hub.local.node, self.hub.book().up.keys())
    }
}

impl Links {
    /// Begins to dial the peers of the file. They stay welcome to dial us, whatever [`Links::follow`] says later. Needs a runtime around it.
    #[must_use]
    pub fn start(local: Local, peers: &[Member], routes: Routes) -> Self {
        Self::resolving(local, peers, routes, addresses::system())
    }

    fn resolving(local: Local, peers: &[Member], routes: Routes, resolver: Resolver) -> Self {
        let file = peers.iter().map(|peer| (peer.node, peer.witch.clone())).collect();
        let links = Self { hub: Arc::new(Hub { local, file, routes, resolver, book: Mutex::default() }) };
        links.follow(peers);
        links
    }

    /// Has links to exactly these nodes, ourselves left out.
    pub fn follow(&self, members: &[Member]) {
        let others = members.iter().filter(|member| member.node != self.hub.local.node);
        let wanted: BTreeMap<NodeId, Endpoint> = others.map(|member| (member.node, member.witch.clone())).collect();
        let mut book = self.hub.book();
        book.dialers.retain(|node, dialer| {
            let stays = wanted.get(node) == Some(&dialer.endpoint);
            if !stays {
                dialer.task.abort();
            }
            stays
        });
        for (node, endpoint) in wanted {
            if let Ok(address) = endpoint.host.parse::<IpAddr>() {
                book.whereabouts.insert((node, Direction::Outgoing), BTreeSet::from([address.to_canonical()]));
            }
            book.dialers.entry(node).or_insert_with(|| {
                let task = tokio::spawn(outgoing::keep(Arc::clone(&self.hub), node, endpoint.clone())).abort_handle();
                Dialer { endpoint, task }
            });
        }
        let Book { dialers, seats, whereabouts, .. } = &mut *book;
        seats.retain(|node| self.hub.file.contains_key(&node) || dialers.contains_key(&node));
        whereabouts.retain(|(node, _), _| self.hub.file.contains_key(node) || dialers.contains_key(node));
    }

    /// Sends, or drops: the link is down, or its queue is full. Never waits.
    pub fn send(&self, node: NodeId, message: &PeerMessage) -> bool {
        let Some(lanes) = self.hub.book().up.get(&node).map(|up| up.lanes.clone()) else { return false };
        let peer = || format!("node {node}");
        match wire::encode(message) {
            Ok(frame) => {
                let taken = lanes.put(frame, wire::is_bulk(message));
                if !taken {
                    let text = format!("it takes in less than we say: {} messages were dropped so far", lanes.dropped());
                    self.hub.complain(About::Peer(&peer()), "full", true, &text);
                }
                taken
            }
            Err(error) => {
                self.hub.complain(About::Peer(&peer()), "oversized", true, &error.to_string());
                false
            }
        }
    }

    /// Takes in a connection whose first bytes are [`MAGIC`](super::handshake::MAGIC), which are still unread.
    pub fn accept(&self, stream: TcpStream, remote: SocketAddr) {
        let guest = {
            let mut book = self.hub.book();
            if book.closed {
                return;
            }
            let peers = book.whereabouts.values().flatten().copied().collect();
            book.half_open.enter(remote.ip(), &peers)
        };
        let (number, told, shown_out) = guest;
        if let Some(address) = shown_out {
            let text = format!(
                "{address} was in the middle of its handshake for longer than all others when there were too many of them, and is shown out: if \
                 it is no peer, keep it away from this port"
            );
            self.hub.complain(About::Stranger("strangers"), "crowded", true, &text);
        }
        tokio::spawn(incoming::serve(Arc::clone(&self.hub), stream, remote, (number, told)));
    }

    /// Tells the machine once more which links are up: a restarted one does not know. Hearing it twice harms nothing.
    pub fn announce(&self) {
        let up: Vec<_> = self.hub.book().up.keys().copied().collect();
        for node in up {
            (self.hub.routes.machine)(Input::Linked { node });
        }
    }

    /// Ends all links for good, so that the peers notice at once.
    pub fn close(&self) {
        let mut book = self.hub.book();
        book.closed = true;
        book.half_open.clear();
        for (_, dialer) in std::mem::take(&mut book.dialers) {
            dialer.task.abort();
        }
        book.seats.retain(|_| false);
    }
}

/// What the tasks of all links share.
struct Hub {
    local: Local,
    /// The peers of the file, and where it looks for them.
    file: BTreeMap<NodeId, Endpoint>,
    routes: Routes,
    resolver: Resolver,
    /// Never held while waiting for anything, nor while telling anybody.
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    dialers: BTreeMap<NodeId, Dialer>,
    up: BTreeMap<NodeId, Up>,
    seats: Seats,
    /// Where each node said that it listens when it last dialled us.
    told: BTreeMap<NodeId, Endpoint>,
    half_open: HalfOpen,
    /// The addresses at which each node was found when it was last dialled, and the one that it last linked from.
    whereabouts: BTreeMap<(NodeId, Direction), BTreeSet<IpAddr>>,
    complaints: Complaints,
    closed: bool,
}

struct Dialer {
    endpoint: Endpoint,
    task: AbortHandle,
}

/// A link of ours that is up, by the number of its seat.
struct Up {
    number: u64,
    lanes: Lanes,
}

impl Hub {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a node is looked for: where the log has it, where it said itself that it is, and where the file has it. One that moved is at one of the
    /// last two until it can tell the log, and for that it must be heard and answered.
    fn places(&self, node: NodeId, logged: &Endpoint) -> Vec<Endpoint> {
        let told = self.book().told.get(&node).cloned();
        let mut places = vec![logged.clone()];
        for place in told.into_iter().chain(self.file.get(&node).cloned()) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Logs, unless this was said of this peer a short while ago.
    fn complain(&self, about: About<'_>, code: &str, lasting: bool, text: &str) {
        if !self.book().complaints.is_due(boottime(), about, code) {
            return;
        }
        let peer = about.name();
        if lasting {
            tracing::warn!(target: "links", peer, code, "{text}");
        } else {
            tracing::info!(target: "links", peer, code, "{text}");
        }
    }

    fn complain_of(&self, about: About<'_>, failure: &Failure) {
        self.complain(about, &failure.code(), failure.is_lasting(), &super::log_thread::with_causes(failure));
    }

    /// Whoever has proved to be a node takes its seat, if we know it and it has no twin.
    fn seat(self: &Arc<Self>, peer: &Peer, direction: Direction, sitter: Sitter) -> Result<Seated, Refusal> {
        let node = peer.node;
        let mut book = self.book();
        if !self.file.contains_key(&node) && !book.dialers.contains_key(&node) {
            return Err(Refusal::Stranger { node });
        }
        let (number, evicted) = book.seats.take(node, direction, sitter)?;
        if let Some(endpoint) = &peer.endpoint {
            book.told.insert(node, endpoint.clone());
        }
        if direction == Direction::Incoming {
            book.whereabouts.insert((node, direction), BTreeSet::from([sitter.address.ip]));
        }
        Ok(Seated { hub: Arc::clone(self), node, direction, number, evicted })
    }
}

/// Sits until it is dropped, however the task around it ends.
struct Seated {
    hub: Arc<Hub>,
    node: NodeId,
    direction: Direction,
    number: u64,
    evicted: Evicted,
}

impl Seated {
    /// Our link to the node is up: opens its queue, and tells.
    fn open(&self) -> Outlet {
        let (lanes, outlet) = lanes::lanes();
        self.hub.book().up.insert(self.node, Up { number: self.number, lanes });
        (self.hub.routes.machine)(Input::Linked { node: self.node });
        outlet
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut book = self.hub.book();
        book.seats.leave(self.node, self.direction, self.number);
        // Unless a newer connection has taken over already: then the link is not down.
        let was_up = book.up.get(&self.node).is_some_and(|up| up.number == self.number);
        if was_up {
            book.up.remove(&self.node);
        }
        drop(book);
        if was_up {
            (self.hub.routes.machine)(Input::Unlinked { node: self.node });
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
