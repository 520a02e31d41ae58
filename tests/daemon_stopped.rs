use crate::scene::{Loss, Scene};
use anyhow::Result;

/// Aim: a daemon that stands still cannot keep its database writable, and when it goes on it does no harm with what it remembers (S3, S6).
/// Method: SIGSTOP the primary's daemon, wait for the successor, SIGCONT.
#[tokio::test]
async fn a_daemon_that_was_stopped_comes_back_as_a_standby() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.node(primary).stop_daemon()?;
    scene.await_successor(primary, fault).await?;
    scene.cluster.node(primary).continue_daemon()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
