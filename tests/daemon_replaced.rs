use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Aim: a new version of the daemon is put in place without interrupting a client.
/// Method: SIGUSR1 to the primary's daemon, which exits and leaves the database to the guard; start a daemon; the server never stopped.
#[tokio::test]
async fn a_daemon_that_is_told_to_leave_the_database_alone_does_so() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let server = node.postmaster_pid();
    node.usr1()?;
    let status = node.await_exit(Duration::from_secs(5)).await?;
    ensure!(status.success(), "the daemon ended with {status}");
    node.start()?;
    let settled = scene.cluster.await_settled(HEAL).await?;
    ensure!(settled == primary, "the primary moved to n{}", settled + 1);
    ensure!(node.postmaster_pid() == server, "the server was restarted");
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a daemon that is told to end hands over first, so that nobody waits for a lease to run out and nothing is lost.
/// Method: SIGTERM to the primary's daemon under load; it ends by itself with all of its processes, and another node acknowledges.
#[tokio::test]
async fn a_daemon_that_is_told_to_end_hands_over() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let fault = chaos::live::now();
    node.terminate()?;
    scene.await_successor(primary, fault).await?;
    let status = node.await_exit(Duration::from_secs(30)).await?;
    ensure!(status.success(), "the daemon ended with {status}:\n{}", node.log());
    ensure!(node.server_pids().is_empty(), "the server was left behind");
    let dismissed = scene.cluster.wait_until("the guard to end, too", HEAL, async || {
        ensure!(node.guard_pid().is_none(), "the guard was left behind");
        Ok(())
    });
    dismissed.await?;
    node.start()?;
    scene.finish(Loss::None).await?;
    Ok(())
}
