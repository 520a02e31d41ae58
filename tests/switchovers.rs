use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Result, ensure};

/// Aim: a planned change of primary loses nothing, however often (D4).
/// Method: ten switchovers under load, back and forth between two named nodes; the answer tells who it was and is now; after each, all
/// stream; in the end every acknowledged write is there.
#[tokio::test]
async fn ten_switchovers_under_load_lose_nothing() -> Result<()> {
    let scene = Scene::open().await?;
    for _ in 0..10 {
        let primary = scene.cluster.await_settled(HEAL).await?;
        let target = usize::from(primary == 0);
        let node = scene.cluster.node(target);
        // Any node can be asked.
        let answer = scene.cluster.switchover(2, Some(node.name())).await?;
        ensure!(answer.status == 200, "the switchover to {} was answered {}: {}", node.name(), answer.status, answer.body);
        let body: serde_json::Value = answer.json()?;
        ensure!(body["from"] == scene.cluster.node(primary).id().0 && body["to"] == node.id().0, "the answer is wrong: {body}");
        scene.await_write_on(target).await?;
    }
    scene.finish(Loss::None).await?;
    Ok(())
}
