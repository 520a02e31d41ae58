use crate::scene::{Loss, Scene};
use anyhow::Result;

/// Aim: a node that lost its database gets a new one by a clone, without an operator (L2).
/// Method: kill a standby's node, empty its data directory, start it.
#[tokio::test]
async fn a_standby_without_a_database_is_cloned_anew() -> Result<()> {
    let scene = Scene::open().await?;
    let standby = scene.cluster.node(scene.cluster.standby().await?);
    standby.kill_node()?;
    standby.empty_database_directory()?;
    standby.start()?;
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a primary that comes back empty is no candidate and harms nobody: it is cloned from its successor.
/// Method: kill the primary's node, empty its data directory, and start it at once, before a successor was appointed.
#[tokio::test]
async fn a_primary_that_comes_back_empty_is_cloned_from_its_successor() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let fault = chaos::live::now();
    node.kill_node()?;
    node.empty_database_directory()?;
    node.start()?;
    scene.await_successor(primary, fault).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
