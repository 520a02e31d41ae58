//! What waits for what does not matter: planned changes of primary and failovers past whoever hangs.

use crate::scene::{HEAL, Loss, Scene, TAKE_OVER, cluster};
use anyhow::{Context, Result, ensure};
use chaos::live::Node;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command};
use std::time::Duration;
use tokio::time::sleep;

/// What a switchover may cost on a busy machine, where a clean one takes many times what it takes on one of its own. Without the cure each of these
/// takes at least five seconds, and most of them thirty or more.
const OUTAGE_MAX: Duration = Duration::from_millis(4500);

/// A switchover after which nobody can connect.
const TAKEN: &str = "every connection taken";

/// A client program of PostgreSQL, which ends with its owner.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // A stopped one dies of this as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn freeze(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGSTOP)?)
    }
}

fn client(node: &Node, program: &str, arguments: &[&str]) -> Result<Program> {
    start(program, node.client(program).args(arguments))
}

fn start(program: &str, command: &mut Command) -> Result<Program> {
    Ok(Program(command.spawn().with_context(|| format!("cannot run {program}"))?))
}

/// Moves the primary, and tells for how long nobody could write.
async fn switch(scene: &Scene, what: &str) -> Result<()> {
    let primary = scene.cluster.await_settled(HEAL).await?;
    switch_to(scene, usize::from(primary == 0), what).await
}

async fn switch_to(scene: &Scene, target: usize, what: &str) -> Result<()> {
    let name = scene.cluster.node(target).name();
    // Until the target has told that it has all that was written for this.
    let ask = async || {
        let begun = chaos::live::now();
        let answer = scene.cluster.switchover(2, Some(name)).await?;
        ensure!(!answer.body.contains("candidate-is-close"), "{}", answer.body);
        Ok((begun, answer))
    };
    let (begun, answer) = scene.cluster.wait_until("the target to be close", HEAL, ask).await?;
    ensure!(answer.status == 200, "{what}: the switchover was answered {}: {}", answer.status, answer.body);
    // Where every connection is taken, nobody can write before one is let go.
    if what != TAKEN {
        scene.await_write_on(target).await?;
        let outage = scene.writer.ledger().longest_outage_since(begun).context("nothing was written")?.duration();
        println!("write outage of a switchover with {what}: {outage:?}");
        ensure!(outage < OUTAGE_MAX, "{what}: nobody could write for {outage:?}\n{}", scene.cluster.describe().await);
    }
    Ok(())
}

