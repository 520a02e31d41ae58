use crate::scene::{Loss, Scene};
use anyhow::{Result, ensure};
use chaos::live::request;
use std::time::Duration;

/// Aim: bad input over HTTP is answered with 4xx and a reason in one JSON form, and changes nothing.
/// Method: send each kind of nonsense to the primary, and compare the epoch before and after.
#[tokio::test]
async fn nonsense_is_answered_with_a_reason_and_changes_nothing() -> Result<()> {
    let scene = Scene::open().await?;
    let node = scene.cluster.node(scene.cluster.primary().await?);
    let before = node.status().await?.state;
    let oversized = format!("{{\"to\": \"{}\"}}", "x".repeat(65 * 1024));
    for (method, path, body, expected) in [
        ("POST", "/switchover", oversized.as_str(), 413),
        ("POST", "/switchover", "{", 400),
        ("POST", "/switchover", "{\"to\": [1]}", 400),
        ("GET", "/switchover", "", 405),
        ("DELETE", "/node", "", 405),
        ("GET", "/no/such/thing", "", 404),
    ] {
        let answer = node.request(method, path, body).await?;
        let shown: String = body.chars().take(40).collect();
        ensure!(answer.status == expected, "{method} {path} {shown} was answered {} instead of {expected}: {}", answer.status, answer.body);
        let body: serde_json::Value = answer.json()?;
        ensure!(body["error"].is_string() && body["reason"].is_string(), "{method} {path} was refused in another form: {body}");
    }
    ensure!(before == node.status().await?.state, "a refused request changed the state");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: whoever can reach the port from another host may look, and changes nothing without the token.
/// Method: ask a node that listens on an address of its own, without a token and with a wrong one.
#[tokio::test]
async fn changes_from_other_hosts_need_the_token() -> Result<()> {
    let Some(scene) = Scene::on_hosts().await? else { return Ok(()) };
    let primary = scene.cluster.primary().await?;
    let address = scene.cluster.node(primary).address();
    let ask = |method, path, token| request(address, (method, path), token, "", Duration::from_secs(5));
    for token in [None, Some("a-token-that-nobody-knows")] {
        for path in ["/switchover", "/failover/pause", "/failover/resume"] {
            let answer = ask("POST", path, token).await?;
            ensure!(answer.status == 401, "POST {path} with the token {token:?} was answered {}: {}", answer.status, answer.body);
        }
        let answer = ask("GET", "/node", token).await?;
        ensure!(answer.status == 200, "GET /node with the token {token:?} was answered {}", answer.status);
    }
    let state = scene.cluster.node(primary).status().await?.state;
    ensure!(state.is_some_and(|state| !state.paused && state.switchover.is_none()), "a refused request changed the state");
    scene.finish(Loss::None).await?;
    Ok(())
}
