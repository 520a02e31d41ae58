//! Accepts, looks at the first bytes without consuming them, and hands each connection to whom it belongs.
//!
//! Peer links carry Raft, so a crowd on the HTTP side must never keep them out. HTTP connections are counted by themselves ([`super::lobby`]),
//! and peers are not; and when too many connections have not yet said anything, the one that has been silent longest is shown out, never
//! the newest: a peer speaks at once. The Unix socket has an entrance and places of its own.

use super::http::From;
use super::listen::Listener;
use super::lobby::Lobby;
use super::routes::Routes;
use super::throttle::Throttle;
use super::{Wires, http, local};
use crate::api::Config;
use crate::api::first_bytes::{ENOUGH, Guest, recognise};
use crate::tree::clock::Clock;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;

/// After `accept` failed for want of descriptors or memory: trying again at once would only burn the CPU that could free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The magic may arrive in pieces, and `peek` does not wait for more of them.
const PEEK_PAUSE: Duration = Duration::from_millis(10);

/// So many connections over the Unix socket at a time.
const LOCAL_MAX: usize = 64;

/// Somebody who was let in and has shown what it is.
struct Entered {
    guest: Guest,
    stream: TcpStream,
    from: SocketAddr,
}

struct Door {
    config: Arc<Config>,
    clock: Clock,
    routes: Routes,
    peer_link: Arc<dyn Fn(TcpStream, SocketAddr) + Send + Sync>,
    stop: watch::Receiver<bool>,
    /// Those who have not yet shown what they are.
    undecided: JoinSet<Option<Entered>>,
    /// The same in the order of their coming, for showing out; some have left by themselves.
    queue: VecDeque<AbortHandle>,
    /// HTTP connections.
    conversations: JoinSet<()>,
    lobby: Lobby,
    local: Lobby,
    crowded: Throttle,
    strange: Throttle,
}

pub(super) async fn serve(listener: &Listener, config: &Arc<Config>, wires: &Wires, routes: Routes, mut stop: watch::Receiver<bool>) {
    let mut door = Door {
        config: Arc::clone(config),
        clock: wires.clock,
        routes,
        peer_link: Arc::clone(&wires.peer_link),
        stop: stop.clone(),
        undecided: JoinSet::new(),
        queue: VecDeque::new(),
        conversations: JoinSet::new(),
        lobby: Lobby::new(config.connections_max),
        local: Lobby::new(LOCAL_MAX),
        crowded: Throttle::default(),
        strange: Throttle::default(),
    };
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(entered) = door.undecided.join_next() => door.enter(entered),
            Some(ended) = door.conversations.join_next() => complain_of_panic(ended),
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, from)) => door.look_at(stream, from),
                Err(error) => pause_after(&error).await,
            },
            accepted = accept_local(listener) => match accepted {
                Ok(stream) => door.enter_local(stream),
                Err(error) => pause_after(&error).await,
            }
        }
    }
    drop(door.undecided);
    let goodbyes = async { while door.conversations.join_next().await.is_some() {} };
    if timeout(config.stop_timeout, goodbyes).await.is_err() {
        tracing::warn!(timeout_ms = config.stop_timeout.as_millis(), "some HTTP answers did not finish before the stop and are cut off");
    }
}

async fn accept_local(listener: &Listener) -> io::Result<UnixStream> {
    match &listener.local {
        Some(local) => Ok(local.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// Returns when the stop was asked for. Whoever might have asked for it being gone is no stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Door {
    fn look_at(&mut self, stream: TcpStream, from: SocketAddr) {
        // Two small writes and a delayed acknowledgement would make 40 ms of every answer. A socket that is already dead needs no care.
        let _ = stream.set_nodelay(true);
        while self.queue.front().is_some_and(AbortHandle::is_finished) {
            self.queue.pop_front();
        }
        if self.undecided.len() >= self.config.connections_max
            && let Some(oldest) = self.queue.pop_front()
        {
            oldest.abort();
        }
        let limit = self.config.first_bytes_timeout;
        let task = self.undecided.spawn(async move {
            let guest = timeout(limit, first_bytes(&stream)).await.ok().flatten()?;
            Some(Entered { guest, stream, from })
        });
        self.queue.push_back(task);
    }

    fn enter(&mut self, entered: Result<Option<Entered>, JoinError>) {
        let Ok(Some(Entered { guest, stream, from })) = entered else { return };
        match guest {
            Guest::Peer => (self.peer_link)(stream, from),
            Guest::Http => self.converse(stream, from),
            Guest::StrangePeer { version } => {
                if self.strange.lets_through(self.clock.now()) {
                    tracing::warn!(%from, version, "a peer speaks another version of the peer protocol: run the same Witch on every node");
                }
                self.dismiss(stream);
            }
            Guest::Tls | Guest::Postgres => {
                tracing::debug!(%from, ?guest, "closed: this port speaks plain HTTP and the peer protocol only");
                self.dismiss(stream);
            }
        }
    }

    fn converse(&mut self, stream: TcpStream, there: SocketAddr) {
        // A socket that has no address any more is dead.
        let Ok(here) = stream.local_addr() else { return };
        let (place, shown_out, crowded) = self.lobby.enter(there.ip());
        if crowded && self.crowded.lets_through(self.clock.now()) {
            let connections_max = self.config.connections_max;
            tracing::warn!(from = %there, connections_max, "too many HTTP connections are open: who has waited longest for a request has to go");
        }
        http::limit_writing(&stream, &self.config);
        let from = From::Network { there, here: here.ip() };
        let (config, routes, stop) = (Arc::clone(&self.config), self.routes.clone(), self.stop.clone());
        self.conversations.spawn(http::converse(stream, from, config, routes, stop, (place, shown_out)));
    }

    fn enter_local(&mut self, stream: UnixStream) {
        let Some(uid) = local::admitted(&stream, &mut self.strange, self.clock.now()) else { return };
        let (place, shown_out, _) = self.local.enter(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (config, routes, stop) = (Arc::clone(&self.config), self.routes.clone(), self.stop.clone());
        self.conversations.spawn(http::converse(stream, From::Socket { uid }, config, routes, stop, (place, shown_out)));
    }

    /// Closes in an orderly way, so that the other side sees an end and not a reset.
    fn dismiss(&mut self, mut stream: TcpStream) {
        // One more than may converse is shown out of the lobby; goodbyes have no place there, and are bounded by this.
        if self.conversations.len() >= self.config.connections_max * 2 {
            return;
        }
        let limit = self.config.first_bytes_timeout;
        self.conversations.spawn(async move {
            // What it had to say must be read, or the kernel answers it with a reset. Nobody is left to be told if this fails.
            let farewell = async {
                let _ = stream.try_read(&mut [0; 1024]);
                let _ = stream.shutdown().await;
            };
            let _ = timeout(limit, farewell).await;
        });
    }
}

/// Waits for enough bytes to tell who it is; None if it left before.
async fn first_bytes(stream: &TcpStream) -> Option<Guest> {
    let mut bytes = [0; ENOUGH];
    loop {
        let count = stream.peek(&mut bytes).await.ok().filter(|count| *count > 0)?;
        if let Some(guest) = recognise(&bytes[..count]) {
            return Some(guest);
        }
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

fn complain_of_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "answering an HTTP request panicked; the connection is closed");
    }
}

async fn pause_after(error: &io::Error) {
    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections just now; the limit of open files (`LimitNOFILE`) may be too low");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
