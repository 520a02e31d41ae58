//! What lies in the data directory, and who else uses it.

use super::durable::{FileFailure, failing, sync_parent};
use super::marker::{self, Marker};
use super::{Failure, Site, blocking};
use crate::model::Directory;
use crate::pg::control::ControlHead;
use nix::unistd::{AccessFlags, Uid, User, access};
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A server runs on the data directory that Witch's guard did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its postmaster.
    pub pid: u32,
    /// What it is and how to stop it.
    pub advice: String,
}

/// Looks at the data directory. Never fails: what is in the way is the reason of [`Directory::Unusable`].
pub async fn inspect_directory(site: &Site) -> Directory {
    let site = site.clone();
    blocking(move || inspect(&site)).await
}

/// What is wrong with the data directory before anything is begun, with its key and what to do. Empty: nothing. It waits for the disk.
///
/// Only what no order and no waiting can help is a fault: a database of another cluster, or a marker beside another directory, is reported
/// by the node once it runs.
#[must_use]
pub fn startup_faults(site: &Site) -> Vec<String> {
    let data_dir = site.data_dir();
    let about_this = marker::read(site).ok().flatten().filter(|marker| marker.is_about(&data_dir).unwrap_or(false));
    let found = look(site, about_this.as_ref()).and_then(|_| may_be_made(&data_dir));
    found.err().map(|fault| format!("postgres.data_dir: {fault}")).into_iter().collect()
}

/// A directory that is missing is made; its parent is not.
fn may_be_made(path: &Path) -> Result<(), String> {
    let Some(parent) = path.parent().filter(|_| !path.exists()) else { return Ok(()) };
    let (shown, user) = (path.display(), name_of(Uid::effective()));
    access(parent, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
        format!("{shown} does not exist, and {user} cannot make it ({error}); make it: install -d -m 0700 -o {user} {shown}")
    })
}

/// Makes the data directory if it is missing, and keeps others out of it.
///
/// # Errors
/// Its parent is missing or not writable.
pub async fn create(site: &Site) -> Result<(), Failure> {
    let path = site.data_dir();
    Ok(blocking(move || create_folder(&path)).await?)
}

/// The postmaster that works on the data directory, unless it is `ours`: the guard's child.
pub async fn foreign_server(site: &Site, ours: Option<u32>) -> Option<Stranger> {
    let site = site.clone();
    blocking(move || find_stranger(&site, ours)).await
}

/// The first fields of `pg_control`: cheap, and right even while the server runs. None: there is no readable control file.
pub async fn control_head(site: &Site) -> Option<ControlHead> {
    let path = control_file(site);
    blocking(move || read_control(&path)).await
}

pub(super) fn control_file(site: &Site) -> PathBuf {
    site.data_dir().join("global/pg_control")
}

fn read_control(path: &Path) -> Option<ControlHead> {
    fs::read(path).ok().and_then(|bytes| ControlHead::parse(&bytes))
}

pub(super) fn create_folder(path: &Path) -> Result<(), FileFailure> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        // Its owner may let the group read.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_for_the_group = fs::metadata(path).is_ok_and(|folder| folder.mode() & 0o777 == 0o750);
            if is_for_the_group { Ok(()) } else { restrict(path, 0o700) }
        }
        Err(error) => Err(failing("create the data directory", path)(error)),
    }
}

pub(super) fn restrict(path: &Path, mode: u32) -> Result<(), FileFailure> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failing("restrict", path))
}

pub(super) fn inspect(site: &Site) -> Directory {
    let looked = marker::read(site).map_err(|failure| failure.to_string()).and_then(|marker| look(site, marker.as_ref()));
    looked.unwrap_or_else(|reason| Directory::Unusable { reason })
}

