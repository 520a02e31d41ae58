use crate::scene::{HEAL, Loss, Scene};
use anyhow::Result;

/// Aim: a power cut of everything loses nothing that was acknowledged, and the cluster starts again by itself.
/// Method: SIGKILL every process of all nodes under load, and start the daemons in another order than at birth.
#[tokio::test]
async fn a_cluster_that_lost_power_starts_again_with_every_acknowledged_write() -> Result<()> {
    let scene = Scene::open().await?;
    for node in scene.cluster.nodes() {
        node.kill_node()?;
    }
    for node in scene.cluster.nodes().iter().rev() {
        node.start()?;
    }
    scene.cluster.await_settled(HEAL).await?;
    scene.finish(Loss::None).await?;
    Ok(())
}
