//! The Unix socket in Witch's own folder: whoever comes over it is known by the kernel's word and needs no token.

use super::listen::ListenError;
use super::throttle::Throttle;
use crate::machine::Timestamp;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// Binds the socket, in the place of one that a dead daemon left. Only called by the holder of the folder's lock.
pub(super) fn bind(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source: io::Error| ListenError::Socket { path: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The folder keeps everybody else out; this says it once more.
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// The user behind the connection, if it may command: root, or the user who runs the daemon.
pub(super) fn admitted(stream: &UnixStream, strange: &mut Throttle, now: Timestamp) -> Option<u32> {
    let uid = stream.peer_cred().ok()?.uid();
    let may = uid == 0 || uid == nix::unistd::geteuid().as_raw();
    if !may && strange.lets_through(now) {
        tracing::warn!(
            uid,
            "another user's connection to the Unix socket of the API is refused: run the command as root or as witch's own user"
        );
    }
    may.then_some(uid)
}
