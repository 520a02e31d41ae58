//! Starts `postgres` itself: never through pg_ctl, whose child would not be ours.

use super::before_exec;
use crate::guard::control_file::{CONTROL_FILE, ControlFile};
use crate::guard::policy::Look;
use crate::guard::wire::Launch;
use nix::unistd::{Pid, getpid};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts the server and tells what came of it.
pub(super) fn launch(pgdata: &Path, launch: &Launch) -> Result<(Pid, Option<ControlFile>), String> {
    // Before the start, so that whatever the server writes is a change.
    let Look { control, standby_signal } = look(pgdata);
    if launch.as_primary.is_none() && !standby_signal {
        return Err(format!(
            "there is no standby.signal in {}, so the server would become a primary; create it, or start with a lease",
            pgdata.display()
        ));
    }
    let log = append(Path::new(&launch.log_file)).map_err(|error| format!("its log {} cannot be opened: {error}", launch.log_file))?;
    let errors = log.try_clone().map_err(|error| format!("its log cannot be opened twice: {error}"))?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .env_clear()
        .envs(launch.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&launch.working_dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    before_exec::bind_to_guard(&mut command, getpid());
    let child = command.spawn().map_err(|error| format!("{} in {}: {error}", launch.program, launch.working_dir))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    Ok((Pid::from_raw(pid), control))
}

/// What the data directory says now.
pub(super) fn look(pgdata: &Path) -> Look {
    let control = read_control_file(pgdata).ok().and_then(|head| ControlFile::parse(&head).ok());
    Look { control, standby_signal: pgdata.join("standby.signal").exists() }
}

fn read_control_file(pgdata: &Path) -> io::Result<[u8; ControlFile::HEAD]> {
    let mut head = [0; ControlFile::HEAD];
    File::open(pgdata.join(CONTROL_FILE))?.read_exact_at(&mut head, 0)?;
    Ok(head)
}

/// Opens a log: nobody else may read what a server or a guard writes there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
