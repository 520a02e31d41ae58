//! One port for everybody, told apart by the first bytes.

use super::world::*;
use crate::api::Config;
use crate::api::actor::{ListenError, listen};
use crate::api::first_bytes::PEER_MAGIC;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn a_peer_link_is_handed_over_with_nothing_consumed_even_if_its_magic_comes_in_pieces() {
    let mut world = world(config()).await;
    for pieces in [vec![8], vec![1, 7], vec![3, 3, 2]] {
        let mut peer = world.connect().await;
        let mut magic = PEER_MAGIC.as_slice();
        for piece in pieces {
            peer.write_all(&magic[..piece]).await.unwrap();
            magic = &magic[piece..];
            // Another client in between, so that the pieces really arrive one by one.
            assert_eq!(world.get("/primary").await.code, 200);
        }
        let mut handed = timeout(DEADLINE, world.links.recv()).await.expect("it is handed over in time").expect("the API lives");
        let mut bytes = [0; 8];
        handed.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, PEER_MAGIC);
        assert!(handed.nodelay().unwrap());
    }
}

/// Reads until the end; a reset counts as one.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    // What arrived before a reset stays in `bytes`.
    let _ = timeout(DEADLINE, reading).await.expect("it is closed in time");
    bytes
}

#[tokio::test]
async fn guests_that_are_not_served_are_closed_and_nobody_is_bothered() {
    let mut world = world(config()).await;
    let ssl_request: &[u8] = &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    for hello in [ssl_request, b"\x16\x03\x01\x02\x00\x01", b"WITCH\0\0\x07 of a later version"] {
        let mut guest = world.connect().await;
        guest.write_all(hello).await.unwrap();
        assert_eq!(until_closed(&mut guest).await, b"", "{hello:?}");
    }
    assert!(world.links.try_recv().is_err());
    assert_eq!(world.get("/health").await.code, 200);
}

#[tokio::test]
async fn what_is_no_http_is_told_so_and_closed() {
    let world = world(config()).await;
    for garbage in ["hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\u{1}\r\n\r\n", "\u{7f}\u{7f}\u{7f}\r\n\r\n"] {
        let mut guest = world.connect().await;
        guest.write_all(garbage.as_bytes()).await.unwrap();
        let answer = until_closed(&mut guest).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{garbage:?}: {}", String::from_utf8_lossy(&answer));
    }
    let mut guest = world.connect().await;
    guest.write_all(format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000)).as_bytes()).await.unwrap();
    assert!(until_closed(&mut guest).await.starts_with(b"HTTP/1.1 431"));
    assert_eq!(world.get("/health").await.code, 200);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let world = world(config()).await;
    let port = world.address().port();
    let error = listen(&Config { port, ..config() }).await.expect_err("the port is taken");
    assert!(matches!(&error, ListenError::PortInUse { port: taken, .. } if *taken == port), "{error:?}");
    assert!(error.to_string().contains("ss -ltnp") && error.to_string().contains("cluster.bind_port"), "{error}");
    let error = listen(&Config { host: "192.0.2.1".into(), ..config() }).await.expect_err("not our address");
    assert!(matches!(error, ListenError::NotOurs { .. }), "{error:?}");
}
