use crate::scene::{Loss, Scene};
use anyhow::{Result, bail, ensure};
use std::time::Duration;

/// Aim: the database does not depend upon the life of its daemon, as long as a new one takes it over within the lease.
/// Method: SIGKILL the primary's daemon and start it again at once; the postmaster stays the same and no statement fails.
#[tokio::test]
async fn a_daemon_that_restarts_within_the_lease_interrupts_nobody() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let (server, guard) = (node.postmaster_pid(), node.guard_pid());
    node.restart_daemon()?;
    // Two leases long: whoever was going to end the database has done so by then.
    let undisturbed = scene.cluster.holds_for("server and guard go on", Duration::from_secs(6), async || {
        ensure!(node.postmaster_pid() == server, "the server was restarted");
        ensure!(node.guard_pid() == guard, "the guard was replaced");
        Ok(())
    });
    undisturbed.await?;
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: the guard ends a writable database without its daemon, and before a successor is promoted (S6).
/// Method: SIGKILL the primary's daemon and leave it dead. At the successor's first acknowledged write no process of the old server may be
/// left; nobody but the guard was there to end them.
#[tokio::test]
async fn the_guard_of_a_dead_daemon_ends_the_database_before_a_successor_is_promoted() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    let fault = chaos::live::now();
    node.kill_daemon()?;
    // The instant before a look that found somebody: whatever the looks take, the server was certainly there.
    let mut there = fault;
    let gone = scene.cluster.wait_until("the guard to end the server", Duration::from_secs(10), async || {
        let before = chaos::live::now();
        if !node.server_pids().is_empty() {
            there = before;
            bail!("processes of the server are left");
        }
        Ok(())
    });
    gone.await?;
    let kept = there.since(fault);
    ensure!(kept <= Duration::from_secs(3), "the server lived on for {kept:?}, longer than the lease");
    let successor = scene.await_successor(primary, fault).await?;
    let successor = scene.cluster.node(successor).id();
    let first = scene.watch.history().into_iter().filter(|write| write.node == successor).min_by_key(|write| write.ended);
    ensure!(first.is_none_or(|first| first.ended > there), "the successor accepted writes before the old server was gone");
    node.start()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
