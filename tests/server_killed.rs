use crate::scene::{HEAL, Loss, Scene, TAKE_OVER};
use anyhow::{Result, ensure};

/// Aim: a server that dies on a living host is started again in place under its unbroken lease, and loses nothing.
/// Method: SIGKILL the postmaster under load; the same node acknowledges again, on the same timeline.
#[tokio::test]
async fn a_killed_server_is_restarted_in_place_and_loses_nothing() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let before = scene.cluster.node(primary).facts().await?;
    scene.cluster.node(primary).kill_server()?;
    scene.await_write_on(primary).await?;
    // A backend that outlived the postmaster may have acknowledged that write: the server is back when it takes a new connection.
    let back = scene.cluster.wait_until("the server to take connections again", HEAL, async || scene.cluster.node(primary).facts().await);
    let after = back.await?;
    ensure!(before == after, "the database was {before:?} before and is {after:?} after");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a server that keeps dying is not restarted for ever: its third death within ten minutes makes another node the primary.
/// Method: SIGKILL the postmaster of the primary three times, each time once it accepts writes again.
#[tokio::test]
async fn the_third_death_of_a_server_is_a_failover() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    for _ in 0..2 {
        scene.cluster.node(primary).kill_server()?;
        scene.await_write_on(primary).await?;
        // The standbys must have caught up, or there would be no candidate.
        scene.cluster.await_settled(HEAL).await?;
    }
    let fault = chaos::live::now();
    scene.cluster.node(primary).kill_server()?;
    scene.await_successor(primary, fault).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: the death of a standby's server disturbs no client and needs no operator.
/// Method: SIGKILL a standby's postmaster; no outage, and it streams again.
#[tokio::test]
async fn a_killed_standby_comes_back_and_no_client_notices() -> Result<()> {
    let scene = Scene::open().await?;
    let standby = scene.cluster.standby().await?;
    let fault = chaos::live::now();
    scene.cluster.node(standby).kill_server()?;
    scene.cluster.await_settled(HEAL).await?;
    scene.writer.acknowledged_after(fault, TAKE_OVER).await?;
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}