/// Aim: a planned change of primary waits for nobody but its target.
/// Method: in one cluster, one after the other: nothing, a frozen pg_receivewal, a frozen receiver of rows, an archive command that hangs, readers that
/// keep the target from replaying; measure the outage of a switchover with each.
#[tokio::test]
async fn a_switchover_waits_for_nobody_but_its_target() -> Result<()> {
    let settings = cluster()?
        .parameter("wal_level", "logical")
        .parameter("archive_mode", "on")
        .parameter("archive_command", "test ! -e /tmp/never || sleep 300")
        .parameter("max_standby_streaming_delay", "-1");
    let scene = Scene::of(settings).await?;
    switch(&scene, "nobody in the way").await?;

    let primary = scene.cluster.node(scene.cluster.await_settled(HEAL).await?);
    let folder = primary.home().join("received");
    std::fs::create_dir(&folder)?;
    let mut receiver = primary.client("pg_receivewal");
    receiver.arg("-D").arg(&folder).env("PGUSER", "replicator").env("PGPASSWORD", "a replication password");
    let receiver = start("pg_receivewal", &mut receiver)?;
    let connected = async || {
        let rows =
            primary.query("SELECT 1 FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND state = 'streaming'").await?;
        ensure!(rows.len() == 1, "pg_receivewal does not stream");
        Ok(())
    };
    scene.cluster.wait_until("pg_receivewal to stream", HEAL, connected).await?;
    receiver.freeze()?;
    sleep(Duration::from_millis(300)).await;
    switch(&scene, "a frozen pg_receivewal").await?;
    drop(receiver);

    let primary = scene.cluster.node(scene.cluster.await_settled(HEAL).await?);
    primary.query("SELECT pg_create_logical_replication_slot('rows', 'test_decoding')").await?;
    let arguments = ["-d", "postgres", "--slot", "rows", "--start", "-f", "-"];
    let receiver = client(primary, "pg_recvlogical", &arguments)?;
    let connected = async || {
        let rows = primary.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = 'rows' AND active").await?;
        ensure!(rows.len() == 1, "pg_recvlogical does not stream");
        Ok(())
    };
    scene.cluster.wait_until("pg_recvlogical to stream", HEAL, connected).await?;
    receiver.freeze()?;
    // More than the sockets between them hold.
    primary.query("CREATE TABLE ballast AS SELECT repeat(md5(n::text), 30) AS words FROM generate_series(1, 20000) AS n").await?;
    switch(&scene, "a frozen receiver of rows").await?;
    drop(receiver);

    let primary = scene.cluster.node(scene.cluster.await_settled(HEAL).await?);
    primary.query("ALTER SYSTEM SET archive_command = 'sleep 2.5'").await?;
    primary.query("SELECT pg_reload_conf()").await?;
    switch(&scene, "an archive command that takes its time").await?;
    let status = primary.database_directory().join("pg_wal/archive_status");
    for file in std::fs::read_dir(&status)? {
        let file = file?.path();
        ensure!(file.extension().is_none_or(|kind| kind != "ready"), "{} was not archived before the primary went", file.display());
    }

    let primary = scene.cluster.node(scene.cluster.await_settled(HEAL).await?);
    primary.query("ALTER SYSTEM SET archive_command = 'sleep 300'").await?;
    primary.query("SELECT pg_reload_conf()").await?;
    switch(&scene, "an archive command that hangs").await?;

    let primary = scene.cluster.await_settled(HEAL).await?;
    let mut readers = Vec::new();
    for (index, node) in scene.cluster.nodes().iter().enumerate().filter(|(index, _)| *index != primary) {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ballast; SELECT pg_sleep(300)";
        readers.push(client(node, "psql", &["-c", begin])?);
        let reads = async || {
            let rows = node.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND wait_event = 'PgSleep'").await?;
            ensure!(!rows.is_empty(), "nobody reads on node {index}");
            Ok(())
        };
        scene.cluster.wait_until("a reader", HEAL, reads).await?;
    }
    let writer = scene.cluster.node(primary);
    writer.query("DELETE FROM ballast WHERE ctid IN (SELECT ctid FROM ballast LIMIT 10000)").await?;
    writer.query("VACUUM ballast").await?;
    let held = async || {
        for node in scene.cluster.nodes() {
            let rows = node.query("SELECT 1 FROM pg_stat_activity WHERE wait_event LIKE 'RecoveryConflict%'").await?;
            ensure!(node.name() == writer.name() || !rows.is_empty(), "nobody holds the replay of {} up", node.name());
        }
        Ok(())
    };
    scene.cluster.wait_until("the readers to hold the replay up", HEAL, held).await?;
    switch(&scene, "readers that hold the replay up").await?;
    drop(readers);
    let freed = async || {
        for node in scene.cluster.nodes() {
            let end =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()";
            node.query(end).await?;
        }
        Ok(())
    };
    scene.cluster.wait_until("the readers to be gone", HEAL, freed).await?;
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Aim: no command that a server runs outside of itself holds up a stop or a promotion, nor outlives the role that it was for.
/// Method: in one cluster, one after the other: a session copies from a program that says nothing; processes of the
/// primary's server are stopped; the target's archive_cleanup_command hangs, and it is
/// promoted, writes checkpoints, and gives the role back; its recovery_end_command hangs; the restore_command of both standbys hangs when the primary's
/// node dies.
#[tokio::test]
async fn commands_that_hang_hold_up_neither_a_stop_nor_a_promotion() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.await_settled(HEAL).await?;
    let node = scene.cluster.node(primary);
    node.query("CREATE TABLE copied (line text)").await?;
    let copy = client(node, "psql", &["-c", "COPY copied FROM PROGRAM 'sleep 300'"])?;
    let copies = async || {
        let rows = node.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY copied%' AND state = 'active'").await?;
        ensure!(rows.len() == 1, "nobody copies");
        Ok(())
    };
    scene.cluster.wait_until("the copy from a program", HEAL, copies).await?;
    switch(&scene, "a copy from a program that says nothing").await?;
    drop(copy);

    let node = scene.cluster.node(scene.cluster.await_settled(HEAL).await?);
    for kind in ["checkpointer", "walwriter", "background writer"] {
        let process = node.query(&format!("SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'")).await?;
        let process: i32 = process.first().and_then(|row| row.first()?.as_ref()).context("there is none")?.parse()?;
        kill(Pid::from_raw(process), Signal::SIGSTOP)?;
    }
    switch(&scene, "processes of the server that somebody stopped").await?;

    let primary = scene.cluster.await_settled(HEAL).await?;
    let target = usize::from(primary == 0);
    let node = scene.cluster.node(target);
    set(node, "archive_cleanup_command", "sleep 300").await?;
    let hangs = async || {
        scene.cluster.node(primary).query("CHECKPOINT").await?;
        node.query("CHECKPOINT").await
    };
    // The checkpointer of the standby does not come back from this one.
    ensure!(tokio::time::timeout(Duration::from_secs(4), hangs()).await.is_err(), "the restart point came to its end");
    switch_to(&scene, target, "an archive_cleanup_command that hangs").await?;
    let checkpoint = async || node.query("CHECKPOINT").await;
    scene.cluster.wait_until("a checkpoint of the new primary", TAKE_OVER, checkpoint).await?;
    switch(&scene, "a former archive_cleanup_command").await?;
    scene.cluster.await_settled(HEAL).await?;
    set(node, "archive_cleanup_command", "").await?;

    set(node, "recovery_end_command", "sleep 300").await?;
    // It may hold a secret, and everybody may read the status.
    let named = async || {
        let conditions = node.status().await?.database.context("it reports no database")?.conditions;
        let told = conditions.iter().find(|condition| condition.id == "recovery-end-command").context("it is not named")?;
        ensure!(!told.text.contains("sleep"), "{}", told.text);
        Ok(())
    };
    scene.cluster.wait_until("the command to be named", HEAL, named).await?;
    let begun = chaos::live::now();
    let asked = async || {
        let answer = scene.cluster.switchover(2, Some(node.name())).await?;
        ensure!(!answer.body.contains("candidate-is-close"), "{}", answer.body);
        Ok(answer)
    };
    scene.cluster.wait_until("the target to be close", HEAL, asked).await?;
    scene.writer.acknowledged_after(begun, HEAL).await?;
    scene.await_write_on(target).await?;
    let outage = scene.writer.ledger().longest_outage_since(begun).context("nothing was written")?.duration();
    println!("write outage of a switchover with a recovery_end_command that hangs: {outage:?}");
    ensure!(outage < TAKE_OVER, "nobody could write for {outage:?}");
    set(node, "recovery_end_command", "").await?;

    let primary = scene.cluster.await_settled(HEAL).await?;
    for node in scene.cluster.nodes() {
        set(node, "restore_command", "sleep 300").await?;
    }
    let begun = chaos::live::now();
    scene.cluster.node(primary).kill_node()?;
    let successor = scene.await_successor(primary, begun).await?;
    let outage = scene.writer.ledger().longest_outage_since(begun).context("nothing was written")?.duration();
    println!("write outage of a failover with a restore_command that hangs: {outage:?}");
    for (index, node) in scene.cluster.nodes().iter().enumerate() {
        if index != primary {
            set(node, "restore_command", "").await?;
        }
        if index != primary && index != successor {
            // Nobody is appointed here: its command would have half a minute before it is ended.
            node.kill_server()?;
        }
    }
    let automatic = scene.cluster.node(primary).database_directory().join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&automatic)?;
    std::fs::write(&automatic, text.replace("sleep 300", "false"))?;
    scene.cluster.node(primary).start()?;
    scene.finish(Loss::AroundTheFault(begun)).await?;
    Ok(())
}

