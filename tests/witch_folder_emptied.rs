use crate::scene::{Loss, Scene};
use actors::model::RaftId;
use anyhow::{Context, Result, ensure};
use chaos::live::Cluster;

/// Aim: a node that lost its Raft log does not vote under its old id again: it joins anew under a fresh one, by itself (S13).
/// Method: kill a standby's node, empty Witch's folder, start it; it streams again and the membership holds another Raft id for it.
#[tokio::test]
async fn a_node_that_lost_its_log_joins_under_a_fresh_id() -> Result<()> {
    let scene = Scene::open().await?;
    let (primary, standby) = (scene.cluster.primary().await?, scene.cluster.standby().await?);
    let before = raft_id(&scene.cluster, primary, standby).await?;
    let node = scene.cluster.node(standby);
    node.kill_node()?;
    node.empty_witch_directory()?;
    node.start()?;
    let replaced = scene.cluster.wait_until("a fresh Raft id in the membership", crate::scene::HEAL, async || {
        let after = raft_id(&scene.cluster, primary, standby).await?;
        ensure!(after != before, "it still has its old id {before}");
        Ok(())
    });
    replaced.await?;
    scene.finish(Loss::None).await?;
    Ok(())
}

async fn raft_id(cluster: &Cluster, asked: usize, of: usize) -> Result<RaftId> {
    let state = cluster.node(asked).status().await?.state.context("the primary is not a member")?;
    Ok(state.members.get(&cluster.node(of).id()).context("the node is no member")?.raft_id)
}
