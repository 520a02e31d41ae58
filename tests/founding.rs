use crate::scene::{HEAL, cluster, seat};
use anyhow::{Context, Result, ensure};
use chaos::live::{Cluster, Identity};
use std::time::Duration;

/// Aim: a database that exists already becomes the cluster's, with its contents.
/// Method: let a cluster of one node make a database with a row in it, hand its directory to the second node of a new cluster of three, and
/// start that; the second node is the first primary and the row is on every node.
#[tokio::test]
async fn one_existing_database_is_adopted() -> Result<()> {
    let _seat = seat().await;
    let donor = cluster()?.nodes(1).start().await?;
    donor.node(0).query("CREATE TABLE heirloom (words text)").await?;
    donor.node(0).query("INSERT INTO heirloom VALUES ('kept')").await?;
    stop(&donor).await?;
    let heirs = cluster()?.prepare()?;
    hand_over(&donor, &heirs, 1)?;
    for node in heirs.nodes() {
        node.start()?;
    }
    let primary = heirs.await_settled(HEAL).await?;
    ensure!(primary == 1, "n{} became the first primary", primary + 1);
    for node in heirs.nodes() {
        let seen = heirs.wait_until("the row to arrive", HEAL, async || {
            let rows = node.query("SELECT words FROM heirloom").await?;
            ensure!(rows == [[Some("kept".to_owned())]], "{} has {rows:?}", node.name());
            Ok(())
        });
        seen.await?;
    }
    Ok(())
}

/// Aim: nobody guesses which of several databases is the right one: the birth waits, and the operator is told what there is.
/// Method: two nodes of three are given databases of their own. No server is started, and the status names both identifiers.
#[tokio::test]
async fn several_existing_databases_are_refused() -> Result<()> {
    let _seat = seat().await;
    let nodes = cluster()?.prepare()?;
    let mut identifiers = Vec::new();
    for index in [0, 2] {
        let donor = cluster()?.nodes(1).start().await?;
        let rows = donor.node(0).query("SELECT system_identifier FROM pg_control_system()").await?;
        identifiers.push(rows.first().and_then(|row| row.first()?.clone()).context("a row was expected")?);
        stop(&donor).await?;
        hand_over(&donor, &nodes, index)?;
    }
    for node in nodes.nodes() {
        node.start()?;
    }
    let told = nodes.wait_until("the operator to be told of both databases", HEAL, async || {
        let text = serde_json::to_string(&nodes.statuses().await)?;
        let waiting: Vec<_> = nodes.statuses().await.into_iter().flatten().filter_map(|status| status.waiting_for).collect();
        let both = waiting.iter().any(|words| identifiers.iter().all(|identifier| words.contains(identifier)));
        ensure!(both, "nobody names {identifiers:?}: {text}");
        Ok(())
    });
    told.await?;
    let quiet = nodes.holds_for("no server is started", Duration::from_secs(3), async || {
        ensure!(nodes.nodes().iter().all(|node| node.server_pids().is_empty()), "a server runs");
        Ok(())
    });
    quiet.await
}

/// Aim: a server that somebody else started is never taken over or stopped: the operator is told.
/// Method: the existing database of the first node already runs, started by hand; the daemon names it, and the server lives on.
#[tokio::test]
async fn a_running_server_is_refused() -> Result<()> {
    let _seat = seat().await;
    let donor = cluster()?.nodes(1).start().await?;
    stop(&donor).await?;
    let nodes = cluster()?.prepare()?;
    hand_over(&donor, &nodes, 0)?;
    let directory = nodes.node(0).database_directory();
    let control = |words: &[&str]| -> Result<()> {
        let mut command = Identity::choose()?.command(nodes.programs().postgres_bin.join("pg_ctl"));
        let log = nodes.node(0).home().join("by-hand.log");
        // A port that the operator uses for maintenance, and no socket anywhere else.
        let options = format!("-c listen_addresses= -c unix_socket_directories={}", nodes.node(0).home().display());
        command.args(words).arg("-w").arg("-D").arg(&directory).arg("-l").arg(log).args(["-o", &options]).current_dir(nodes.node(0).home());
        ensure!(command.status()?.success(), "pg_ctl {words:?} failed");
        Ok(())
    };
    control(&["start"])?;
    let by_hand = nodes.node(0).postmaster_pid().context("pg_ctl started nothing")?;
    for node in nodes.nodes() {
        node.start()?;
    }
    let told = nodes.wait_until("the operator to be told what to stop", HEAL, async || {
        let words = serde_json::to_string(&nodes.node(0).status().await.ok())? + &nodes.node(0).log();
        ensure!(words.contains(&by_hand.to_string()), "nobody names the process {by_hand}");
        Ok(())
    });
    told.await?;
    ensure!(nodes.node(0).postmaster_pid() == Some(by_hand), "the operator's server was replaced");
    control(&["stop"])
}

/// Ends a cluster of one node cleanly.
async fn stop(cluster: &Cluster) -> Result<()> {
    cluster.node(0).terminate()?;
    let status = cluster.node(0).await_exit(Duration::from_secs(30)).await?;
    ensure!(status.success(), "the daemon ended with {status}");
    Ok(())
}

/// Moves the database of a stopped cluster of one to a node of another.
fn hand_over(from: &Cluster, to: &Cluster, node: usize) -> Result<()> {
    std::fs::rename(from.node(0).database_directory(), to.node(node).database_directory()).context("cannot move the database")
}
