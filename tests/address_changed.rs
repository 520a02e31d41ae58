use crate::scene::{HEAL, cluster, seat};
use actors::model::Status;
use anyhow::{Context, Result, ensure};
use chaos::live::{Cluster, Writer};
use std::time::Duration;

/// How long a daemon may take to leave its database to the guard.
const LEAVE: Duration = Duration::from_secs(10);

/// Aim: a node whose ports change is found again, whatever it is, and a majority that moved finds itself.
/// Method: in one cluster: a standby's Witch port and database port, in its own file only, with the daemon stopped; then the database port of the
/// primary, whose server runs on while the daemon is restarted, and a switchover; then the Witch ports of all three at once, in all files. After
/// each, all stream from one primary, the log names the new place, and a node whose file names the old one says so.
#[tokio::test]
async fn a_node_whose_address_changed_is_found_again() -> Result<()> {
    let _seat = seat().await;
    let mut cluster = cluster()?.start().await?;

    let standby = cluster.standby().await?;
    let node = cluster.node(standby);
    node.terminate()?;
    node.await_exit(HEAL).await?;
    cluster.node_mut(standby).change_ports(true, true)?;
    cluster.node(standby).start()?;
    let primary = cluster.await_settled(HEAL).await.context("after a standby moved")?;
    await_known(&cluster, standby).await?;
    let others = cluster.node(primary).status().await?.database.context("a database")?.conditions;
    ensure!(others.iter().any(|condition| condition.id == "file-differs"), "that its file is wrong is not said: {others:?}");
    let checked = |index: usize| -> Result<String> {
        let node = cluster.node(index);
        let output = node.witch(&["--config", &node.config_path().to_string_lossy(), "check-config"]).output()?;
        ensure!(output.status.success(), "a difference is no fault");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let said = checked(primary)?;
    ensure!(said.contains("note: witch.toml has node") && said.contains("the cluster knows"), "check-config does not say so: {said}");
    ensure!(!checked(standby)?.contains("note:"), "the file of the node that moved is right");
    ensure!(conditions(&cluster.node(standby).status().await?) == 0, "the node that moved still finds fault with its file");

    let server = cluster.node(primary).postmaster_pid();
    cluster.node(primary).usr1()?;
    cluster.node(primary).await_exit(LEAVE).await?;
    cluster.node_mut(primary).change_ports(false, true)?;
    cluster.node(primary).start()?;
    cluster
        .wait_until("the primary to say that it is on its old port", HEAL, async || {
            let status = cluster.node(primary).status().await?;
            ensure!(status.writable, "it does not lead");
            ensure!(
                status.database.is_some_and(|database| database.conditions.iter().any(|seen| seen.id == "port-not-in-force")),
                "it does not say"
            );
            Ok(())
        })
        .await?;
    ensure!(cluster.node(primary).postmaster_pid() == server, "the server was restarted under its clients");
    let answer = cluster.switchover(primary, None).await?;
    ensure!(answer.status == 200, "the switchover was refused: {}", answer.body);
    cluster.await_settled(HEAL).await.context("after the primary's database moved")?;
    await_known(&cluster, primary).await?;

    for index in 0..3 {
        cluster.node(index).usr1()?;
        cluster.node(index).await_exit(LEAVE).await?;
    }
    for index in 0..3 {
        cluster.node_mut(index).change_ports(true, false)?;
        let (id, port) = (cluster.node(index).id(), i64::from(cluster.node(index).address().1));
        for node in cluster.nodes() {
            node.reconfigure(|config| {
                config.set_of_peer(id, "port", port);
            })?;
        }
    }
    for node in cluster.nodes() {
        node.start()?;
    }
    cluster.await_settled(HEAL).await.context("after all daemons moved")?;
    for index in 0..3 {
        await_known(&cluster, index).await?;
    }
    let writer = Writer::start(cluster.targets()).await?;
    writer.acknowledged_after(chaos::live::now(), HEAL).await?;
    Ok(())
}

fn conditions(status: &Status) -> usize {
    status.database.as_ref().map_or(0, |database| database.conditions.len())
}

/// Waits until every node's log places that node where it is.
async fn await_known(cluster: &Cluster, index: usize) -> Result<()> {
    let node = cluster.node(index);
    let (id, port) = (node.id(), node.address().1);
    let database = node.target().config.get_ports()[0];
    let what = format!("all to know where {} is", node.name());
    let known = cluster.wait_until(&what, HEAL, async || {
        for status in cluster.statuses().await.into_iter() {
            let state = status.context("a node does not answer")?.state.context("a node knows no cluster")?;
            let member = &state.members[&id];
            ensure!((member.witch.port, member.database.port) == (port, database), "{} and {} are known", member.witch, member.database);
        }
        Ok(())
    });
    known.await
}