fn look(site: &Site, marker: Option<&Marker>) -> Result<Directory, String> {
    let path = site.data_dir();
    let shown = path.display();
    let status = match fs::metadata(&path) {
        Ok(status) => status,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Directory::Empty),
        Err(error) => return Err(failing("look at", &path)(error).to_string()),
    };
    if !status.is_dir() {
        return Err(format!("{shown} is no directory; set postgres.data_dir to one"));
    }
    let me = Uid::effective();
    if status.uid() != me.as_raw() {
        let (owner, user) = (name_of(Uid::from_raw(status.uid())), name_of(me));
        return Err(format!("{shown} belongs to {owner}, and Witch runs as {user}; run Witch as {owner}, or: chown -R {user} {shown}"));
    }
    let entries = fs::read_dir(&path).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| failing("list", &path)(error).to_string())?;
    let is_about_this = |marker: &Marker| marker.is_about(&path).map_err(|error| failing("look at", &path)(error).to_string());
    let unfinished = marker.map(is_about_this).transpose()?.unwrap_or(false);
    if entries.is_empty() {
        return Ok(if unfinished { Directory::Unfinished } else { Directory::Empty });
    }
    // PostgreSQL itself refuses to start on a directory that others can use.
    let mode = status.mode() & 0o777;
    if !matches!(mode, 0o700 | 0o750) {
        return Err(format!("{shown} has mode {mode:04o}, and PostgreSQL asks for 0700 or 0750: chmod 0700 {shown}"));
    }
    if unfinished {
        return Ok(Directory::Unfinished);
    }
    if let Some(marker) = marker {
        return Err(beside_the_marker(site, marker));
    }
    let Some(control) = read_control(&control_file(site)) else {
        return Err(if entries.iter().all(|name| name == "lost+found") {
            format!("{shown} is the root of a file system; set postgres.data_dir to a folder in it, such as {shown}/data")
        } else {
            format!("{shown} has files but no readable global/pg_control, so it is no database; empty it, or set postgres.data_dir right")
        });
    };
    let version = fs::read_to_string(path.join("PG_VERSION")).unwrap_or_default();
    let ours = site.installation.major();
    if version.trim().parse() != Ok(ours) {
        return Err(format!(
            "{shown} was made by PostgreSQL {}, and the programs are of version {ours}; set postgres.bin_dir to the right ones, or run \
             pg_upgrade",
            version.trim()
        ));
    }
    Ok(Directory::Database { system_identifier: control.system_identifier, timeline: control.timeline })
}

/// Something lies here, and the marker is about another directory. This one may be whole, or the very one that was not finished, copied from
/// there: only a person can tell, and neither clearing nor starting it is right before.
fn beside_the_marker(site: &Site, marker: &Marker) -> String {
    let (data_dir, note) = (site.data_dir(), marker::path(site));
    let (data_dir, note) = (data_dir.display(), note.display());
    let about = match marker {
        Marker::Of(about) => format!("says that a {} of {} was broken off, which is another directory", about.what, about.path.display()),
        Marker::Unreadable => "cannot be understood, so nobody knows which directory it is about".to_owned(),
    };
    format!(
        "{data_dir} has files, and {note} {about}; if {data_dir} is a whole database, remove {note}; if it is a half made one, empty \
         {data_dir}, and it is copied anew"
    )
}

pub(super) fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn find_stranger(site: &Site, ours: Option<u32>) -> Option<Stranger> {
    let path = site.data_dir();
    let file = fs::read_to_string(path.join("postmaster.pid")).ok()?;
    // A server in single-user mode writes its own number negated.
    let pid = file.lines().next()?.trim().parse::<i32>().ok()?.unsigned_abs();
    if ours == Some(pid) || !works_in(pid, &path) {
        return None;
    }
    let how = match unit_of(pid) {
        Some(unit) => format!("systemctl disable --now {unit}"),
        None => format!("{} -D {} stop -m fast", site.installation.program("pg_ctl").display(), path.display()),
    };
    let advice = format!(
        "a server that Witch did not start (process {pid}) runs on {}; stop it, and whatever starts it, so that Witch can: {how}",
        path.display()
    );
    Some(Stranger { pid, advice })
}

/// Whether the process exists and its working directory is the data directory, as it is for every server. The number in a file that a
/// crash left behind may belong to anybody by now.
fn works_in(pid: u32, path: &Path) -> bool {
    match (fs::read_link(format!("/proc/{pid}/cwd")), fs::canonicalize(path)) {
        (Ok(cwd), Ok(path)) => cwd == path,
        // Another user's process: its name is all that can be seen.
        (Err(error), _) if error.kind() == ErrorKind::PermissionDenied => {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
        }
        _ => false,
    }
}

/// The systemd service of a process.
fn unit_of(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let unit = groups.lines().next()?.rsplit('/').next()?;
    (unit.ends_with(".service") && !unit.starts_with("user@")).then(|| unit.to_owned())
}
