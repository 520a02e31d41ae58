use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Context, Result, ensure};
use chaos::live::{Identity, Node};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Aim: a database of another cluster is never run, rewound or wiped; it is reported (S11).
/// Method: put a fresh initdb into the data directory of a standby's node. The node says what is wrong and touches no file for a while, and
/// the others go on. With an empty directory it joins again.
#[tokio::test]
async fn a_database_of_another_cluster_is_refused_and_left_untouched() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let standby = scene.cluster.standby().await?;
    let node = scene.cluster.node(standby);
    node.kill_node()?;
    node.empty_database_directory()?;
    initdb(&scene, node)?;
    let before = files(&node.database_directory())?;
    node.start()?;
    let reported = scene.cluster.wait_until("the node to report the foreign database", HEAL, async || {
        let status = node.status().await?;
        let trouble = status.database.context("it reports no database")?.trouble.context("it reports no trouble")?;
        ensure!(trouble.contains("identifier"), "the trouble is another one: {trouble}");
        Ok(())
    });
    reported.await?;
    let untouched = scene.cluster.holds_for("the foreign database is left alone", Duration::from_secs(5), async || {
        ensure!(node.server_pids().is_empty(), "a server was started on it");
        scene.cluster.nobody_else_is_appointed(primary).await?;
        Ok(())
    });
    untouched.await?;
    ensure!(files(&node.database_directory())? == before, "files of the foreign database were changed");
    node.kill_node()?;
    node.empty_database_directory()?;
    node.start()?;
    scene.finish(Loss::None).await?;
    Ok(())
}

fn initdb(scene: &Scene, node: &Node) -> Result<()> {
    let initdb = scene.cluster.programs().postgres_bin.join("initdb");
    let mut command = Identity::choose()?.command(initdb);
    let output = command.arg("--pgdata").arg(node.database_directory()).arg("--no-sync").current_dir(node.home()).output()?;
    ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Every file below a folder with its size and the time of its last change.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, (u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.insert(path, (metadata.len(), metadata.modified()?));
        }
    }
    Ok(found)
}
