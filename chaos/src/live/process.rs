//! Processes as `/proc` shows them: who belongs to which node, and signals to them.

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
