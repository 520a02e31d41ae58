use crate::scene::{HEAL, Loss, Scene};
use anyhow::Result;

/// Aim: a dead host is replaced, and when it is back it becomes a standby by itself.
/// Method: SIGKILL daemon, guard and server of the primary at once under load, and start the daemon again after the failover.
#[tokio::test]
async fn a_killed_node_is_replaced_and_comes_back_as_a_standby() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.node(primary).kill_node()?;
    let successor = scene.await_successor(primary, fault).await?;
    let others: Vec<usize> = (0..3).filter(|&node| node != primary).collect();
    let settled = scene.cluster.await_settled_among(&others, HEAL).await?;
    anyhow::ensure!(settled == successor, "the primary changed again, to n{}", settled + 1);
    scene.cluster.node(primary).start()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: a node whose history diverged rejoins without an operator, by a rewind.
/// Method: the primary loses its standbys by SIGSTOP of their servers' processes, goes on writing what nobody else has, and is killed; the
/// standbys go on, one of them takes over, and the old primary must give up what only it has.
#[tokio::test]
async fn a_node_with_a_diverged_history_is_rewound() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let standbys: Vec<usize> = (0..3).filter(|&node| node != primary).collect();
    for &standby in &standbys {
        scene.cluster.node(standby).stop_server()?;
    }
    let fault = chaos::live::now();
    // Far less than the lag that makes a standby ineligible, and within the time after which a hung standby would be restarted.
    for _ in 0..20 {
        scene.writer.acknowledged_after(chaos::live::now(), HEAL).await?;
    }
    scene.cluster.node(primary).kill_node()?;
    for &standby in &standbys {
        scene.cluster.node(standby).continue_server();
    }
    scene.await_successor(primary, fault).await?;
    scene.cluster.node(primary).start()?;
    let reconciled = scene.finish(Loss::AroundTheFault(fault)).await?;
    anyhow::ensure!(!reconciled.lost.is_empty(), "nothing was lost, so nothing had diverged and nothing was shown");
    Ok(())
}
