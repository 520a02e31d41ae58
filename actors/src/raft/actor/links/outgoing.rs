//! The connection that we dial, and send on.

use super::super::handshake::{Address, Failure, Link, dial};
use super::addresses::Addresses;
use super::complaints::About;
use super::lanes::Outlet;
use super::seats::{Direction, Evicted, Sitter};
use super::{Hub, Seated, socket, wire};
use crate::model::{Endpoint, NodeId};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A peer that takes in nothing for so long is frozen or gone.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// So many frames are written before we look whether the link still stands.
const GROUP_MAX: usize = 64;
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Keeps a link to that node for as long as the task lives; the places at which it may be are tried by turns.
pub(super) async fn keep(hub: Arc<Hub>, node: NodeId, logged: Endpoint) {
    let mut turn = 0;
    let mut chance = SmallRng::from_os_rng();
    let mut back_off = BACK_OFF_MIN;
    let mut known: BTreeMap<Endpoint, Addresses> = BTreeMap::new();
    loop {
        let places = hub.places(node, &logged);
        let endpoint = &places[turn % places.len()];
        let peer = format!("node {node} at {endpoint}");
        known.retain(|place, _| places.contains(place));
        let look_up = || Addresses::new(&endpoint.host, endpoint.port, Arc::clone(&hub.resolver));
        let addresses = known.entry(endpoint.clone()).or_insert_with(look_up);
        match connect(&hub, node, addresses, endpoint.port).await {
            Ok((mut link, mut seated)) => {
                tracing::info!(target: "links", peer, "linked");
                let since = Instant::now();
                let mut outlet = seated.open();
                let end = carry(&mut link, &mut outlet, &mut seated.evicted).await;
                drop(seated);
                if since.elapsed() >= BACK_OFF_MAX {
                    back_off = BACK_OFF_MIN;
                    hub.book().complaints.forget(&peer);
                }
                hub.complain(About::Peer(&peer), "lost", false, &format!("the link is lost: {end}"));
            }
            Err(failure) => {
                hub.complain_of(About::Peer(&peer), &failure);
                turn += 1;
            }
        }
        // Half of it is left to chance, so that nodes which lost each other at once do not dial at once.
        sleep(back_off.mul_f64(chance.random_range(0.5..1.0))).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

async fn connect(hub: &Arc<Hub>, node: NodeId, addresses: &mut Addresses, port: u16) -> Result<(Link<TcpStream>, Seated), Failure> {
    let stale = addresses.look_up().await.map_err(Failure::Unreachable)?;
    // Where it is to be found is where it may come from.
    hub.book().whereabouts.insert((node, Direction::Outgoing), addresses.known().collect());
    let stream = addresses.connect(stale).await.map_err(Failure::Unreachable)?;
    socket::prepare(&stream)?;
    let address = Address { ip: stream.peer_addr()?.ip().to_canonical(), port };
    let admit = |peer: &super::Peer| hub.seat(peer, Direction::Outgoing, Sitter { boot: peer.boot, address });
    let (mut link, seated) = dial(stream, &hub.local, node, admit).await?;
    link.codec_mut().set_max_frame_length(wire::FRAME_MAX);
    Ok((link, seated))
}

/// Sends until something ends it, and says what. The other side never speaks on this connection.
async fn carry(link: &mut Link<TcpStream>, outlet: &mut Outlet, evicted: &mut Evicted) -> String {
    loop {
        let first = tokio::select! {
            biased;
            _ = &mut *evicted => return "another connection took its place, or the node is no member any more".to_owned(),
            heard = link.next() => return match heard {
                None => "the other side closed it".to_owned(),
                Some(Err(error)) => error.to_string(),
                Some(Ok(_)) => "the other side spoke out of turn".to_owned(),
            },
            frame = outlet.next() => frame,
        };
        let Some(first) = first else { return "its queue was closed".to_owned() };
        if let Err(error) = write(link, first, outlet).await {
            return error.to_string();
        }
    }
}

/// What has queued up meanwhile goes out in the same packets.
async fn write(link: &mut Link<TcpStream>, first: Bytes, outlet: &mut Outlet) -> io::Result<()> {
    in_time(link.feed(first)).await?;
    for _ in 1..GROUP_MAX {
        let Some(frame) = outlet.try_next() else { break };
        in_time(link.feed(frame)).await?;
    }
    in_time(SinkExt::<Bytes>::flush(link)).await
}

async fn in_time(step: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("it took in nothing for {} s", WRITE_MAX.as_secs()));
    timeout(WRITE_MAX, step).await.unwrap_or_else(|_| Err(late()))
}
