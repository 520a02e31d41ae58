use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Result, ensure};
use chaos::live::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

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
    ensure!(settled == successor, "the primary changed again, to n{}", settled + 1);
    scene.cluster.node(primary).start()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}

/// Aim: a node whose history diverged rejoins without an operator, by a rewind.
/// Method: the primary's own senders are stopped by SIGSTOP, so that it goes on writing what nobody else has, and it is killed; one of the
/// standbys takes over, and the old primary must give up what only it has.
#[tokio::test]
async fn a_node_with_a_diverged_history_is_rewound() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    stop_senders(scene.cluster.node(primary))?;
    let fault = chaos::live::now();
    // Far less than the lag that makes a standby ineligible, and within the time after which a hung standby would be restarted.
    for _ in 0..20 {
        scene.writer.acknowledged_after(chaos::live::now(), HEAL).await?;
    }
    scene.cluster.node(primary).kill_node()?;
    scene.await_successor(primary, fault).await?;
    scene.cluster.node(primary).start()?;
    let reconciled = scene.finish(Loss::AroundTheFault(fault)).await?;
    anyhow::ensure!(!reconciled.lost.is_empty(), "nothing was lost, so nothing had diverged and nothing was shown");
    Ok(())
}

/// Stops the processes that send the log to the standbys.
fn stop_senders(node: &Node) -> Result<()> {
    let is_sender = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("walsender"));
    let senders: Vec<Pid> = node.server_pids().into_iter().filter(is_sender).collect();
    ensure!(senders.len() == 2, "the primary sends to {} standbys", senders.len());
    senders.into_iter().try_for_each(|sender| Ok(kill(sender, Signal::SIGSTOP)?))
}
