//! Processes as `/proc` shows them: who belongs to which node, and signals to them.

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::park_timeout;
use std::time::Duration;

/// A disk that takes longer is broken.
const END_MAX: Duration = Duration::from_secs(20);

/// A process id.
pub type Pid = nix::unistd::Pid;

/// Sends a signal; whether somebody was there to get it.
pub(super) fn signal(pid: Pid, signal: Signal) -> bool {
    kill(pid, signal).is_ok()
}

/// Kills whoever `look` finds until it finds nobody: one of them may have started another between the look and the kill, and one in the middle of
/// an fsync dies only after it.
pub(super) fn end_all(look: impl Fn() -> Vec<Pid>) {
    let deadline = super::now() + END_MAX;
    loop {
        let left = look();
        if left.is_empty() || super::now() > deadline {
            return;
        }
        for pid in left {
            signal(pid, Signal::SIGKILL);
        }
        park_timeout(Duration::from_millis(2));
    }
}

/// Whether the process exists and is more than a zombie.
pub(super) fn is_alive(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The letter that `ps` shows.
fn state(pid: Pid) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// The fields of `/proc/PID/stat` from the state on; the name before them may hold blanks and parentheses.
pub(super) fn stat_fields(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// The parent of a process.
pub(super) fn parent(pid: Pid) -> Option<Pid> {
    stat_fields(pid)?.get(1)?.parse().ok().map(Pid::from_raw)
}

/// Every process of this machine.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

/// The working directory; a folder that was deleted keeps its name with a remark behind it.
fn working_directory(pid: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// Every living process whose working directory is `folder` or lies below it: PostgreSQL's processes all sit in their data directory.
pub(super) fn working_in(folder: &Path) -> Vec<Pid> {
    all().filter(|&pid| working_directory(pid).is_some_and(|directory| directory.starts_with(folder)) && is_alive(pid)).collect()
}

/// Whether the working directory of a process is `folder`, by the name that it has where the process lives.
pub(super) fn works_in(pid: Pid, folder: &str) -> bool {
    working_directory(pid).is_some_and(|directory| directory == Path::new(folder))
}

/// Every living `witch` that was given a path in `folder`: its configuration, or the socket of a guard. A person who reads a log there is none.
pub(super) fn witches_of(folder: &Path) -> Vec<Pid> {
    all()
        .filter(|&pid| {
            let words = arguments(pid);
            let is_witch = words.first().is_some_and(|program| program.file_name() == Some(OsStr::new("witch")));
            is_witch && words.iter().any(|word| word.starts_with(folder)) && is_alive(pid)
        })
        .collect()
}

/// Every living process in the process namespace that `init` began: a container's.
pub(super) fn in_container_of(init: Pid) -> Vec<Pid> {
    let namespace = |pid: Pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(ours) = namespace(init) else { return Vec::new() };
    all().filter(|&pid| namespace(pid).is_some_and(|theirs| theirs == ours) && is_alive(pid)).collect()
}

/// Kills one process among those of a server that serves a client, and returns once the server has ended all the others for it, which is what a
/// recovery in place begins with; the postmaster lives on.
pub(super) fn kill_backend(postmaster: Pid, processes: &[Pid]) -> anyhow::Result<()> {
    let serves = |pid: &&Pid| parent(**pid) == Some(postmaster) && serves_a_client(&title(**pid));
    let backend = *processes.iter().find(serves).context("no process of the server serves a client")?;
    let others: Vec<Pid> = processes.iter().copied().filter(|pid| parent(*pid) == Some(postmaster)).collect();
    ensure!(signal(backend, Signal::SIGKILL), "the process {backend} was gone before it could be killed");
    let deadline = super::now() + END_MAX;
    while others.iter().any(|pid| is_alive(*pid) && parent(*pid) == Some(postmaster)) {
        ensure!(super::now() < deadline, "the server goes on after its process {backend} was killed");
        park_timeout(Duration::from_millis(2));
    }
    ensure!(is_alive(postmaster), "the postmaster died, too");
    Ok(())
}

fn title(pid: Pid) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}

/// By the title that a server gives its processes: those of clients end with the client's address and what they do.
fn serves_a_client(title: &str) -> bool {
    let is_address = |word: &str| {
        let port = word.strip_suffix(')').and_then(|word| word.rsplit_once('(')).map(|(_, port)| port);
        word == "[local]" || port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    title.starts_with("postgres: ") && !title.contains("walsender") && title.split_whitespace().any(is_address)
}

/// The program of a process, by the first word of its command line.
pub(super) fn is_called(pid: Pid, program: &str) -> bool {
    arguments(pid).first().and_then(|word| word.file_name()) == Some(OsStr::new(program))
}

/// Whether one of the words of the command line is `word`.
pub(super) fn was_given(pid: Pid, word: &str) -> bool {
    arguments(pid).iter().any(|argument| argument == Path::new(word))
}

fn arguments(pid: Pid) -> Vec<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).map(|word| PathBuf::from(OsStr::from_bytes(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_a_client_is_told_by_its_title() {
        for (title, serves) in [
            ("postgres: cluster: app app 127.0.0.1(40112) COMMIT", true),
            ("postgres: app postgres [local] idle", true),
            ("postgres: cluster: walsender replicator 127.0.0.1(40113) streaming 0/3000148", false),
            ("postgres: cluster: checkpointer ", false),
            ("postgres: cluster: logical replication launcher ", false),
            ("/usr/lib/postgresql/15/bin/postgres -D /data", false),
        ] {
            assert_eq!(serves_a_client(title), serves, "{title}");
        }
    }
}
