use crate::scene::{Loss, Scene, TAKE_OVER};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Aim: a primary without a majority steps down to read-only, nobody is promoted, and all heals when the others return.
/// Method: SIGKILL both standbys' nodes; the primary's database is in recovery within a lease and answers readers; start them again.
#[tokio::test]
async fn a_primary_without_a_majority_becomes_read_only() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let others: Vec<usize> = (0..3).filter(|&node| node != primary).collect();
    for &other in &others {
        scene.cluster.node(other).kill_node()?;
    }
    let read_only = scene.cluster.wait_until("the primary to be read-only and readable", TAKE_OVER, async || {
        let facts = scene.cluster.node(primary).facts().await?;
        ensure!(facts.in_recovery, "it accepts writes");
        Ok(())
    });
    read_only.await?;
    stays_so(&scene, primary).await?;
    for &other in &others {
        scene.cluster.node(other).start()?;
    }
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a standby without a majority is never promoted.
/// Method: SIGKILL the primary's and one standby's node; the last standby stays in recovery; start both again.
#[tokio::test]
async fn a_standby_without_a_majority_is_not_promoted() -> Result<()> {
    let scene = Scene::open().await?;
    let standby = scene.cluster.standby().await?;
    let others: Vec<usize> = (0..3).filter(|&node| node != standby).collect();
    let fault = chaos::live::now();
    for &other in &others {
        scene.cluster.node(other).kill_node()?;
    }
    stays_so(&scene, standby).await?;
    for &other in &others {
        scene.cluster.node(other).start()?;
    }
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// For three leases the node's database is in recovery, or not there.
async fn stays_so(scene: &Scene, node: usize) -> Result<()> {
    let three_leases = scene.cluster.holds_for("no writes without a majority", Duration::from_secs(9), async || {
        ensure!(!scene.cluster.node(node).facts().await.is_ok_and(|facts| !facts.in_recovery), "the database accepts writes");
        Ok(())
    });
    three_leases.await
}
