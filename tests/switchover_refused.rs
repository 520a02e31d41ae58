use crate::scene::{HEAL, Loss, Scene, cluster};
use anyhow::{Context, Result, ensure};
use chaos::live::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Aim: nobody can be talked into making an unknown, a tagged or the present primary the next one.
/// Method: ask for each; the answer is a refusal with rule and reason, and the primary stays.
#[tokio::test]
async fn unknown_tagged_and_present_primaries_are_refused() -> Result<()> {
    // The third node never becomes the first primary: the first one does.
    let scene = Scene::of(cluster()?.set_on(2, "tags.nofailover", true)).await?;
    let primary = scene.cluster.primary().await?;
    ensure!(primary != 2, "a node that is tagged nofailover became the first primary");
    let epoch = scene.cluster.node(primary).status().await?.state.map(|state| state.epoch);
    for target in ["nobody", "n3", scene.cluster.node(primary).name()] {
        refused(&scene.cluster, target).await?;
    }
    ensure!(scene.cluster.node(primary).status().await?.state.map(|state| state.epoch) == epoch, "a refused switchover moved the epoch");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a switchover to a standby that has just died is called off as soon as its death is known, and refused from then on.
/// Method: kill a standby's node and ask for it at once, and once more; the primary stays.
#[tokio::test]
async fn an_unhealthy_target_is_refused() -> Result<()> {
    let scene = Scene::open().await?;
    let node = scene.cluster.node(scene.cluster.standby().await?);
    node.kill_node()?;
    refused(&scene.cluster, node.name()).await?;
    refused(&scene.cluster, node.name()).await?;
    node.start()?;
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: a standby that is too far behind is refused, whether or not its daemon is well.
/// Method: SIGSTOP a standby's WAL receiver and write more than the allowed lag; ask for it; let it go on.
#[tokio::test]
async fn a_lagging_target_is_refused() -> Result<()> {
    let scene = Scene::open().await?;
    let (primary, standby) = (scene.cluster.primary().await?, scene.cluster.standby().await?);
    let node = scene.cluster.node(standby);
    let rows = node.query("SELECT pid FROM pg_stat_wal_receiver").await?;
    let receiver: i32 = rows.first().and_then(|row| row.first()?.as_ref()).context("the standby does not stream")?.parse()?;
    kill(Pid::from_raw(receiver), Signal::SIGSTOP)?;
    let fill = "CREATE TABLE ballast AS SELECT repeat(md5(n::text), 30) AS words FROM generate_series(1, 20000) AS n";
    scene.cluster.node(primary).query(fill).await?;
    let noticed = scene.cluster.wait_until("the lag to be known", HEAL, async || refused(&scene.cluster, node.name()).await);
    let noticed = noticed.await;
    // It may be gone: a receiver that hears nothing for too long is ended by its server.
    kill(Pid::from_raw(receiver), Signal::SIGCONT).ok();
    noticed?;
    scene.finish(Loss::None).await?;
    Ok(())
}

/// A switchover to that node is refused with rule and reason. A switchover that happened is an error as well.
async fn refused(cluster: &Cluster, target: &str) -> Result<()> {
    let primary = cluster.primary().await?;
    let answer = cluster.switchover(primary, Some(target)).await?;
    ensure!((400..500).contains(&answer.status), "a switchover to {target} was answered {}: {}", answer.status, answer.body);
    let body: serde_json::Value = answer.json()?;
    ensure!(body["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "no reason is given: {body}");
    ensure!(cluster.primary().await? == primary, "the primary moved although the answer is {body}");
    Ok(())
}
