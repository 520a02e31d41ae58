use crate::scene::{WITCH, seat};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A cluster is made, heals from a fault, and is judged.
const WHOLE: Duration = Duration::from_secs(120);
/// Ctrl-C ends it within this, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

/// Aim: a demo that comes to its end leaves nothing behind, and its verdict is its exit code.
/// Method: let it kill a server; it ends with 0, and its folder holds no file and no process.
#[tokio::test]
async fn a_demo_that_ends_leaves_nothing_behind() -> Result<()> {
    let (_seat, folder) = (seat().await, folder()?);
    let mut demo = demo(folder.path(), "crash")?;
    await_line(&mut demo, "the server process is killed").await?;
    let status = timeout(WHOLE, demo.wait()).await.context("the demo does not end")??;
    ensure!(status.success(), "it ended with {status}");
    nothing_is_left(folder.path())
}

/// Aim: Ctrl-C ends a demo at once, whatever is under way, and leaves nothing behind.
/// Method: interrupt it right after it has stopped a server, whose processes nothing but SIGKILL ends.
#[tokio::test]
async fn a_demo_that_is_interrupted_in_the_middle_of_a_fault_leaves_nothing_behind() -> Result<()> {
    let (_seat, folder) = (seat().await, folder()?);
    let mut demo = demo(folder.path(), "freeze")?;
    await_line(&mut demo, "of the server is stopped").await?;
    ensure!(!processes_in(folder.path())?.is_empty(), "no process was found before, so finding none afterwards would show nothing");
    let memory = shared_memory_in(folder.path());
    ensure!(memory.len() >= 3, "each server has some: {memory:?}");
    let status = interrupt(&mut demo).await?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    let left: Vec<_> = memory.iter().filter(|file| file.exists()).collect();
    ensure!(left.is_empty(), "shared memory is left: {left:?}");
    nothing_is_left(folder.path())
}

/// Aim: the same while the cluster is being born, which is when people change their minds.
/// Method: interrupt it as soon as it says that it starts its nodes.
#[tokio::test]
async fn a_demo_that_is_interrupted_at_its_beginning_leaves_nothing_behind() -> Result<()> {
    let (_seat, folder) = (seat().await, folder()?);
    let mut demo = demo(folder.path(), "crash")?;
    await_line(&mut demo, "starting").await?;
    let status = interrupt(&mut demo).await?;
    ensure!(status.code() == Some(1), "it ended with {status}");
    nothing_is_left(folder.path())
}

/// A folder that the servers' user may enter.
fn folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn demo(folder: &Path, script: &str) -> Result<Child> {
    let mut command = Command::new(WITCH);
    command.args(["demo", "--script", script, "--dir"]).arg(folder);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?)
}

/// Reads what it tells until a line has those words; goes on reading, so that it never waits for us.
async fn await_line(demo: &mut Child, words: &str) -> Result<()> {
    let stderr = demo.stderr.take().context("its standard error is ours")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut told = Vec::new();
    let search = async {
        while let Some(line) = lines.next_line().await? {
            told.push(line);
            if told.last().is_some_and(|line| line.contains(words)) {
                return Ok(());
            }
        }
        bail!("it ended")
    };
    let found = timeout(WHOLE, search).await.map_err(anyhow::Error::from).and_then(|found| found);
    found.with_context(|| format!("it never told of \"{words}\"; it told:\n{}", told.join("\n")))?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(())
}

async fn interrupt(demo: &mut Child) -> Result<ExitStatus> {
    let pid = demo.id().context("it has ended already")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
    Ok(timeout(PROMPT, demo.wait()).await.context("the interrupted demo does not end")??)
}

fn nothing_is_left(folder: &Path) -> Result<()> {
    let files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    ensure!(files.is_empty(), "files are left: {files:?}");
    let processes = processes_in(folder)?;
    ensure!(processes.is_empty(), "processes are left:\n{}", processes.join("\n"));
    Ok(())
}

/// The shared memory that processes which work in the folder have mapped.
fn shared_memory_in(folder: &Path) -> BTreeSet<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let workers = processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)));
    let maps: Vec<_> = workers.filter_map(|process| fs::read_to_string(process.join("maps")).ok()).collect();
    maps.iter().flat_map(|maps| maps.lines()).filter_map(|line| Some(PathBuf::from(&line[line.find("/dev/shm/")?..]))).collect()
}

/// The command lines of all processes that work in the folder or were given a path in it, but for the demo itself.
fn processes_in(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let given = line.contains(&*folder.to_string_lossy()) && !line.contains(" demo ");
        if given || fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)) {
            found.push(line);
        }
    }
    Ok(found)
}
