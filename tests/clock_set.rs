use crate::scene::{HEAL, Loss, Scene, cluster, seat};
use anyhow::{Context, Result, ensure};
use chaos::live::Node;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Aim: leases do not care when somebody sets the clock of one node, forward or back by an hour.
/// Method: a shim that is preloaded into every process of the primary's node adds an offset to the time of day, as `date -s` would, and
/// leaves the other clocks alone. The offset is changed while everything runs; no statement fails and the primary stays.
#[tokio::test]
async fn setting_the_clock_of_the_primary_changes_nothing() -> Result<()> {
    let seat = seat().await;
    let mut cluster = cluster()?.prepare()?;
    let shim = build_shim(cluster.folder())?;
    // The first node is the first primary.
    let offset = cluster.folder().join("clock-offset");
    set_clock(&offset, 0)?;
    let node = cluster.node_mut(0);
    node.set_environment("LD_PRELOAD", &shim.to_string_lossy());
    for node in cluster.nodes() {
        node.start()?;
    }
    let primary = cluster.await_settled(HEAL).await?;
    ensure!(primary == 0, "n{} became the first primary", primary + 1);
    let scene = Scene::on(cluster, seat).await?;
    for hours in [1, -1, 0] {
        set_clock(&offset, hours * 3600)?;
        let seen = clock_of(scene.cluster.node(0)).await? - clock_of(scene.cluster.node(1)).await?;
        ensure!((seen - hours * 3600).abs() < 60, "the shim does not work: the clocks differ by {seen} s instead of {hours} h");
        let some_leases = scene
            .cluster
            .holds_for("the primary stays", Duration::from_secs(8), async || scene.cluster.nobody_else_is_appointed(primary).await);
        some_leases.await?;
    }
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Seconds since 1970 as the node's server sees them.
async fn clock_of(node: &Node) -> Result<i64> {
    let rows = node.query("SELECT extract(epoch FROM clock_timestamp())::bigint").await?;
    Ok(rows.first().and_then(|row| row.first()?.as_ref()).context("a row was expected")?.parse()?)
}

/// Sets the clock by so many seconds.
fn set_clock(file: &Path, seconds: i64) -> Result<()> {
    // Over the old bytes, never through an empty file: a process may look at any instant.
    let temporary = file.with_extension("new");
    fs::write(&temporary, format!("{seconds}\n"))?;
    fs::rename(&temporary, file)?;
    Ok(())
}

fn build_shim(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("clock_shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock_shim.c");
    // The server does not get the daemon's whole environment, so the place of the file is compiled in.
    let define = format!("-DOFFSET_FILE=\"{}\"", folder.join("clock-offset").display());
    let mut compile = Command::new("cc");
    let output = compile
        .args(["-shared", "-fPIC", "-O1"])
        .arg(define)
        .arg("-o")
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .output()
        .context("cannot run cc")?;
    ensure!(output.status.success(), "cc failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
