use super::*;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What a node of the tests was asked: method and path, authorization, body.
pub(crate) type Heard = Arc<Mutex<Vec<(String, String, String)>>>;

/// A node that gives every request the same answer.
pub(crate) async fn node(status: u16, answer: &'static str) -> (Endpoint, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let notes = Arc::clone(&notes);
                async move {
                    let line = format!("{} {}", request.method(), request.uri());
                    let token = request.headers().get("authorization").map_or(String::new(), |value| value.to_str().unwrap().into());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    notes.lock().unwrap().push((line, token, String::from_utf8(body.to_vec()).unwrap()));
                    Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from(answer))).unwrap())
                }
            });
            tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (endpoint, heard)
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() }
}

/// A node that takes connections and hangs up at once.
async fn mute() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    endpoint
}

fn client(nodes: Vec<Endpoint>) -> Client {
    Client { nodes: nodes.into_iter().map(Door::Network).collect(), token: Some(Secret::new("swordfish".into())) }
}

#[tokio::test]
async fn the_first_node_that_answers_is_asked_with_the_token() {
    let (there, heard) = node(200, r#"{"paused": true}"#).await;
    let reply = client(vec![nobody().await, there.clone()]).ask(&Request::Pause).await.unwrap();
    assert_eq!((reply.parse::<Paused>().unwrap().paused, reply.node), (true, Door::Network(there)));
    assert_eq!(heard.lock().unwrap()[..], [("POST /failover/pause".into(), "Bearer swordfish".into(), String::new())]);
}

#[tokio::test]
async fn nodes_that_do_not_answer_are_named() {
    let absent = nobody().await;
    let (sick, _) = node(503, r#"{"error": "stale", "reason": "the FSM is wedged"}"#).await;
    let error = client(vec![absent.clone(), sick.clone()]).ask(&Request::Node).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{absent}: Connection refused")), "{error}");
    assert!(error.contains(&format!("{sick}: stale: the FSM is wedged")), "{error}");
}

#[tokio::test]
async fn a_command_that_may_have_arrived_is_never_sent_to_a_second_node() {
    let (other, heard) = node(200, r#"{"paused": true}"#).await;
    let (starting, _) = node(503, r#"{"error": "starting"}"#).await;
    let client = client(vec![starting, mute().await, other]);
    assert!(matches!(client.ask(&Request::Pause).await, Err(Error::Silent { .. })));
    assert!(heard.lock().unwrap().is_empty());
    assert!(client.ask(&Request::Node).await.is_ok(), "a question may be asked again");
}

#[tokio::test]
async fn refusals_and_timeouts_say_why() {
    let (node_, heard) = node(409, r#"{"error": "refused", "reason": "c lags by 12 MiB", "rule": "switchover-lag"}"#).await;
    let error = client(vec![node_]).ask(&Request::Switchover { to: Some("c".into()) }).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: c lags by 12 MiB [switchover-lag]");
    assert_eq!(heard.lock().unwrap()[0].2, r#"{"to":"c"}"#);

    let (node_, _) = node(504, r#"{"error": "no_outcome_yet", "reason": "no outcome within 30 s", "id": 7}"#).await;
    let error = client(vec![node_]).ask(&Request::Switchover { to: None }).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }));
    assert_eq!(error.to_string(), "no outcome yet: no outcome within 30 s (id 7); `witch history` tells how it ends");

    let (node_, _) = node(409, r#"{"error": "failed", "reason": "c stopped streaming"}"#).await;
    let error = client(vec![node_]).ask(&Request::Switchover { to: None }).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "it was begun: {error}");

    let (node_, _) = node(404, r#"{"error": "unknown_member", "reason": "no member is called `x`"}"#).await;
    let error = client(vec![node_]).ask(&Request::Switchover { to: Some("x".into()) }).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");

    let (node_, _) = node(401, "").await;
    assert!(matches!(client(vec![node_]).ask(&Request::Pause).await, Err(Error::TokenRejected { .. })));
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_never_sent() {
    let (there, heard) = node(200, r#"{"paused": true}"#).await;
    let client = Client { nodes: vec![Door::Network(there)], token: Some(Secret::new("sword\nfish".into())) };
    assert!(matches!(client.ask(&Request::Pause).await, Err(Error::NoNode { .. })));
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_of_another_program_is_an_error_and_no_panic() {
    let (node_, _) = node(200, "<html>hello</html>").await;
    let reply = client(vec![node_]).ask(&Request::Node).await.unwrap();
    assert!(matches!(reply.parse::<actors::model::Status>(), Err(Error::Unintelligible { .. })));
    let (node_, _) = node(404, "not here").await;
    let error = client(vec![node_.clone()]).ask(&Request::Node).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{node_} answers 404 Not Found: not here"));
}

/// What answers at an address need not be a node, and it need not mean well.
#[tokio::test]
async fn words_of_a_node_reach_no_terminal_as_they_are() {
    let (node_, _) =
        node(409, "{\"error\": \"re\\u001b[2Jfused\", \"reason\": \"\\u009b2J\\u202e\\nall is well\", \"rule\": \"r\\u2028\"}").await;
    let error = client(vec![node_]).ask(&Request::Pause).await.unwrap_err().to_string();
    assert_eq!(error, "re?[2Jfused: ?2J??all is well [r?]");
}

#[tokio::test]
async fn the_socket_is_asked_without_a_token_and_its_owner_is_named_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"paused\": true}";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        String::from_utf8(head).unwrap().to_lowercase()
    });
    let client = Client { nodes: vec![Door::Socket(path)], token: Some(Secret::new("swordfish".into())) };
    assert!(client.ask(&Request::Pause).await.unwrap().parse::<Paused>().unwrap().paused);
    let head = heard.await.unwrap();
    assert!(head.starts_with("post /failover/pause") && !head.contains("authorization") && !head.contains("swordfish"), "{head}");
    let error = client.ask(&Request::Pause).await.unwrap_err().to_string();
    assert!(error.contains("api.sock: ") && error.contains("--node HOST:PORT"), "{error}");
}
