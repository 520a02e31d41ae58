use crate::scene::{Loss, Scene, WITCH};
use anyhow::{Context, Result, ensure};
use chaos::live::request;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

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

/// Aim: an operator on the host of a node needs no token, and the secret of the nodes is shown to nobody.
/// Method: `witch pause` with the node's own file; then with a listener as the only node, named by `--node`: what it
/// hears holds no secret of the nodes. Over the network, that secret opens nothing.
#[tokio::test]
async fn the_cli_commands_its_own_node_over_the_socket_and_shows_the_peers_secret_to_nobody() -> Result<()> {
    let scene = Scene::open().await?;
    let node = scene.cluster.node(0);
    let config = node.config_path();
    let config = config.to_str().context("a path in Unicode")?;
    let witch = |arguments: &[&str]| Command::new(WITCH).args(["--config", config]).args(arguments).env_clear().output();
    // No token of the API is in reach of this one: it is asked over the socket.
    node.reconfigure(|config| {
        config.unset("api.token");
    })?;
    for (command, paused) in [("pause", true), ("resume", false)] {
        let output = witch(&[command])?;
        ensure!(output.status.success(), "witch {command}: {}", String::from_utf8_lossy(&output.stderr));
        let state = node.status().await?.state.context("no state")?;
        ensure!(state.paused == paused, "after witch {command} it is otherwise");
    }
    let answer =
        request(node.address(), ("POST", "/failover/pause"), Some("a-token-that-every-node-knows"), "", Duration::from_secs(5)).await?;
    ensure!(answer.status == 401, "the secret of the nodes was answered {}: {}", answer.status, answer.body);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let there = listener.local_addr()?.to_string();
    let mut asking = tokio::process::Command::new(WITCH);
    asking.args(["--config", config, "pause", "--node", &there]).env_clear();
    let hearing = timeout(Duration::from_secs(20), async {
        let (mut stream, _) = listener.accept().await?;
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).await?;
        anyhow::Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    });
    let (output, heard) = tokio::join!(asking.output(), hearing);
    let heard = heard.context("nobody was asked")??;
    ensure!(!output?.status.success(), "nobody there answers");
    ensure!(heard.contains("POST /failover/pause"), "it was not asked: {heard}");
    ensure!(
        !heard.contains("a-token-that-every-node-knows") && !heard.to_lowercase().contains("authorization"),
        "it was shown a secret: {heard}"
    );
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
