//! Which PostgreSQL programs this host has.

use super::program::{Patience, Program};
use nix::unistd::{AccessFlags, access};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every program that Witch runs.
const REQUIRED: [&str; 6] = ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_waldump"];
/// Folders with one folder per version inside, and the folder of the programs in that.
const VERSIONED: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];
/// The folder that PostgreSQL's own build installs into.
const BUILT_FROM_SOURCE: &str = "/usr/local/pgsql/bin";
const OLDEST: u32 = 13;
/// A library that each server has.
const RECEIVER: &str = "libpqwalreceiver.so";
/// `postgres --version` reads no data directory; what takes it longer than this is a broken disk.
const PATIENCE: Duration = Duration::from_secs(20);

/// The programs of one PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    bin_dir: PathBuf,
    major: u32,
    version: String,
    stamp: String,
}

/// No PostgreSQL that Witch can use was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    /// None of the usual folders has a `postgres`.
    #[error(
        "no PostgreSQL server was found in PATH or in the usual folders; install one (Debian: postgresql-17, Red Hat: postgresql17-server), \
         or name its folder in postgres.bin_dir"
    )]
    Nowhere,
    /// The folder lacks programs.
    #[error("{bin_dir} has no {missing}; {hint}")]
    Incomplete {
        /// The folder.
        bin_dir: String,
        /// The programs.
        missing: String,
        /// The package that brings them.
        hint: String,
    },
    /// The version is unknown or too old.
    #[error("{bin_dir}/postgres says `{version}`; Witch needs PostgreSQL {OLDEST} or later")]
    Version {
        /// The folder.
        bin_dir: String,
        /// What it says.
        version: String,
    },
    /// They were replaced by those of another major version.
    #[error(
        "the programs in {bin_dir} are of version {now}, and the database is of version {database}; install those of version {database}, or name \
         their folder in postgres.bin_dir and restart witch"
    )]
    OtherMajor {
        /// The folder.
        bin_dir: String,
        /// Their version.
        now: String,
        /// The major version that is needed.
        database: u32,
    },
}

