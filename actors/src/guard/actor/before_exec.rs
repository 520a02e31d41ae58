//! What must happen between fork and exec. The only unsafe code of this crate.
#![expect(unsafe_code, reason = "the standard library runs code between fork and exec only on the caller's word that it is safe there")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, fork, getppid, setsid};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child becomes a session of its own, and the kernel sends it SIGQUIT when `guard` dies: for a postmaster an immediate shutdown. The
/// kernel forgets that signal whenever ids change, so nothing may change them after this. The calling thread must live as long as the guard,
/// since the kernel takes the thread for the parent.
pub(super) fn bind_to_guard(command: &mut Command, guard: Pid) {
    let bind = move || {
        setsid()?;
        SigSet::empty().thread_set_mask()?;
        set_pdeathsig(Signal::SIGQUIT)?;
        if getppid() != guard {
            // The guard died before the signal was arranged for.
            return Err(Errno::ESRCH.into());
        }
        // The guard is the last to be sacrificed; a server is not. Not permitted where the service manager has set something else.
        let _ = fs::write("/proc/self/oom_score_adj", "0");
        Ok(())
    };
    // SAFETY: the guard has one thread, so no lock can be held by a thread that the fork left behind.
    unsafe { command.pre_exec(bind) };
}

/// The program becomes an orphan: whoever spawns it waits only for an intermediate process that is gone at once.
pub(super) fn orphan(command: &mut Command) {
    // SAFETY: between fork and exec only fork and _exit are called, which are safe after a fork in a program of many threads.
    unsafe {
        command.pre_exec(|| match fork()? {
            ForkResult::Parent { .. } => libc::_exit(0),
            ForkResult::Child => Ok(()),
        });
    }
}
