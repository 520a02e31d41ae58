use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Aim: the loss of a Raft leader that is not the primary interrupts no client (L1): a new one is elected and renews before the lease ends.
/// Method: move the primary away from the Raft leader if need be, SIGKILL the leader's whole node, and let some leases pass.
#[tokio::test]
async fn the_loss_of_a_raft_leader_that_is_not_the_primary_goes_unnoticed() -> Result<()> {
    let scene = Scene::open().await?;
    let apart = scene.cluster.wait_until("the Raft leader and the primary to be two nodes", HEAL, async || {
        let (leader, primary) = (scene.cluster.raft_leader().await?, scene.cluster.primary().await?);
        if leader == primary {
            // If Witch brings leader and primary together again, killing a leader that is not the primary cannot happen.
            scene.cluster.switchover(primary, None).await?;
        }
        ensure!(leader != primary, "n{} is both", leader + 1);
        Ok((leader, primary))
    });
    let (leader, primary) = apart.await?;
    scene.cluster.await_settled(HEAL).await?;
    let uncertain = scene.writer.ledger().uncertain();
    let fault = chaos::live::now();
    scene.cluster.node(leader).kill_node()?;
    let some_leases = scene
        .cluster
        .holds_for("the primary stays", Duration::from_secs(9), async || scene.cluster.nobody_else_is_appointed(primary).await);
    some_leases.await?;
    ensure!(scene.cluster.raft_leader().await? != leader, "the dead node is still taken for the leader");
    ensure!(scene.writer.ledger().uncertain() == uncertain, "a statement failed");
    let outage = scene.writer.ledger().longest_outage_since(fault).context("nothing was written")?.duration();
    ensure!(outage < Duration::from_secs(1), "the client had to wait {outage:?}");
    scene.cluster.node(leader).start()?;
    scene.finish(Loss::None).await?;
    Ok(())
}
