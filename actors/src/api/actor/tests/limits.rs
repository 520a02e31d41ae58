//! Clients that dawdle, crowd, or will not leave.

use super::world::*;
use crate::api::Config;
use crate::api::actor::{Answers, Wires, child, listen};
use crate::api::first_bytes::PEER_MAGIC;
use crate::fsm::Refusal;
use crate::tree::Tree;
use crate::tree::clock::Clock;
use crate::tree::restart::RestartPolicy;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(300);

fn impatient() -> Config {
    Config {
        first_bytes_timeout: SHORT,
        first_head_timeout: SHORT,
        head_timeout: SHORT,
        body_timeout: SHORT,
        write_timeout: SHORT,
        ..config()
    }
}

/// What it is answered until the other side closes.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // What arrived before a reset stays in `bytes`.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("it is cut off in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let world = world(impatient()).await;
    let mut silent = world.connect().await;
    assert_eq!(until_closed(&mut silent).await, "");
    let mut beginning_like_a_peer = world.connect().await;
    beginning_like_a_peer.write_all(b"WITC").await.unwrap();
    assert_eq!(until_closed(&mut beginning_like_a_peer).await, "");
}

#[tokio::test]
async fn a_slowloris_is_cut_off_in_its_head_and_in_its_body() {
    let world = world(impatient()).await;
    let mut slow = world.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    let dripping = async {
        // One more byte every now and then does not buy more time.
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, dripping).await.expect("it is cut off in time");
    let mut slow = world.connect().await;
    let head = b"POST /switchover HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer the right token\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    slow.write_all(head).await.unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_slow"), "{answer}");
}

/// One answer on a connection that is kept: up to the end of its JSON.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut bytes = [0; 4096];
        let count = timeout(DEADLINE, stream.read(&mut bytes)).await.expect("it answers in time").expect("it answers");
        assert_ne!(count, 0, "closed after {answer}");
        answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    answer
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_and_then_closed() {
    let world = world(impatient()).await;
    let mut idle = world.connect().await;
    for _ in 0..2 {
        idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    }
    until_closed(&mut idle).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let world = world(Config { connections_max: 1, ..impatient() }).await;
    let mut deaf = world.connect().await;
    let asking = async {
        let request = b"GET /node HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
        // Fails once it is cut off, since nothing it is answered is ever read.
        while deaf.write_all(&request).await.is_ok() {}
    };
    timeout(DEADLINE, asking).await.expect("it is cut off in time");
    let served = async {
        // Its place is the only one.
        while !answers(&world).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, served).await.expect("the place is free again");
}

/// Whether there is a place for one more client.
async fn answers(world: &World) -> bool {
    let mut client = world.connect().await;
    // Fails when it is turned away.
    let _ = client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    until_closed(&mut client).await.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn a_crowd_of_http_clients_never_keeps_a_peer_out() {
    let mut world = world(Config { connections_max: 4, first_bytes_timeout: DEADLINE * 10, ..config() }).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut client = world.connect().await;
        client.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        crowd.push(client);
    }
    assert!(answers(&world).await, "a complete request has its place");
    // Twice as many as may be silent: those who came first are shown out.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(world.connect().await);
    }
    assert_eq!(until_closed(&mut silent[0]).await, "");
    let mut peer = world.connect().await;
    peer.write_all(&PEER_MAGIC).await.unwrap();
    timeout(DEADLINE, world.links.recv()).await.expect("the peer is let in").expect("the API lives");
}

/// Half requests, renewed as soon as they are shown out: a load balancer sees a node that is well.
#[tokio::test]
async fn a_crowd_of_half_requests_never_keeps_a_load_balancer_out() {
    let world = world(config()).await;
    let address = world.address();
    let crowd: tokio::task::JoinSet<()> = (0..300)
        .map(|number: u16| async move {
            loop {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                // A third of them from one address of this host, the others from many.
                let from = if number.is_multiple_of(3) { [127, 0, 0, 1] } else { [127, 0, 9, u8::try_from(number % 256).unwrap()] };
                socket.bind((from, 0).into()).unwrap();
                let Ok(mut half) = socket.connect(address).await else { continue };
                let _ = half.write_all(b"GET /primary HTTP/1.1\r\nX: ").await;
                let _ = half.read(&mut [0; 64]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .collect();
    for _ in 0..30 {
        assert!(answers(&world).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(crowd);
}

#[tokio::test]
async fn a_first_head_that_is_slow_goes_early_and_an_idle_connection_stays() {
    let world = world(Config { first_head_timeout: SHORT, head_timeout: DEADLINE * 10, ..config() }).await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    let mut slow = world.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    assert_eq!(until_closed(&mut slow).await, "");
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn many_clients_are_served_in_parallel() {
    let world = world(config()).await;
    let clients: Vec<_> = (0..200)
        .map(|number| {
            let address = world.address();
            tokio::spawn(async move {
                let path = ["/health", "/primary", "/node", "/cluster", "/history"][number % 5];
                call(address, "GET", path, &[], "").await.code
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish_and_takes_nothing_new() {
    let mut world = world(config()).await;
    let address = world.address();
    let asking = tokio::spawn(async move { call(address, "POST", "/switchover", &[], "").await });
    let (id, _) = world.next_asked().await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    world.stop.send_replace(true);
    until_closed(&mut idle).await;
    world.answers.refuse(id, Refusal { rule: "stopping".into(), reason: "the daemon stops".into() });
    assert_eq!(asking.await.unwrap().code, 409);
    timeout(DEADLINE, world.serving).await.expect("it ends in time").unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut world = world(Config { stop_timeout: SHORT, ..config() }).await;
    let address = world.address();
    let asking = tokio::spawn(async move {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"POST /switchover HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer the right token\r\n\r\n").await.unwrap();
        until_closed(&mut client).await
    });
    world.next_asked().await;
    world.stop.send_replace(true);
    timeout(DEADLINE, world.serving).await.expect("it ends in time").unwrap();
    assert_eq!(asking.await.unwrap(), "", "it was cut off without an answer");
}

/// The supervised actor is killed: the port stays bound, and the next life serves it.
#[tokio::test]
async fn the_port_survives_the_death_of_the_actor() {
    let config = config();
    let listener = listen(&config).await.expect("the port is free");
    let address = listener.address();
    let (_status, seen) = watch::channel(Some(Arc::new(primary())));
    let (stop, stopped) = watch::channel(false);
    let wires =
        Wires { clock: Clock::Boot, status: seen, ask: Arc::new(|_, _| {}), answers: Answers::new(), peer_link: Arc::new(|_, _| {}) };
    let tree = Tree::start(Clock::Boot, RestartPolicy::default(), vec![child(listener, config, wires, stopped)]).await.expect("it starts");
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(&mut held).await;
    tree.kill("api");
    // The connections of the dead actor end with it, and the port was never closed: who connects now is served by the next life.
    until_closed(&mut held).await;
    assert_eq!(call(address, "GET", "/health", &[], "").await.code, 200);
    stop.send_replace(true);
    tree.stop();
}
