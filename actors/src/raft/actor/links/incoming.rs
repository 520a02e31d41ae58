//! The connection that a peer dialled, and that we only hear on.

use super::super::handshake::{Address, Failure, Link, accept};
use super::allowance::Allowance;
use super::complaints::About;
use super::half_open::ShownOut;
use super::seats::{Direction, Sitter};
use super::{Hub, Peer, Seated, socket, wire};
use crate::raft::{Input, PeerMessage};
use crate::tree::clock::boottime;
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

pub(super) async fn serve(hub: Arc<Hub>, stream: TcpStream, remote: SocketAddr, (number, shown_out): (u64, ShownOut)) {
    let shaken = tokio::select! {
        biased;
        shaken = shake(&hub, stream, remote) => Some(shaken),
        _ = shown_out => None,
    };
    hub.book().half_open.leave(number);
    let from = remote.ip().to_canonical();
    match shaken {
        Some(Ok((mut link, mut seated))) => {
            let end = hear(&hub, &mut link, &mut seated).await;
            if let Some(fault) = end {
                let peer = format!("node {} from {from}", seated.node);
                hub.complain(About::Peer(&peer), "foreign", true, &format!("its link is closed: {fault}"));
            }
        }
        // Whoever it was, all that is known of it is where it came from.
        Some(Err(failure)) => hub.complain_of(About::Stranger(&from.to_string()), &failure),
        None => {}
    }
}

async fn shake(hub: &Arc<Hub>, stream: TcpStream, remote: SocketAddr) -> Result<(Link<TcpStream>, Seated), Failure> {
    socket::prepare(&stream)?;
    let admit = |peer: &Peer| {
        let port = peer.endpoint.as_ref().map_or(remote.port(), |endpoint| endpoint.port);
        let sitter = Sitter { boot: peer.boot, address: Address { ip: remote.ip().to_canonical(), port } };
        hub.seat(peer, Direction::Incoming, sitter)
    };
    let (mut link, _, seated) = accept(stream, &hub.local, admit).await?;
    link.codec_mut().set_max_frame_length(wire::FRAME_MAX);
    Ok((link, seated))
}

/// Hears until the link ends. Answers what the peer did wrong, if that is why.
async fn hear(hub: &Hub, link: &mut Link<TcpStream>, seated: &mut Seated) -> Option<String> {
    let from = seated.node;
    let mut allowance = Allowance::default();
    loop {
        let frame = tokio::select! {
            biased;
            _ = &mut seated.evicted => return None,
            frame = link.next() => frame?,
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Some(error.to_string()),
            // It broke. The other side dials again and says why, and our own link tells the machine.
            Err(_) => return None,
        };
        match wire::decode(&frame) {
            Ok(PeerMessage::Report(report)) if report.node == from => (hub.routes.report)(from, report),
            Ok(PeerMessage::Report(report)) => return Some(format!("it sent a report of node {}", report.node)),
            Ok(message) => (hub.routes.machine)(Input::Heard { from, message: Box::new(message) }),
            Err(error) => return Some(error.to_string()),
        }
        let pause = allowance.charge(boottime(), frame.len());
        if !pause.is_zero() {
            tokio::select! {
                _ = &mut seated.evicted => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
