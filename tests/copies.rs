use crate::scene::{HEAL, Loss, Scene, programs};
use anyhow::{Context, Result, ensure};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Aim: a standby that wrote by itself, on its primary's timeline, is not taken for its copy: it is never a candidate, what it wrote is kept aside, and
/// it is cloned (D6). PostgreSQL would stream to it and count its word for synchronous commits.
/// Method: kill a standby's node, take `standby.signal` away, write in single-user mode more than the primary will, put the file back and start.
#[tokio::test]
async fn a_standby_that_wrote_without_its_signal_file_is_cloned() -> Result<()> {
    let scene = Scene::open().await?;
    let standby = scene.cluster.standby().await?;
    let node = scene.cluster.node(standby);
    node.kill_node()?;
    let (folder, signal) = (node.database_directory(), node.database_directory().join("standby.signal"));
    let owner = std::fs::metadata(&folder)?;
    std::fs::remove_file(&signal)?;
    // It is the lock of a server that was killed.
    let _ = std::fs::remove_file(folder.join("postmaster.pid"));
    let mut single = Command::new(programs()?.postgres_bin.join("postgres"));
    single.args(["--single", "-D"]).arg(&folder).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut single = single.uid(owner.uid()).gid(owner.gid()).current_dir("/").spawn()?;
    let statement = b"CREATE TABLE written_alone AS SELECT generate_series(1, 200000) AS n\n";
    single.stdin.take().context("it was piped")?.write_all(statement)?;
    let ended = single.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success() && !said.contains("ERROR"), "the single-user server failed: {said}");
    std::fs::write(&signal, "")?;
    chown(&signal, Some(owner.uid()), Some(owner.gid()))?;
    node.start()?;
    scene.cluster.await_settled(HEAL).await?;
    let alone = node.query("SELECT count(*) FROM pg_class WHERE relname = 'written_alone'").await?;
    ensure!(alone == [[Some("0".to_owned())]], "it still has what it wrote alone: {alone:?}");
    let kept = std::fs::read_dir(node.witch_directory().join("diverged")).context("nothing was kept aside")?.count();
    ensure!(kept == 1, "{kept} folders were kept aside");
    scene.finish(Loss::None).await?;
    Ok(())
}
