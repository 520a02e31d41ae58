use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Aim: an operator who pauses failover keeps everything where it is, except for the fence; resuming lets it go on.
/// Method: pause, SIGKILL the primary's node: nobody is promoted for some leases. Resume: a standby takes over.
#[tokio::test]
async fn a_paused_cluster_promotes_nobody_until_it_is_resumed() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let standby = scene.cluster.standby().await?;
    // The API gives up after ten seconds.
    let answer = scene.cluster.node(standby).request_within("POST", "/failover/pause", "", Duration::from_secs(15)).await?;
    ensure!(answer.status == 200, "pausing was answered {}: {}", answer.status, answer.body);
    let fault = chaos::live::now();
    scene.cluster.node(primary).kill_node()?;
    let held = scene.cluster.holds_for("nobody is promoted", Duration::from_secs(9), async || {
        ensure!(scene.cluster.primary_now().await.is_err(), "a standby was promoted");
        Ok(())
    });
    held.await?;
    let resumed = scene.cluster.wait_until("the cluster to be resumed", HEAL, async || {
        let answer = scene.cluster.node(standby).request("POST", "/failover/resume", "").await?;
        ensure!(answer.status == 200, "resuming was answered {}: {}", answer.status, answer.body);
        Ok(())
    });
    resumed.await?;
    scene.await_successor(primary, fault).await?;
    scene.cluster.node(primary).start()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
