//! A time of day and disks of its own for one node, by a small C library that is preloaded into all of its processes.

use super::Identity;
use super::hosts::{Disk, Folder};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("host_shim.c");
/// Where the parts of the control file begin; the C side has the same as a struct.
const CLOCK_AT: u64 = 0;
const DISK_AT: [u64; 2] = [8, 16];
const CONTROL_BYTES: usize = 24;

/// Where things are for one node.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// A folder for the library and what it reads.
    pub(super) home: &'a Path,
    /// The same folder as the node's processes see it.
    pub(super) home_inside: &'a Path,
    /// PostgreSQL's data directory, as they see it.
    pub(super) database: &'a Path,
    /// Witch's own folder, as they see it.
    pub(super) witch: &'a Path,
}

/// What one node's processes are told to believe.
#[derive(Debug)]
pub(super) struct HostShim {
    control: File,
    library: PathBuf,
}

impl HostShim {
    /// Builds the library for one node. The error says what is missing.
    pub(super) fn build(places: &Places<'_>, identity: &Identity) -> Result<Self> {
        let home = places.home;
        let (source, library, control_path) = (home.join("host_shim.c"), home.join("host_shim.so"), home.join("host_shim.control"));
        fs::write(&source, SOURCE).context("cannot write the shim's source")?;
        fs::write(&control_path, [0; CONTROL_BYTES]).context("cannot write the shim's control file")?;
        fs::set_permissions(&control_path, fs::Permissions::from_mode(0o644))?;
        // A server does not get the daemon's whole environment, so the paths are compiled in.
        let define = |name: &str, path: &Path| format!("-D{name}=\"{}\"", path.display());
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1"])
            .arg(define("CONTROL_FILE", &places.home_inside.join("host_shim.control")))
            .arg(define("DATABASE_FOLDER", places.database))
            .arg(define("WITCH_FOLDER", places.witch))
            .arg("-o")
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .output()
            .context("cannot run `cc`; install a C compiler")?;
        ensure!(output.status.success(), "the shim does not compile here: {}", String::from_utf8_lossy(&output.stderr));
        identity.own(&library)?;
        let control = File::options().write(true).open(&control_path).context("cannot open the shim's control file")?;
        Ok(Self { control, library: places.home_inside.join("host_shim.so") })
    }

    /// What `LD_PRELOAD` is to name inside.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// Sets the time of day.
    pub(super) fn set_clock(&self, seconds: i64) -> Result<()> {
        self.control.write_all_at(&seconds.to_ne_bytes(), CLOCK_AT).context("cannot set the clock")
    }

    /// Sets how a disk behaves.
    pub(super) fn set_disk(&self, folder: Folder, disk: Disk) -> Result<()> {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&u32::from(disk.full).to_ne_bytes());
        bytes[4..].copy_from_slice(&disk.sync_ms.to_ne_bytes());
        let at = match folder {
            Folder::Database => DISK_AT[0],
            Folder::Witch => DISK_AT[1],
        };
        self.control.write_all_at(&bytes, at).context("cannot change the disk")
    }
}
