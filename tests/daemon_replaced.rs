use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Context, Result, ensure};
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

/// Aim: the same where the primary leads Raft, too: a new leader is elected, and renews before the lease ends.
/// Method: five times, bring primary and Raft leader together, replace that daemon, and see that server and primary stay.
#[tokio::test]
async fn a_daemon_that_leads_raft_is_replaced_without_anybody_noticing() -> Result<()> {
    let scene = Scene::open().await?;
    for round in 1..=5 {
        let both = together(&scene).await?;
        let node = scene.cluster.node(both);
        let (server, uncertain, fault) = (node.postmaster_pid(), scene.writer.ledger().uncertain(), chaos::live::now());
        node.usr1()?;
        node.await_exit(Duration::from_secs(5)).await?;
        node.start()?;
        let settled = scene.cluster.await_settled(HEAL).await?;
        ensure!(settled == both, "round {round}: the primary moved to n{}", settled + 1);
        ensure!(node.postmaster_pid() == server, "round {round}: the server was restarted");
        ensure!(scene.writer.ledger().uncertain() == uncertain, "round {round}: a statement failed");
        let outage = scene.writer.ledger().longest_outage_since(fault).context("nothing was written")?.duration();
        ensure!(outage < Duration::from_secs(1), "round {round}: the client had to wait {outage:?}");
    }
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Waits until one node is primary and leads Raft.
async fn together(scene: &Scene) -> Result<usize> {
    let both = scene.cluster.wait_until("one node to be primary and to lead Raft", HEAL, async || {
        let (leader, primary) = (scene.cluster.raft_leader().await?, scene.cluster.primary().await?);
        if leader != primary {
            let answer = scene.cluster.switchover(primary, Some(scene.cluster.node(leader).name())).await?;
            ensure!(answer.status == 200, "the switchover to the leader was answered {}: {}", answer.status, answer.body);
        }
        ensure!(scene.cluster.raft_leader().await? == leader, "the leader changed");
        Ok(leader)
    });
    let both = both.await?;
    scene.cluster.await_settled(HEAL).await?;
    Ok(both)
}
