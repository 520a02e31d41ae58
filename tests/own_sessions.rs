use crate::scene::{HEAL, Scene, cluster, seat};
use anyhow::{Context, Result, ensure};
use chaos::live::Cluster;
use std::path::Path;

/// Aim: what users set, and what they do to the database called `postgres`, keeps nobody from being appointed, from following and from
/// coming back; and no child of the daemon inherits what it may know.
/// Method: make serializable transactions the rule for the role, the database and the server; switch over, start all daemons anew, kill the
/// primary's node. Then close `postgres` to connections and kill the next primary's node.
#[tokio::test]
async fn policies_for_applications_and_a_closed_database_keep_nobody_from_leading() -> Result<()> {
    let seat = seat().await;
    let mut cluster = cluster()?.prepare()?;
    for index in 0..cluster.nodes().len() {
        cluster.node_mut(index).set_environment("WITCH_SECRET", "for-the-daemon-alone");
        cluster.node(index).start()?;
    }
    cluster.await_birth().await?;
    let scene = Scene::on(cluster, seat).await?;
    let cluster = &scene.cluster;
    for node in cluster.nodes() {
        let children = node.guard_pid().into_iter().chain(node.server_pids());
        for pid in children {
            let environment =
                std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).context("cannot read an environment")?;
            ensure!(!String::from_utf8_lossy(&environment).contains("WITCH_"), "process {pid} of {} inherits it", node.name());
        }
    }

    let primary = cluster.primary().await?;
    for whose in ["ROLE witch", "ROLE replicator", "DATABASE postgres", "SYSTEM"] {
        cluster.node(primary).query(&format!("ALTER {whose} SET default_transaction_isolation = 'serializable'")).await?;
    }
    for node in cluster.nodes() {
        node.query("SELECT pg_reload_conf()").await?;
        node.restart_daemon()?;
    }
    let primary = cluster.await_settled(HEAL).await?;
    let to = cluster.standby().await?;
    let answer = cluster.switchover(primary, Some(cluster.node(to).name())).await?;
    ensure!(answer.status == 200, "the switchover was not made: {answer:?}");
    cluster.await_settled(HEAL).await?;
    let killed = chaos::live::now();
    cluster.node(to).kill_node()?;
    scene.await_successor(to, killed).await?;
    cluster.node(to).start()?;
    cluster.await_settled(HEAL).await?;

    // Nobody asks `postgres` any more but to close it.
    let primary = cluster.primary().await?;
    cluster.node(primary).query("UPDATE pg_catalog.pg_database SET datallowconn = false WHERE datname = 'postgres'").await?;
    for node in cluster.nodes() {
        node.restart_daemon()?;
    }
    let told = cluster.wait_until("every node to say which database it uses", HEAL, async || {
        let conditions = cluster.statuses().await.into_iter().flatten().filter_map(|status| Some(status.database?.conditions));
        let told = conditions.filter(|conditions| conditions.iter().any(|condition| condition.id == "other-database")).count();
        ensure!(told == cluster.nodes().len(), "{told} nodes say it");
        Ok(())
    });
    told.await?;
    let primary = cluster.primary().await?;
    cluster.node(primary).kill_node()?;
    await_another(cluster, primary).await?;
    Ok(())
}

async fn await_another(cluster: &Cluster, old: usize) -> Result<()> {
    let another = cluster.wait_until("another node to accept writes", HEAL, async || {
        let now = cluster.primary_now().await?;
        ensure!(now != old, "it is the old one");
        Ok(())
    });
    another.await
}
