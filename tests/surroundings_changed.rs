use crate::scene::{HEAL, Loss, Scene, cluster, seat};
use anyhow::{Context, Result, ensure};
use chaos::live::Node;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Aim: what a package manager and a configuration tool do under running servers is said, heals by itself, and loses nothing; and a change of
/// role leaves nothing behind that holds rows.
/// Method: the programs are a link that leads to another copy from one moment to the next, while the libraries of the first one go: a server
/// that runs can start no receiver any more. Then a switchover, with feedback on; a `postgresql.conf` without Witch's line; and names of
/// synchronous standbys that do not exist.
#[tokio::test]
async fn what_others_change_under_a_running_server_is_said_and_heals() -> Result<()> {
    let seat = seat().await;
    let programs = tempfile::tempdir()?;
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755))?;
    let installed = fs::canonicalize(crate::scene::programs()?.postgres_bin.join("postgres"))?;
    for copy in ["before", "after"] {
        copy_programs(
            installed.parent().and_then(Path::parent).context("a folder for programs and libraries")?,
            &programs.path().join(copy),
        )?;
    }
    let now = programs.path().join("now");
    symlink("before", &now)?;
    let mut cluster = cluster()?
        .set("postgres.bin_dir", now.join("bin").to_string_lossy().into_owned())
        .parameter("hot_standby_feedback", "on")
        .parameter("archive_mode", "on")
        .parameter("archive_command", "env > archive_environment.txt")
        .prepare()?;
    for node in 0..3 {
        cluster.node_mut(node).set_environment("AWS_TEST_BUCKET", "a bucket");
        cluster.node_mut(node).set_environment("PGOPTIONS", "-c work_mem=1MB");
    }
    for node in cluster.nodes() {
        node.start()?;
    }
    cluster.await_settled(HEAL).await?;
    let scene = Scene::on(cluster, seat).await?;
    let old = scene.cluster.primary().await?;

    // The commands of the server see what the daemon sees, but for its secrets.
    let primary = scene.cluster.node(old);
    primary.query("SELECT pg_switch_wal()").await?;
    let environment = primary.database_directory().join("archive_environment.txt");
    let seen = scene.cluster.wait_until("the archiver to run", HEAL, async || Ok(fs::read_to_string(&environment)?)).await?;
    ensure!(seen.contains("AWS_TEST_BUCKET=a bucket") && !seen.contains("WITCH_") && !seen.contains("PGOPTIONS"), "{seen}");
    let holds = "SELECT count(*)::text FROM pg_replication_slots WHERE slot_type = 'physical' AND xmin IS NOT NULL";
    let held = async || {
        ensure!(one(primary, holds).await? != "0", "no feedback came");
        Ok(())
    };
    scene.cluster.wait_until("feedback of the standbys", HEAL, held).await?;

    // The package manager.
    symlink("after", programs.path().join("next"))?;
    fs::rename(programs.path().join("next"), &now)?;
    remove_receiver(&programs.path().join("before"))?;
    for node in scene.cluster.nodes() {
        scene.cluster.wait_until("a pending restart to be told", HEAL, async || says(node, "pending-restart").await).await?;
    }
    let fault = chaos::live::now();
    let answer = scene.cluster.switchover(old, None).await?;
    ensure!(answer.status < 300, "the switchover was refused: {answer:?}");
    scene.await_successor(old, fault).await?;
    let new = scene.cluster.await_settled(HEAL).await?;
    ensure!(new != old, "the primary is still n{}", old + 1);
    for (index, node) in scene.cluster.nodes().iter().enumerate() {
        let told = async || {
            let told = says(node, "pending-restart").await.is_ok();
            ensure!(told == (index == new), "pending restart of n{}: {told}", index + 1);
            Ok(())
        };
        scene.cluster.wait_until("only the primary to run the programs before", HEAL, told).await?;
    }

    // What the change of role left.
    let standby = scene.cluster.node(old);
    let freed = async || {
        let left = one(standby, holds).await?;
        ensure!(left == "0", "{left} slots of the former primary hold rows");
        Ok(())
    };
    scene.cluster.wait_until("the slots of the former primary to hold no rows", HEAL, freed).await?;

    // The configuration tool, on both sides.
    for node in [scene.cluster.node(new), standby] {
        let conf = node.database_directory().join("postgresql.conf");
        let text = fs::read_to_string(&conf)?;
        fs::write(&conf, text.replace("include_if_exists = 'witch.conf'", "# nothing of Witch's"))?;
        node.query("SELECT pg_reload_conf()").await?;
        let mended = async || {
            ensure!(fs::read_to_string(&conf)?.contains("\ninclude_if_exists = 'witch.conf'"), "the line is missing");
            ensure!(one(node, "SHOW wal_receiver_timeout").await? == "10s", "it has not taken effect");
            says(node, "configuration-mended").await
        };
        scene.cluster.wait_until("postgresql.conf to be mended", HEAL, mended).await?;
    }

    // A leftover for which commits would wait for ever.
    let primary = scene.cluster.node(new);
    primary.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await?;
    primary.query("SELECT pg_reload_conf()").await?;
    let taken_out = async || {
        ensure!(one(primary, "SHOW synchronous_standby_names").await?.is_empty(), "commits wait for nobody");
        says(primary, "configuration-mended").await
    };
    scene.cluster.wait_until("the leftover to be taken out", HEAL, taken_out).await?;
    scene.await_write_on(new).await?;
    scene.finish(Loss::None).await?;
    Ok(())
}

async fn one(node: &Node, query: &str) -> Result<String> {
    let rows = node.query(query).await?;
    rows.into_iter().flatten().next().flatten().context("an empty answer")
}

async fn says(node: &Node, id: &str) -> Result<()> {
    let conditions = node.status().await?.database.context("it reports no database")?.conditions;
    ensure!(conditions.iter().any(|condition| condition.id == id), "{id} is not among {conditions:?}");
    Ok(())
}

/// A server finds its libraries by where its program lies.
fn copy_programs(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for folder in ["bin", "lib", "share"] {
        if from.join(folder).exists() {
            let copied = Command::new("cp").arg("-a").arg(from.join(folder)).arg(to).status()?;
            ensure!(copied.success(), "{folder} could not be copied");
        }
    }
    Ok(())
}

/// As after an upgrade, where the library is there and fits another server only.
fn remove_receiver(programs: &Path) -> Result<()> {
    for folder in ["lib", "lib/postgresql"] {
        let library = programs.join(folder).join("libpqwalreceiver.so");
        if library.exists() {
            // Receivers that run go on with the file that they have.
            fs::remove_file(&library)?;
            return Ok(fs::write(library, "of another version")?);
        }
    }
    anyhow::bail!("there is no libpqwalreceiver.so in {}", programs.display())
}
