//! PostgreSQL refuses to run as root. Root hands the children to an ordinary user; anybody else runs them as themselves.

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid, User, chown, geteuid};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Whom the children run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// None: whoever we are.
    user: Option<(Uid, Gid)>,
}

impl Identity {
    /// `postgres` or `nobody` for root; for others nothing changes.
    pub fn choose() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { user: None });
        }
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .context("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`; create one")?;
        Ok(Self { user: Some((user.uid, user.gid)) })
    }

    /// A user that exists elsewhere: in the image of a container.
    pub(super) const fn numbered(number: u32) -> Self {
        Self { user: Some((Uid::from_raw(number), Gid::from_raw(number))) }
    }

    /// A command that runs as this user.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// The words before a program that make it run as this user and with no capability, for a command that must begin with some.
    pub(super) fn prefix(&self) -> Vec<String> {
        let Some((uid, gid)) = self.user else {
            return ["setpriv", "--ambient-caps", "-all", "--inh-caps", "-all", "--"].map(str::to_owned).to_vec();
        };
        ["setpriv", "--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups", "--"].map(str::to_owned).to_vec()
    }

    /// Gives a file, or a folder with all that is in it, to this user.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        chown(path, Some(uid), Some(gid))?;
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// Whether this user can execute a program: every folder on the way must let others through.
    pub(super) fn reaches(&self, program: &Path) -> bool {
        self.user.is_none()
            || program.ancestors().all(|path| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
    }
}
