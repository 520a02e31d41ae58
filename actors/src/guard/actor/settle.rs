//! How the guard's process makes itself at home before it serves: alone, hard to kill, and with nothing left to be loaded from a disk.

use super::children::own_children;
use super::launch::look;
use nix::libc::MCL_ONFAULT;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl::{set_child_subreaper, set_name};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{close, getpid, getsid, setsid};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Why a guard cannot guard.
#[derive(Debug, thiserror::Error)]
pub enum CannotGuard {
    /// There is one.
    #[error("a guard holds {} already (process {holder}); there is one for each data directory, talk to that one", lock.display())]
    AlreadyGuarded {
        /// The lock file.
        lock: PathBuf,
        /// The process, as the file says.
        holder: String,
    },
    /// A file of ours is not usable.
    #[error("the guard cannot {verb} {}; see that its directory exists and belongs to the user that runs the database", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The system refuses what every Linux offers.
    #[error("the guard cannot {verb}; it needs Linux with /proc mounted")]
    System {
        /// What was tried.
        verb: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl CannotGuard {
    pub(super) fn system<E: Into<io::Error>>(verb: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { verb, source: source.into() }
    }
}

/// Whoever spawned us may have left files open, and one of them may be a socket that somebody waits to see closed.
pub(super) fn close_inherited_files() -> Result<(), CannotGuard> {
    let entries = fs::read_dir("/proc/self/fd").map_err(CannotGuard::system("list its open files"))?;
    let open: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for file in open.into_iter().filter(|file| *file > 2) {
        // The one that listed them is among them, and closed by now.
        let _ = close(file);
    }
    Ok(())
}

/// Nobody but this user may read what the guard creates; and it belongs to no terminal, no session and no directory of its parent's.
pub(super) fn leave_home() -> Result<(), CannotGuard> {
    umask(Mode::from_bits_truncate(0o077));
    if getsid(None) != Ok(getpid()) {
        setsid().map_err(CannotGuard::system("become a session of its own"))?;
    }
    std::env::set_current_dir("/").map_err(CannotGuard::system("change to /"))?;
    // For people who look at a list of processes.
    set_name(c"witch-guard").map_err(CannotGuard::system("name itself"))
}

/// Only one guard exists for a data directory: it holds this lock as long as it lives.
pub(super) fn lock(path: &Path) -> Result<File, CannotGuard> {
    let failed = |verb| move |source| CannotGuard::File { verb, path: path.to_owned(), source };
    let mut file = open_lock(path).map_err(failed("open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(path).unwrap_or_default().trim().to_owned();
            return Err(CannotGuard::AlreadyGuarded { lock: path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", getpid())).map_err(failed("write"))?;
    Ok(file)
}

pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Listens in place of a dead predecessor, whose socket may still lie there. The caller holds the lock.
pub(super) fn listen(path: &Path) -> Result<UnixListener, CannotGuard> {
    let failed = |verb| move |source| CannotGuard::File { verb, path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace the socket")(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on the socket"))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("restrict the socket"))?;
    listener.set_nonblocking(true).map_err(failed("listen on the socket"))?;
    Ok(listener)
}

/// No signal ends the guard but SIGKILL and its own faults: a stray SIGTERM to a group of processes must not. The death of children is read
/// from a file descriptor.
pub(super) fn tame_signals() -> Result<SignalFd, CannotGuard> {
    let mut blocked = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT, Signal::SIGTRAP, Signal::SIGSYS] {
        blocked.remove(fault);
    }
    blocked.thread_set_mask().map_err(CannotGuard::system("block signals"))?;
    let deaths = SigSet::from(Signal::SIGCHLD);
    SignalFd::with_flags(&deaths, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(CannotGuard::system("watch for dead children"))
}

/// Whatever the server leaves behind becomes ours.
pub(super) fn adopt_orphans() -> Result<(), CannotGuard> {
    set_child_subreaper(true).map_err(CannotGuard::system("become a subreaper"))
}

/// Goes once through what a kill needs, so that its code and data are in memory.
pub(super) fn rehearse(pgdata: &Path) -> Result<(), CannotGuard> {
    own_children().map_err(CannotGuard::system("list its children"))?;
    // The outcomes do not matter: there may be no database yet, and there is no child.
    let _ = (look(pgdata), kill(getpid(), None), waitpid(None, Some(WaitPidFlag::WNOHANG)));
    Ok(())
}

/// Keeps what is in memory there. Returns what could not be had, for the log.
pub(super) fn stay_in_memory() -> Vec<String> {
    let mut missing = Vec::new();
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000") {
        missing.push(format!("the kernel may choose the guard when memory runs out ({error}); set OOMScoreAdjust in the service's unit"));
    }
    // What is never touched is never loaded; nix does not know this flag.
    let on_fault = MlockAllFlags::from_bits_retain(MCL_ONFAULT);
    // A finite limit would turn a later allocation into an abort, or a growing stack into a fault, and so the lock into a danger.
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
        Ok(hard == RLIM_INFINITY)
    });
    if unlimited != Ok(true) {
        missing.push("the guard may be swapped out: locked memory is limited; set LimitMEMLOCK=infinity in the service's unit".to_owned());
    } else if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault) {
        missing.push(format!("the guard may be swapped out: its memory cannot be locked ({error})"));
    }
    missing
}
