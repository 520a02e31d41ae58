use crate::scene::{HEAL, Loss, Scene, TAKE_OVER};
use anyhow::{Result, ensure};
use std::time::Duration;

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

/// Aim: stopping a whole cluster without a pause, and starting it again, loses nothing that was acknowledged: the primary writes on when its standbys
/// are gone already, so that it alone has everything.
/// Method: SIGTERM all daemons at once under load, three times.
#[tokio::test]
async fn a_cluster_that_is_stopped_as_a_whole_starts_again_with_every_acknowledged_write() -> Result<()> {
    let scene = Scene::open().await?;
    for _ in 0..3 {
        let primary = scene.cluster.primary().await?;
        let (first, last): (Vec<_>, Vec<_>) = scene.cluster.nodes().iter().enumerate().partition(|(index, _)| *index != primary);
        for (_, node) in first.iter().chain(&last) {
            node.terminate()?;
        }
        for node in scene.cluster.nodes() {
            node.await_exit(TAKE_OVER).await?;
        }
        for node in scene.cluster.nodes() {
            node.start()?;
        }
        scene.cluster.await_settled(HEAL).await?;
    }
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a server never resumes writing because of what its data directory says (S9), nor because its node is the appointed primary (S2).
/// Method: SIGKILL every process of all nodes, and start the former primary's daemon alone. Its database, which died in production, may be read
/// and is in recovery for as long as nobody grants a lease; with the others it accepts writes again.
#[tokio::test]
async fn a_former_primary_that_is_started_alone_can_be_read_and_not_written() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    for node in scene.cluster.nodes() {
        node.kill_node()?;
    }
    let killed = chaos::live::now();
    let node = scene.cluster.node(primary);
    node.start()?;
    let readable = scene.cluster.wait_until("the former primary to be readable", TAKE_OVER, async || node.facts().await);
    ensure!(readable.await?.in_recovery, "it accepts writes without a lease");
    let appointed = node.status().await?.state.and_then(|state| state.leaseholder());
    ensure!(appointed.is_some_and(|(holder, _)| holder == node.id()), "the log names {appointed:?}, so nothing is shown");
    let three_leases = scene.cluster.holds_for("the former primary is read-only", Duration::from_secs(9), async || {
        ensure!(!node.facts().await.is_ok_and(|facts| !facts.in_recovery), "it accepts writes without a lease");
        Ok(())
    });
    three_leases.await?;
    let written = scene.watch.history().iter().filter(|write| write.began > killed).count();
    ensure!(written == 0, "{written} writes were acknowledged without a lease");
    for (_, other) in scene.cluster.nodes().iter().enumerate().filter(|(index, _)| *index != primary) {
        other.start()?;
    }
    scene.finish(Loss::None).await?;
    Ok(())
}
