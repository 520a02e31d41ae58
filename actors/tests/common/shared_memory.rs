//! The shared memory of a server that was killed outlives its directory, unless PostgreSQL begins there once more.

use actors::pg::actor::operations::releasing_mode;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Releases what the last server of the directory left. None may live there.
pub(crate) fn release(data_dir: &Path) {
    let Ok(started_with) = fs::read_to_string(data_dir.join("postmaster.opts")) else { return };
    let program = started_with.split(" \"").next().expect("the first word is the program");
    let version = fs::read_to_string(data_dir.join("PG_VERSION")).expect("a server was started there");
    let mode = releasing_mode(version.trim().parse().expect("a major version"));
    let _ = fs::remove_file(data_dir.join("postmaster.pid"));
    let released = Command::new(program).args(mode).arg("-D").arg(data_dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(released.is_ok_and(|ended| ended.success()), "shared memory of {} is left", data_dir.display());
}