async fn set(node: &Node, name: &str, value: &str) -> Result<()> {
    node.query(&format!("ALTER SYSTEM SET {name} = '{value}'")).await?;
    node.query("SELECT pg_reload_conf()").await?;
    Ok(())
}

/// Aim: a candidate that cannot replay costs nobody a minute.
/// Method: freeze the startup process of the standby that would be appointed, and kill the primary's node; the other one writes as soon as ever.
#[tokio::test]
async fn a_frozen_candidate_is_passed_by() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let frozen = scene.cluster.standby().await?;
    let startup = scene.cluster.node(frozen).query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'").await?;
    let startup: i32 = startup.first().and_then(|row| row.first()?.as_ref()).context("there is no startup process")?.parse()?;
    kill(Pid::from_raw(startup), Signal::SIGSTOP)?;
    // Nobody had the time to notice.
    let begun = chaos::live::now();
    scene.cluster.node(primary).kill_node()?;
    let successor = scene.await_successor(primary, begun).await?;
    ensure!(successor != frozen, "the frozen one writes");
    let outage = scene.writer.ledger().longest_outage_since(begun).context("nothing was written")?.duration();
    println!("write outage of a failover past a frozen candidate: {outage:?}");
    ensure!(outage < TAKE_OVER / 2, "nobody could write for {outage:?}");
    kill(Pid::from_raw(startup), Signal::SIGCONT).ok();
    scene.cluster.node(primary).start()?;
    scene.finish(Loss::AroundTheFault(begun)).await?;
    Ok(())
}

/// Aim: a standby that is given less room than its primary has is of use again before anybody needs it; and a promotion needs no connection.
/// Method: raise max_connections on the primary alone and kill its server, which Witch restarts: the replay of the standbys pauses, and they are restarted
/// with enough room. Then superusers take every connection of the target of a switchover.
#[tokio::test]
async fn neither_room_nor_connections_keep_a_standby_from_being_promoted() -> Result<()> {
    let scene = Scene::of(cluster()?.parameter("max_wal_senders", "10")).await?;
    let primary = scene.cluster.primary().await?;
    let node = scene.cluster.node(primary);
    node.query("ALTER SYSTEM SET max_connections = 130").await?;
    node.kill_server()?;
    let roomy = async || {
        for node in scene.cluster.nodes() {
            let rows = node.query("SELECT 1 WHERE current_setting('max_connections') = '130' AND CASE WHEN pg_is_in_recovery() THEN NOT pg_is_wal_replay_paused() ELSE true END").await?;
            ensure!(rows.len() == 1, "{} has no room, or its replay is paused", node.name());
        }
        Ok(())
    };
    scene.cluster.wait_until("the standbys to have room", HEAL, roomy).await?;
    let primary = scene.cluster.await_settled(HEAL).await?;
    let target = usize::from(primary == 0);
    let node = scene.cluster.node(target);
    let taken = node.take_every_connection().await;
    ensure!(taken.len() > 100, "only {} connections could be taken", taken.len());
    switch_to(&scene, target, TAKEN).await?;
    drop(taken);
    scene.finish(Loss::None).await?;
    Ok(())
}
