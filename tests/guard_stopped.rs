use crate::scene::{Loss, Scene, TAKE_OVER};
use anyhow::{Result, ensure};

/// Aim: a living daemon fences by itself when its guard is stopped, and the node recovers without an operator (S2, S6).
/// Method: SIGSTOP the primary's guard, which never goes on; every old server process ends, and some node accepts writes again.
#[tokio::test]
async fn a_primary_whose_guard_is_stopped_is_fenced_by_its_daemon() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let old = node.server_pids();
    let fault = chaos::live::now();
    node.stop_guard()?;
    let gone = scene.cluster.wait_until("the old server to end", TAKE_OVER, async || {
        let left = node.server_pids().into_iter().filter(|pid| old.contains(pid)).count();
        ensure!(left == 0, "{left} processes are left");
        Ok(())
    });
    gone.await?;
    scene.writer.acknowledged_after(fault, TAKE_OVER).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: the same, when the daemon finds its guard stopped and so never learns which lease there is.
/// Method: SIGSTOP the primary's guard, then kill the daemon and start it again.
#[tokio::test]
async fn a_daemon_that_finds_its_guard_stopped_fences_what_it_cannot_prove() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let old = node.server_pids();
    let fault = chaos::live::now();
    node.stop_guard()?;
    node.restart_daemon()?;
    let gone = scene.cluster.wait_until("the old server to end", TAKE_OVER, async || {
        let left = node.server_pids().into_iter().filter(|pid| old.contains(pid)).count();
        ensure!(left == 0, "{left} processes are left");
        Ok(())
    });
    gone.await?;
    scene.writer.acknowledged_after(fault, TAKE_OVER).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