impl Installation {
    /// Finds the programs for a data directory: where nobody names their folder and several are installed, those of its version.
    ///
    /// # Errors
    /// As [`Installation::discover`].
    pub async fn discover_for(data_dir: &Path, bin_dir: Option<&Path>) -> Result<Self, NotInstalled> {
        let found = Self::discover(bin_dir).await;
        let version: Option<u32> = std::fs::read_to_string(data_dir.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
        let Some(version) = version.filter(|version| bin_dir.is_none() && found.as_ref().is_ok_and(|found| found.major != *version)) else {
            return found;
        };
        for folder in usual_folders(std::env::var_os("PATH")) {
            if let Ok(other) = Self::discover(Some(&folder)).await
                && other.major == version
            {
                return Ok(other);
            }
        }
        found
    }

    /// Finds the programs: in `bin_dir` if it is given, else in PATH, else the newest in the distributions' usual folders.
    ///
    /// # Errors
    /// There is none, it is incomplete, or it is too old.
    pub async fn discover(bin_dir: Option<&Path>) -> Result<Self, NotInstalled> {
        let bin_dir = match bin_dir {
            Some(given) => given.to_owned(),
            None => {
                let folders = usual_folders(std::env::var_os("PATH"));
                // A server without its companions is the second choice: what it lacks is then named.
                let complete = folders.iter().find(|folder| missing_in(folder).is_empty());
                complete.or(folders.first()).cloned().ok_or(NotInstalled::Nowhere)?
            }
        };
        let shown = bin_dir.display().to_string();
        let missing = missing_in(&bin_dir);
        if !missing.is_empty() {
            return Err(NotInstalled::Incomplete { bin_dir: shown, missing: missing.join(", "), hint: hint(&missing) });
        }
        let postgres = Program::new("postgres", bin_dir.join("postgres"), Patience::Total(PATIENCE)).arg("--version");
        let version = postgres.output().await.unwrap_or_else(|failure| failure.to_string()).trim().to_owned();
        match parse_version(&version) {
            Some((major, number)) if major >= OLDEST => {
                let stamp = stamp(&bin_dir, major);
                Ok(Self { bin_dir, major, version: number.to_owned(), stamp })
            }
            _ => Err(NotInstalled::Version { bin_dir: shown, version }),
        }
    }

    /// The major version, such as 17.
    #[must_use]
    pub const fn major(&self) -> u32 {
        self.major
    }

    /// The version, such as `17.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// What is installed now: it may have been replaced since it was found. Nothing is run as long as it is the same. It waits for the disk.
    ///
    /// # Errors
    /// Programs are missing, or of no version that Witch can use.
    pub async fn now(&self) -> Result<Self, NotInstalled> {
        if missing_in(&self.bin_dir).is_empty() && stamp(&self.bin_dir, self.major) == self.stamp {
            return Ok(self.clone());
        }
        Self::discover(Some(&self.bin_dir)).await
    }

    /// Where the server's libraries are, if they are where one would look for them.
    pub(super) fn libraries(&self) -> Option<PathBuf> {
        libraries(&self.bin_dir, self.major)
    }

    /// By this the files of a server are known from others: they change with every installation.
    #[must_use]
    pub fn stamp(&self) -> &str {
        &self.stamp
    }

    /// The same, if it is of that major version.
    ///
    /// # Errors
    /// It is of another one.
    pub fn of_major(self, database: u32) -> Result<Self, NotInstalled> {
        if self.major == database {
            return Ok(self);
        }
        Err(NotInstalled::OtherMajor { bin_dir: self.bin_dir.display().to_string(), now: self.version, database })
    }

    pub(super) fn run(&self, name: &'static str, patience: Patience) -> Program {
        Program::new(name, self.program(name), patience)
    }
}

/// The identity of the server's program, and of the library that its receiver loads whenever it starts.
fn stamp(bin_dir: &Path, major: u32) -> String {
    let identity = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some(format!("{}:{}:{}.{}:{}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
    };
    let library = libraries(bin_dir, major).and_then(|folder| identity(&folder.join(RECEIVER)));
    format!("{} {}", identity(&bin_dir.join("postgres")).unwrap_or_default(), library.unwrap_or_default())
}

/// Where the server's libraries are: it looks for them from where its program really lies.
fn libraries(bin_dir: &Path, major: u32) -> Option<PathBuf> {
    let bin_dir = folder_of_server(bin_dir.to_owned()).unwrap_or_else(|| bin_dir.to_owned());
    let versioned = format!("../../lib/postgresql{major}");
    let folders = ["../lib", "../lib/postgresql", "../lib64", "../lib64/pgsql", versioned.as_str()];
    folders.iter().map(|folder| bin_dir.join(folder)).find(|folder| folder.join(RECEIVER).exists())
}

/// The programs that the folder lacks.
fn missing_in(bin_dir: &Path) -> Vec<&'static str> {
    REQUIRED.into_iter().filter(|program| access(&bin_dir.join(program), AccessFlags::X_OK).is_err()).collect()
}

/// The folders with a server: those in PATH, the distributions' with the newest version first, that of PostgreSQL's own build.
fn usual_folders(path: Option<OsString>) -> Vec<PathBuf> {
    let mut versioned: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix, bin) in VERSIONED {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if let Some(version) = entry.file_name().to_string_lossy().strip_prefix(prefix).and_then(|version| version.parse().ok()) {
                versioned.push((version, entry.path().join(bin)));
            }
        }
    }
    versioned.sort_unstable_by(|one, other| other.cmp(one));
    let in_path = path.iter().flat_map(std::env::split_paths).collect::<Vec<_>>();
    let all = in_path.into_iter().chain(versioned.into_iter().map(|(_, folder)| folder)).chain([PathBuf::from(BUILT_FROM_SOURCE)]);
    all.filter_map(folder_of_server).collect()
}

/// The folder that the server in `folder` really lies in: a link to it may stand alone in PATH.
fn folder_of_server(folder: PathBuf) -> Option<PathBuf> {
    let server = std::fs::canonicalize(folder.join("postgres")).ok()?;
    access(&server, AccessFlags::X_OK).ok()?;
    server.parent().map(Path::to_owned)
}

fn hint(missing: &[&str]) -> String {
    if missing.contains(&"postgres") || missing.contains(&"initdb") {
        "install the server package (Debian: postgresql-17, Red Hat: postgresql17-server), or name the right folder in postgres.bin_dir"
            .into()
    } else {
        "they come with the server and client packages (Debian: postgresql-17 and postgresql-client-17, Red Hat: postgresql17-server, \
         postgresql17 and postgresql17-contrib); install those of the server's version"
            .into()
    }
}

/// The major version and the version number in what `postgres --version` prints: `postgres (PostgreSQL) 15.14 (Debian 15.14-0)`.
fn parse_version(text: &str) -> Option<(u32, &str)> {
    let number = text.split_whitespace().nth(2)?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    Some((number[..digits].parse().ok()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_with_and_without_what_packagers_add() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some((15, "15.14")));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some((18, "18beta1")));
        assert_eq!(parse_version("postgres"), None);
    }

    #[tokio::test]
    async fn a_folder_without_programs_is_named_with_them() {
        let empty = tempfile::tempdir().unwrap();
        let refused = Installation::discover(Some(empty.path())).await.unwrap_err().to_string();
        assert!(refused.contains("pg_rewind") && refused.contains("install"), "{refused}");
    }
}
