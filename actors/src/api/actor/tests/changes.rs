//! What changes the cluster, with the test in the FSM's place.

use super::world::*;
use crate::api::Config;
use crate::fsm::{Refusal, Request};
use crate::model::{NodeId, RequestId, Status};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn refusal() -> Refusal {
    Refusal { rule: "lagging".into(), reason: "`bert` is 9 MB behind".into() }
}

#[tokio::test]
async fn a_switchover_answers_when_the_committed_state_says_that_it_ended() {
    let mut world = world(config()).await;
    let address = world.address();
    for (body, expected) in [
        (r#"{"to":"bert"}"#, Some(NodeId(2))),
        (r#"{"to":2}"#, Some(NodeId(2))),
        (r#"{"to":"2"}"#, Some(NodeId(2))),
        ("{}", None),
        ("", None),
    ] {
        let head: &[_] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let asking = tokio::spawn(call(address, "POST", "/switchover", head, body));
        let (id, request) = world.next_asked().await;
        assert_eq!(request, Request::Switchover { to: expected }, "{body}");
        assert_eq!(world.get(&format!("/requests/{id}")).await.json(), json!({"state": "pending", "id": id}));
        world.commit_end(id, None);
        let reply = asking.await.unwrap();
        assert_eq!(reply.code, 200);
        assert_eq!(reply.json(), json!({"from": 1, "to": 2, "epoch": 2, "timeline": 2, "duration_ms": 321}));
    }
}

async fn asking(world: &World, path: &'static str) -> tokio::task::JoinHandle<Reply> {
    let address = world.address();
    tokio::spawn(async move { call(address, "POST", path, &[], "").await })
}

#[tokio::test]
async fn a_refusal_reaches_its_asker_with_rule_and_reason() {
    let mut world = world(config()).await;
    let first = asking(&world, "/switchover").await;
    let (id, _) = world.next_asked().await;
    let second = asking(&world, "/failover/pause").await;
    let (other, request) = world.next_asked().await;
    assert_eq!(request, Request::Pause);
    world.answers.refuse(id, refusal());
    let reply = first.await.unwrap();
    assert_eq!(reply.code, 409);
    assert_eq!(reply.json(), json!({"error": "refused", "reason": "`bert` is 9 MB behind", "rule": "lagging", "id": id}));
    let fate = world.get(&format!("/requests/{id}")).await.json();
    assert_eq!(fate, json!({"state": "refused", "id": id, "rule": "lagging", "reason": "`bert` is 9 MB behind"}));
    world.commit_end(other, None);
    assert_eq!(second.await.unwrap().json(), json!({"paused": true, "epoch": 2}));
}

#[tokio::test]
async fn a_switchover_that_fails_on_its_way_says_why() {
    let mut world = world(config()).await;
    let asking = asking(&world, "/switchover").await;
    let (id, _) = world.next_asked().await;
    world.commit_end(id, Some("`bert` did not receive the final checkpoint"));
    let reply = asking.await.unwrap();
    assert_eq!((reply.code, reply.error().as_str()), (409, "failed"));
    assert_eq!(reply.reason(), "`bert` did not receive the final checkpoint");
    let fate = world.get(&format!("/requests/{id}")).await.json();
    assert_eq!(fate, json!({"state": "failed", "id": id, "reason": "`bert` did not receive the final checkpoint"}));
}

#[tokio::test]
async fn without_an_outcome_in_time_the_answer_is_an_id_to_ask_about() {
    let limit = Duration::from_millis(200);
    let mut world = world(Config { switchover_timeout: limit, pause_timeout: limit, ..config() }).await;
    for path in ["/switchover", "/failover/resume"] {
        let reply = world.post(path, "").await;
        assert_eq!((reply.code, reply.error().as_str()), (504, "no_outcome_yet"), "{path}");
        let (id, _) = world.next_asked().await;
        assert_eq!(reply.json()["id"], json!(id));
        assert_eq!(world.get(&format!("/requests/{id}")).await.json()["state"], "pending");
        world.commit_end(id, None);
        assert_eq!(world.get(&format!("/requests/{id}")).await.json()["state"], "done");
    }
}

#[tokio::test]
async fn an_unknown_request_is_404() {
    let world = world(config()).await;
    assert_eq!(world.get("/requests/77").await.error(), "unknown_request");
    assert_eq!(world.get("/requests/x").await.code, 400);
    // A refusal that nobody here asked for is not remembered, and harms nobody.
    world.answers.refuse(RequestId(77), refusal());
    assert_eq!(world.get("/requests/77").await.code, 404);
}

#[tokio::test]
async fn an_unknown_target_is_refused_with_the_names_and_nothing_is_asked() {
    let mut world = world(config()).await;
    for body in [r#"{"to":"dora"}"#, r#"{"to":9}"#, r#"{"to":""}"#, r#"{"to":"-1"}"#] {
        let reply = world.post("/switchover", body).await;
        assert_eq!((reply.code, reply.error().as_str()), (404, "unknown_member"), "{body}");
        assert!(reply.reason().contains("`anna` (node 1), `bert` (node 2), `carl` (node 3)"), "{}", reply.reason());
    }
    let mut status = primary();
    status.state.as_mut().unwrap().members.get_mut(&NodeId(1)).unwrap().name = "bert".into();
    world.publish(status);
    assert_eq!(world.post("/switchover", r#"{"to":"bert"}"#).await.error(), "ambiguous_member");
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn nothing_is_asked_of_a_wedged_fsm_or_outside_a_cluster() {
    let mut world = world(config()).await;
    world.publish(Status { at: ago(61), ..primary() });
    assert_eq!(world.post("/switchover", "").await.error(), "wedged");
    world.publish(Status { state: None, ..primary() });
    assert_eq!(world.post("/failover/pause", "").await.error(), "no_member");
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn bad_input_is_4xx_and_asks_nothing() {
    let mut world = world(config()).await;
    for body in ["{", "[]", "null", "7", r#"{"to":true}"#, r#"{"to":-1}"#, r#"{"target":"bert"}"#, r#"{"to":1}{"to":2}"#, "\u{1}"] {
        let reply = world.post("/switchover", body).await;
        assert_eq!((reply.code, reply.error().as_str()), (400, "malformed"), "{body}");
    }
    assert_eq!(world.post("/failover/pause", r#"{"to":1}"#).await.code, 400);
    let deep = "[".repeat(60_000);
    assert_eq!(world.post("/switchover", &deep).await.code, 400, "nesting does not exhaust the stack");
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn a_body_over_64_kib_is_413_with_or_without_a_length() {
    let mut world = world(config()).await;
    let json: &[_] = &[("content-type", "application/json")];
    for length in [64 * 1024 + 1, 300_000, 5_000_000] {
        let reply = call(world.address(), "POST", "/switchover", json, " ".repeat(length)).await;
        assert_eq!((reply.code, reply.error().as_str()), (413, "too_large"), "{length}");
    }
    let padded = format!("{{}}{}", " ".repeat(64 * 1024 - 2));
    let asking = tokio::spawn(call(world.address(), "POST", "/switchover", json, padded));
    let (id, _) = world.next_asked().await;
    world.commit_end(id, None);
    assert_eq!(asking.await.unwrap().code, 200, "64 KiB are still fine");
    assert!(world.was_not_asked());
}

/// On loopback, where the listener is: other users of the host, and whatever forwards to it, come from there, too.
#[tokio::test]
async fn a_token_that_is_set_is_always_asked_for() {
    let mut world = world(config()).await;
    for authorization in
        ["", "Bearer", "Bearer ", "Bearer the wrong token", "Bearer the right toke", "Basic the right token", "the right token"]
    {
        let head: &[_] = if authorization.is_empty() { &[] } else { &[("authorization", authorization)] };
        for path in ["/switchover", "/failover/pause", "/failover/resume"] {
            let reply = call_with(world.address(), "POST", path, head, "").await;
            assert_eq!((reply.code, reply.error().as_str()), (401, "unauthorized"), "{authorization} {path}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    let twice = [("authorization", "Bearer the wrong token"), ("authorization", "bearer the right token")];
    assert_eq!(call_with(world.address(), "POST", "/switchover", &twice, "").await.code, 401, "the first one counts");
    assert!(world.was_not_asked());
    assert_eq!(call_with(world.address(), "GET", "/cluster", &[], "").await.code, 200, "reading needs no token");
    let asking = tokio::spawn(call(world.address(), "POST", "/failover/resume", &[], ""));
    let (id, request) = world.next_asked().await;
    assert_eq!(request, Request::Resume);
    world.commit_end(id, None);
    assert_eq!(asking.await.unwrap().json(), json!({"paused": false, "epoch": 2}));
}

#[tokio::test]
async fn without_a_token_only_the_unix_socket_changes_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    // One that a dead daemon left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let socket = Some(path.to_str().unwrap().to_owned());
    let mut world = world(Config { token: None, socket, ..config() }).await;
    for head in [&[][..], &[("authorization", "Bearer the right token")], &[("authorization", "Bearer ")]] {
        let reply = call_with(world.address(), "POST", "/failover/pause", head, "").await;
        assert_eq!((reply.code, reply.error().as_str()), (403, "socket_only"), "{head:?}");
        assert!(reply.reason().contains("api.token") && reply.reason().contains("as root"), "{}", reply.reason());
    }
    assert!(world.was_not_asked());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let asking = tokio::spawn(async move {
        let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
        stream.write_all(b"POST /failover/pause HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    let (id, request) = world.next_asked().await;
    assert_eq!(request, Request::Pause);
    world.commit_end(id, None);
    let answer = tokio::time::timeout(DEADLINE, asking).await.expect("it answers in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"paused\":true"), "{answer}");
}

/// What `nc -N` does: it says what it has to say, and shuts down its sending side.
#[tokio::test]
async fn a_client_that_only_listens_after_its_request_is_answered() {
    let mut world = world(config()).await;
    for (method, path) in [("POST", "/failover/pause"), ("POST", "/switchover"), ("GET", "/primary"), ("GET", "/node")] {
        let mut client = world.connect().await;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer the right token\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        if method == "POST" {
            let (id, _) = world.next_asked().await;
            // Long enough for the end of its sending to be read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.commit_end(id, None);
        }
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, client.read_to_end(&mut answer)).await.expect("it is closed in time").unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with('}'), "{method} {path}: {answer}");
    }
    // Half a request has no effect, and no answer that says so.
    let mut client = world.connect().await;
    client.write_all(b"POST /failover/pause HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer the right token\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, client.read_to_end(&mut answer)).await.expect("it is closed in time");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn a_name_that_is_not_ours_and_doubled_heads_are_refused() {
    let world = world(config()).await;
    let ask = async |head: String| {
        let mut client = world.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, client.read_to_end(&mut answer)).await.expect("it is closed in time");
        String::from_utf8_lossy(&answer).get(9..12).unwrap_or_default().to_owned()
    };
    for (host, code) in [
        ("host: localhost:7000\r\n", "200"),
        ("host: DB1.example\r\n", "200"),
        ("host: 127.0.0.1\r\n", "200"),
        ("host: [::1]:7\r\n", "200"),
        ("host: rebind.evil.example\r\n", "421"),
        ("host: 203.0.113.9\r\n", "421"),
        ("host: localhost\r\nhost: localhost\r\n", "400"),
        ("", "400"),
    ] {
        assert_eq!(ask(format!("GET /node HTTP/1.1\r\n{host}\r\n")).await, code, "{host:?}");
    }
    assert_eq!(ask("GET http://evil.example/node HTTP/1.1\r\nhost: localhost\r\n\r\n".into()).await, "421");
    assert_eq!(ask("GET /node HTTP/1.0\r\nhost: rebind.evil.example\r\n\r\n".into()).await, "421");
    for check in ["OPTIONS /primary HTTP/1.0\r\n\r\n", "GET /health HTTP/1.1\r\nhost: a-service\r\n\r\n"] {
        assert_eq!(ask(check.into()).await, "200", "{check:?}");
    }
    let origins = "origin: http://localhost\r\norigin: http://evil.example\r\n";
    let head = format!("POST /switchover HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer the right token\r\n{origins}\r\n");
    assert_eq!(ask(head).await, "400", "two origins");
}

#[tokio::test]
async fn a_body_that_is_announced_and_does_not_come_is_no_switchover_to_anybody() {
    let mut world = world(config()).await;
    for body in ["", " ", "\r\n"] {
        let reply = call(world.address(), "POST", "/switchover", &[("content-type", "application/json")], body).await;
        assert_eq!((reply.code, reply.error().as_str()), (400, "malformed"), "{body:?}");
    }
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn a_page_in_somebodys_browser_changes_nothing() {
    let mut world = world(config()).await;
    for (head, code) in [
        (("origin", "http://evil.example"), 403),
        (("origin", "null"), 403),
        (("content-type", "text/plain"), 415),
        (("content-type", "application/x-www-form-urlencoded"), 415),
    ] {
        assert_eq!(call(world.address(), "POST", "/failover/pause", &[head], "").await.code, code, "{head:?}");
        assert_eq!(call(world.address(), "POST", "/switchover", &[head], "{}").await.code, code, "{head:?}");
    }
    assert_eq!(call(world.address(), "POST", "/switchover", &[], "{}").await.code, 415, "a body without a type");
    assert!(world.was_not_asked());
}

#[tokio::test]
async fn at_most_16_changes_are_under_way_at_a_time() {
    let mut world = world(config()).await;
    let mut asking_all = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..16 {
        asking_all.push(asking(&world, "/switchover").await);
        ids.push(world.next_asked().await.0);
    }
    let reply = world.post("/switchover", "").await;
    assert_eq!((reply.code, reply.error().as_str()), (429, "too_many"));
    assert_eq!(world.get("/primary").await.code, 200, "readers do not wait for them");
    for id in ids {
        world.answers.refuse(id, refusal());
    }
    for asking in asking_all {
        assert_eq!(asking.await.unwrap().code, 409);
    }
    let asking = asking(&world, "/switchover").await;
    let (id, _) = world.next_asked().await;
    world.answers.refuse(id, refusal());
    assert_eq!(asking.await.unwrap().code, 409, "the places are free again");
}

/// Whether somebody has left, or only has nothing more to say, cannot be told before it is answered.
#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back_when_its_change_has_ended() {
    let mut world = world(Config { changes_max: 1, ..config() }).await;
    for _ in 0..3 {
        let leaving = asking(&world, "/switchover").await;
        let (id, _) = world.next_asked().await;
        leaving.abort();
        assert_eq!(asking(&world, "/failover/pause").await.await.unwrap().code, 429, "the change is under way still");
        world.answers.refuse(id, refusal());
        let free = async {
            loop {
                let pausing = asking(&world, "/failover/pause").await;
                tokio::select! {
                    reply = pausing => assert_eq!(reply.unwrap().code, 429),
                    Some((id, _)) = world.asked.recv() => { world.answers.refuse(id, refusal()); break }
                }
            }
        };
        tokio::time::timeout(DEADLINE, free).await.expect("the place is free again");
    }
}
