use crate::scene::{Scene, TAKE_OVER};
use anyhow::{Result, ensure};

/// Aim: a load balancer that knows nothing but HTTP codes finds the primary and the replicas, also after they changed places.
/// Method: ask every node for `/health`, `/primary` and `/replica`, by GET, HEAD and OPTIONS, before and after a switchover.
#[tokio::test]
async fn the_health_endpoints_tell_primary_and_replicas_apart() -> Result<()> {
    let scene = Scene::open().await?;
    let first = scene.cluster.primary().await?;
    codes_agree(&scene, first).await?;
    let answer = scene.cluster.switchover(first, None).await?;
    ensure!(answer.status == 200, "the switchover was refused: {}", answer.body);
    let second = scene.cluster.await_settled(TAKE_OVER).await?;
    ensure!(second != first, "the primary stayed");
    codes_agree(&scene, second).await
}

async fn codes_agree(scene: &Scene, primary: usize) -> Result<()> {
    for (index, node) in scene.cluster.nodes().iter().enumerate() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let is_primary = index == primary;
            for (path, expected) in [("/health", true), ("/primary", is_primary), ("/replica", !is_primary)] {
                let status = node.request(method, path, "").await?.status;
                let expected = if expected { 200 } else { 503 };
                ensure!(status == expected, "{} answered {method} {path} with {status} instead of {expected}", node.name());
            }
        }
    }
    Ok(())
}
