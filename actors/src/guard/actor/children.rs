//! The server's processes: the postmaster, and after its death everything that it leaves behind, which the kernel hands to the guard as the
//! nearest subreaper. A busy backend outlives a dead postmaster for seconds and goes on acknowledging, so nothing is over before `waitpid`
//! says that no child is left.

use crate::guard::policy::Input;
use crate::guard::wire::{ExitStatus, StopMode};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::fs;
use std::io;

/// This process's children.
#[derive(Debug, Default)]
pub(super) struct Children {
    postmaster: Option<Pid>,
    ending: Option<Ending>,
}

#[derive(Debug, Default)]
struct Ending {
    survivors_killed: u32,
}

impl Children {
    /// The postmaster was started.
    pub(super) fn born(&mut self, postmaster: Pid) {
        self.postmaster = Some(postmaster);
    }

    /// Tells the postmaster to stop.
    pub(super) fn stop(&self, mode: StopMode) {
        let signal = match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        };
        if let Some(postmaster) = self.postmaster {
            // Not reaped yet, so the number is still its own; a postmaster that is dead needs no telling.
            let _ = kill(postmaster, signal);
        }
    }

    /// From now on, everything is killed until nothing is left.
    pub(super) fn end(&mut self) {
        self.ending.get_or_insert_default();
        self.kill();
    }

    pub(super) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The postmaster first, so that it starts nobody anew; then whoever was handed to us.
    fn kill(&self) {
        for child in self.postmaster.into_iter().chain(own_children().unwrap_or_default()) {
            // A child is ours until we reap it, so the number cannot belong to a stranger, and one that is dead already needs no killing.
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// Takes note of the dead, and kills on while an end is under way. Never waits.
    pub(super) fn reap(&mut self) -> Vec<Input> {
        let mut facts = Vec::new();
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, ExitStatus::Signal(signal as i32)),
                Err(Errno::ECHILD) => {
                    if let Some(ending) = self.ending.take() {
                        facts.push(Input::NoneLeft { survivors_killed: ending.survivors_killed });
                    }
                    return facts;
                }
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => break,
            };
            if self.postmaster == Some(pid) {
                self.postmaster = None;
                facts.push(Input::PostmasterEnded(status));
            } else if let Some(ending) = &mut self.ending
                && status == ExitStatus::Signal(Signal::SIGKILL as i32)
            {
                ending.survivors_killed += 1;
            }
        }
        if self.is_ending() {
            self.kill();
        }
        facts
    }
}

/// The children of this process, which has one thread.
pub(super) fn own_children() -> io::Result<Vec<Pid>> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => Ok(list.split_ascii_whitespace().filter_map(number).collect()),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => children_by_stat(getpid()),
    }
}

/// Asks every process for its parent.
fn children_by_stat(parent: Pid) -> io::Result<Vec<Pid>> {
    Ok(processes()?.filter(|pid| self::parent(*pid) == Some(parent)).collect())
}

/// The parent of a process. None: it is gone.
pub(super) fn parent(process: Pid) -> Option<Pid> {
    // The name stands in parentheses and may contain anything; after the last one come the state and the parent.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1).and_then(number)
}

/// Every process of this host that we may see.
pub(super) fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)))
}

fn number(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_found_by_its_parent() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let by_stat = children_by_stat(getpid());
        let listed = own_children();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(by_stat.unwrap().contains(&pid));
        assert!(listed.unwrap().contains(&pid));
        assert!(!children_by_stat(getpid()).unwrap().contains(&pid), "it is gone");
    }
}
