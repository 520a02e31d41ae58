use crate::scene::{HEAL, Loss, Scene, cluster};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Aim: a daemon of another cluster, or one that does not know the token, cannot join, and the log says which and why.
/// Method: restart a standby's daemon with a wrong name, then with a wrong token; it gets no status of a member, its peers' logs say why,
/// and no client notices. With the right file it joins again.
#[tokio::test]
async fn a_wrong_cluster_name_or_token_cannot_join() -> Result<()> {
    let scene = Scene::open().await?;
    let (primary, standby) = (scene.cluster.primary().await?, scene.cluster.standby().await?);
    let node = scene.cluster.node(standby);
    for (key, wrong, right) in
        [("cluster.token", "a-token-that-nobody-knows", "a-token-that-every-node-knows"), ("cluster.name", "foreign", "live")]
    {
        node.kill_node()?;
        node.reconfigure(|config| {
            config.set(key, wrong);
        })?;
        let already: Vec<usize> = scene.cluster.nodes().iter().map(|node| node.log().len()).collect();
        node.start()?;
        let named = scene.cluster.wait_until("the refusal to stand in a log", HEAL, async || {
            let mut new = scene.cluster.nodes().iter().zip(&already).map(|(node, &from)| node.log().split_off(from).to_lowercase());
            let word = key.split_once('.').map_or(key, |(_, word)| word);
            ensure!(new.any(|log| log.contains(word)), "no log speaks of the {word}");
            Ok(())
        });
        named.await?;
        let is_apart = async || {
            let status = scene.cluster.node(primary).status().await?;
            let green = status.members.iter().any(|member| member.node == node.id() && member.health == actors::model::Health::Green);
            ensure!(!green, "it is green");
            Ok(())
        };
        // Its last honest report counts for a while.
        scene.cluster.wait_until("the primary to miss the node's reports", HEAL, is_apart).await?;
        scene.cluster.holds_for("the primary does not take it for a healthy member", Duration::from_secs(3), is_apart).await?;
        // It may have ended by itself: a node that was refused cannot do anything.
        drop(node.kill_node());
        node.reconfigure(|config| {
            config.set(key, right);
        })?;
        node.start()?;
        scene.cluster.await_settled(HEAL).await?;
    }
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: two daemons with one number are noticed and named; they do not vote twice.
/// Method: the third node's file gives it the second node's number. The cluster is not born, and a log says that the number is taken.
#[tokio::test]
async fn two_nodes_with_one_number_are_named() -> Result<()> {
    let _seat = crate::scene::seat().await;
    let cluster = cluster()?.set_on(2, "cluster.node_id", 2).prepare()?;
    for node in cluster.nodes() {
        node.start()?;
    }
    let named = cluster.wait_until("the doubled number to stand in a log or an error", HEAL, async || {
        let logs: String = cluster.nodes().iter().map(|node| node.log().to_lowercase()).collect();
        ensure!(logs.contains("node_id") || logs.contains("node id") || logs.contains("node 2"), "no log names the number 2:\n{logs}");
        Ok(())
    });
    named.await?;
    let unborn = cluster.holds_for("no database is founded", Duration::from_secs(3), async || {
        ensure!(cluster.nodes().iter().all(|node| node.server_pids().is_empty()), "a server runs");
        Ok(())
    });
    unborn.await
}
