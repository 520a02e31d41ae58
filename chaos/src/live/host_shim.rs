//! A time of day and disks of its own for one node, by a small C library that is preloaded into all of its processes.

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
pub struct HostShim {
    control: File,
    library: PathBuf,
}

impl HostShim {
    /// Builds the library for one node. The error says what is missing.
    pub(super) fn build(places: &Places<'_>) -> Result<Self> {
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
        let control = File::options().write(true).open(&control_path).context("cannot open the shim's control file")?;
        Ok(Self { control, library: places.home_inside.join("host_shim.so") })
    }

    /// What `LD_PRELOAD` is to name inside.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// Sets the time of day.
    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        self.control.write_all_at(&seconds.to_ne_bytes(), CLOCK_AT).context("cannot set the clock")
    }

    /// Sets how a disk behaves.
    pub fn set_disk(&self, folder: Folder, disk: Disk) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::now;
    use crate::live::scratch::Scratch;
    use std::process::Output;
    use std::time::Duration;

    struct Bed {
        scratch: Scratch,
        shim: HostShim,
    }

    impl Bed {
        fn make() -> Self {
            let scratch = Scratch::create(None, false).unwrap();
            let folder = |name: &str| scratch.path().join(name);
            for name in ["database", "witch", "elsewhere"] {
                fs::create_dir(folder(name)).unwrap();
            }
            let (home, database, witch) = (scratch.path(), folder("database"), folder("witch"));
            let shim = HostShim::build(&Places { home, home_inside: home, database: &database, witch: &witch }).unwrap();
            Self { scratch, shim }
        }

        /// What a program with the shim says.
        fn run(&self, command: &str) -> Output {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).current_dir(self.scratch.path()).env("LD_PRELOAD", self.shim.library());
            shell.output().unwrap()
        }

        fn fills(&self, folder: &str) -> bool {
            self.run(&format!("dd if=/dev/zero of={folder}/file count=1 conv=fsync")).status.success()
        }
    }

    #[test]
    fn the_time_of_day_is_set_for_who_has_the_shim() {
        let bed = Bed::make();
        let clock = |output: Output| String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap();
        bed.shim.set_clock(-3600).unwrap();
        let behind = clock(Command::new("date").arg("+%s").output().unwrap()) - clock(bed.run("date +%s"));
        assert!((3590..=3600).contains(&behind), "{behind}");
    }

    #[test]
    fn a_full_disk_is_full_below_its_folder_only_and_until_there_is_space_again() {
        let bed = Bed::make();
        bed.shim.set_disk(Folder::Database, Disk { full: true, sync_ms: 0 }).unwrap();
        assert_eq!(["database", "witch", "elsewhere"].map(|folder| bed.fills(folder)), [false, true, true]);
        bed.shim.set_disk(Folder::Database, Disk::default()).unwrap();
        assert!(bed.fills("database"));
    }

    #[test]
    fn a_slow_disk_takes_its_time_for_an_fsync() {
        let bed = Bed::make();
        bed.shim.set_disk(Folder::Witch, Disk { full: false, sync_ms: 700 }).unwrap();
        let begun = now();
        assert!(bed.fills("witch"));
        assert!(now().since(begun) >= Duration::from_millis(700));
    }
}
