use crate::scene::{Loss, Scene};
use anyhow::{Result, ensure};

/// Aim: without its guard no server goes on: the kernel's signal and the daemon's sweep end it, and the node recovers by itself (S6).
/// Method: SIGKILL the primary's guard; some node accepts writes again, and every old server process is gone.
#[tokio::test]
async fn a_server_does_not_outlive_its_guard() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let old = node.server_pids();
    let fault = chaos::live::now();
    node.kill_guard()?;
    let gone = scene.cluster.wait_until("the old server to end", crate::scene::TAKE_OVER, async || {
        let left = node.server_pids().into_iter().filter(|pid| old.contains(pid)).count();
        ensure!(left == 0, "{left} processes are left");
        Ok(())
    });
    gone.await?;
    scene.writer.acknowledged_after(fault, crate::scene::TAKE_OVER).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
