use crate::scene::{Loss, Scene, TAKE_OVER};
use anyhow::{Result, ensure};
use chaos::live::Cut;
use std::time::Duration;

/// How long the cable is out: much longer than every lease and time-out.
const CUT: Duration = Duration::from_secs(60);

/// Aim: a primary that nobody but its clients can reach is fenced before its successor accepts writes, and stays so for as long as it is alone.
/// Method: cut it from both other nodes, both ways, for a minute, while the clients still reach it and go on trying to write on it; heal.
#[tokio::test]
async fn a_primary_that_is_cut_off_is_fenced_and_comes_back_as_a_standby() -> Result<()> {
    let Some(scene) = Scene::on_hosts().await? else { return Ok(()) };
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.network()?.cut(primary, Cut::FromPeers)?;
    // Its clients stay with it for as long as it answers.
    scene.await_successor(primary, fault).await?;
    let alone = scene.cluster.holds_for("the old primary is not writable", CUT, async || {
        let writable = scene.cluster.node(primary).facts().await.is_ok_and(|facts| !facts.in_recovery);
        ensure!(!writable, "it is writable although it is alone");
        Ok(())
    });
    alone.await?;
    scene.cluster.network()?.heal()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: a half-open link is no hiding place: a primary that hears its peers and is not heard by them is fenced all the same.
/// Method: drop only what the primary sends to its peers.
#[tokio::test]
async fn a_primary_that_nobody_hears_is_replaced() -> Result<()> {
    let Some(scene) = Scene::on_hosts().await? else { return Ok(()) };
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.network()?.cut(primary, Cut::Mute)?;
    scene.await_successor(primary, fault).await?;
    scene.cluster.network()?.heal()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: two nodes that cannot see each other while the third sees both do not make the cluster restless, and nothing is lost.
/// Method: cut the primary from one standby only, both ways, for some leases; a primary accepts writes throughout or again, then heal.
#[tokio::test]
async fn a_primary_that_lost_sight_of_one_standby_does_no_harm() -> Result<()> {
    let Some(scene) = Scene::on_hosts().await? else { return Ok(()) };
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.network()?.cut(primary, Cut::Pair(scene.cluster.standby().await?))?;
    let some_leases = scene.cluster.holds_for("some database accepts writes", Duration::from_secs(12), async || {
        scene.writer.acknowledged_after(chaos::live::now(), TAKE_OVER).await?;
        Ok(())
    });
    some_leases.await?;
    scene.cluster.network()?.heal()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
