//! What comes from the network and should not: each closes its own link at most, and the next good one works.

use super::super::super::handshake::{Link, dial};
use super::*;
use crate::model::{Epoch, Tags};
use crate::raft::{LogEntry, RaftMessage};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) fn report(node: u64, seq: u64) -> PeerMessage {
    let (node, boot) = (NodeId(node), Boot(22));
    PeerMessage::Report(Report { node, boot, seq, epoch: Epoch(0), stopping: false, tags: Tags::default(), database: None })
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// A proper link to node 1, in the name of node 2.
async fn good_link(port: u16) -> Link<TcpStream> {
    let (mut link, ()) = dial(connect(port).await, &local(2, 22, 7002), NodeId(1), |_| Ok(())).await.unwrap();
    link.codec_mut().set_max_frame_length(1 << 30);
    link
}

async fn is_closed(link: &mut Link<TcpStream>) -> bool {
    let next = timeout(PATIENCE, link.next()).await.expect("the link is closed in time");
    next.is_none_or(|heard| heard.is_err())
}

#[tokio::test]
async fn bytes_that_are_no_handshake_close_their_connection_and_harm_nothing() {
    let (listener, port) = listen().await;
    let mut one = Node::start(local(1, 11, port), listener, &[member(2, 1)]);
    let oversized = [&MAGIC[..], &[0xff; 64]].concat();
    let garbage = [&MAGIC[..], &[0, 0, 0, 4, 0xc1, 0, 0xff, 7]].concat();
    for bytes in
        [b"GET /health HTTP/1.1\r\n\r\n".as_slice(), b"\x16\x03\x01\x02\x00\x01\x00\x01", &[0; 1000], &oversized, &garbage, &MAGIC[..4]]
    {
        let mut stream = connect(port).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset says it as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed in time");
        assert!(answer.is_empty(), "nothing is said to a stranger: {answer:?}");
    }
    let mut link = good_link(port).await;
    link.send(wire::encode(&note(3)).unwrap()).await.unwrap();
    assert_eq!(one.note(2).await, 3);
}

#[tokio::test]
async fn frames_that_are_no_message_close_their_link_and_the_next_one_works() {
    let (listener, port) = listen().await;
    let mut one = Node::start(local(1, 11, port), listener, &[member(2, 1)]);
    let oversized: Bytes = vec![0; wire::FRAME_MAX + 1].into();
    let trailing: Bytes = [&wire::encode(&note(1)).unwrap()[..], &[0]].concat().into();
    let foreign = wire::encode(&report(3, 1)).unwrap();
    for bad in [Bytes::from_static(b""), Bytes::from_static(b"\xc1\xc1\xc1"), vec![0x91; 100_000].into(), oversized, trailing, foreign] {
        let mut link = good_link(port).await;
        link.send(wire::encode(&note(8)).unwrap()).await.unwrap();
        assert_eq!(one.note(2).await, 8);
        // The other side may close it before all of it is written.
        let _ = link.send(bad).await;
        assert!(is_closed(&mut link).await);
    }
    let mut link = good_link(port).await;
    link.send(wire::encode(&note(9)).unwrap()).await.unwrap();
    assert_eq!(one.note(2).await, 9);
}

/// Strangers who send the magic, hold on, and come back when they are shown out. Ends with its handle.
fn crowd(port: u16, from: Vec<[u8; 4]>) -> tokio::task::JoinSet<()> {
    from.into_iter()
        .map(|from| async move {
            loop {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from((from, 0))).unwrap();
                let Ok(mut stream) = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await else { continue };
                let _ = stream.write_all(&MAGIC).await;
                let _ = stream.read(&mut [0; 8]).await;
                // As fast as a crowd on a network could, and not as fast as this test's own processor.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .collect()
}

/// Two nodes link while a crowd holds on to both of them and renews.
async fn link_among(crowds: [Vec<[u8; 4]>; 2]) {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let crowds = crowds.map(|from| (crowd(p1, from.clone()), crowd(p2, from)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let since = tokio::time::Instant::now();
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    two.linked(1).await;
    one.linked(2).await;
    // Within a second where nothing else runs, and far below what the back-off of refused peers would come to.
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert!(one.links.hub.book().half_open.len() <= half_open::PEERS_MAX + half_open::STRANGERS_MAX);
    drop(crowds);
}

#[tokio::test]
async fn peers_link_while_strangers_hold_on_and_renew() {
    let elsewhere: Vec<_> = (0..200).map(|n| [127, 0, 7, n]).collect();
    link_among([elsewhere, vec![]]).await;
}

#[tokio::test]
async fn peers_link_while_strangers_hold_on_at_their_own_address_and_at_one_other() {
    link_among([vec![[127, 0, 0, 1]; 100], vec![[127, 0, 7, 7]; 100]]).await;
}

#[tokio::test]
async fn a_stranger_who_holds_on_is_shown_out_when_the_handshake_is_over() {
    let (listener, port) = listen().await;
    let one = Node::start(local(1, 11, port), listener, &[member(2, 1)]);
    let mut held = connect(port).await;
    let since = tokio::time::Instant::now();
    held.write_all(&MAGIC).await.unwrap();
    let end = timeout(PATIENCE, held.read(&mut [0; 8])).await.expect("it is shown out");
    assert!(matches!(end, Ok(0) | Err(_)) && since.elapsed() > Duration::from_millis(1500), "{:?}", since.elapsed());
    let empty = timeout(PATIENCE, async {
        while one.links.hub.book().half_open.len() > 0 {
            tokio::task::yield_now().await;
        }
    });
    empty.await.expect("its place is free again");
}

fn append(length: usize) -> PeerMessage {
    let entries = vec![LogEntry { kind: 0, term: 1, index: 1, data: vec![7; length], context: Vec::new() }];
    PeerMessage::Raft(Box::new(RaftMessage {
        kind: ::raft::eraftpb::MessageType::MsgAppend as u8,
        from: RaftId(1),
        to: RaftId(2),
        term: 1,
        log_term: 0,
        index: 0,
        commit: 0,
        commit_term: 0,
        reject: false,
        reject_hint: 0,
        request_snapshot: 0,
        priority: 0,
        context: Vec::new(),
        entries,
        snapshot: None,
    }))
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_a_bounded_memory_and_then_its_link() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    // Node 2 shakes hands and then never reads.
    let deaf = tokio::spawn(async move {
        let (stream, _) = l2.accept().await.unwrap();
        let accepted = super::super::super::handshake::accept(stream, &local(2, 22, p2), |_| Ok(())).await;
        let _held = accepted.map(|(link, _, ())| link).unwrap();
        std::future::pending::<()>().await;
    });
    one.linked(2).await;
    let length = 512 << 10;
    let mut taken = 0;
    let mut refused = 0;
    // Until the kernel's buffers are full, too, room is made now and then.
    while refused < 1000 {
        if one.links.send(NodeId(2), &append(length)) {
            taken += length;
        } else {
            refused += 1;
        }
        tokio::task::yield_now().await;
    }
    // The queue's 8 MiB, a frame or two on the way, and what the kernel buffers on both sides of a loopback connection.
    assert!(taken < 40 << 20, "{} MiB were taken in for a peer that reads nothing", taken >> 20);
    one.unlinked(2).await;
    assert!(!one.links.send(NodeId(2), &note(1)));
    deaf.abort();
}

#[tokio::test]
async fn a_peer_that_floods_is_read_slower() {
    let (listener, port) = listen().await;
    let mut one = Node::start(local(1, 11, port), listener, &[member(2, 1)]);
    let mut link = good_link(port).await;
    let since = tokio::time::Instant::now();
    let count = 3000;
    for term in 0..count {
        link.feed(wire::encode(&note(term)).unwrap()).await.unwrap();
    }
    SinkExt::<Bytes>::flush(&mut link).await.unwrap();
    while one.note(2).await + 1 < count {}
    // 1000 at once, and the rest at 2000 a second; nothing is lost.
    assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
}
