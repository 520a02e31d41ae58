//! Where PostgreSQL's programs are on this host.

use super::fault::{Fault, Place};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What Witch runs.
const PROGRAMS: &[&str] = &["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"];

/// Finds the folder with all programs: the given one, else the first that is complete among PATH and the distributions' usual places. An
/// existing database wants the programs of its own major version.
pub(super) fn find(given: Option<&Path>, data_dir: &Path, path: &OsStr, usual: &[PathBuf]) -> Result<PathBuf, Fault> {
    let fault = |rule: String, fix: &str| Fault { place: Place::Nowhere, key: "postgres.bin_dir".into(), rule, fix: fix.into() };
    if let Some(folder) = given {
        return match missing(folder) {
            None => Ok(folder.to_path_buf()),
            Some(program) => Err(fault(
                format!("there is no program `{program}` in {}", folder.display()),
                "set it to the folder that has all of PostgreSQL's programs, or remove it to let Witch look for them",
            )),
        };
    }
    let major = std::fs::read_to_string(data_dir.join("PG_VERSION")).ok().map(|text| text.trim().to_string());
    let wanted = |folder: &&PathBuf| major.as_deref().is_none_or(|major| version_in(folder).is_none_or(|version| version == major));
    let candidates = std::env::split_paths(path).chain(usual.iter().cloned()).collect::<Vec<_>>();
    let complete = candidates.iter().filter(|folder| missing(folder).is_none());
    complete.into_iter().find(wanted).cloned().ok_or_else(|| {
        let of = major.as_deref().map_or_else(String::new, |major| format!(" of version {major}, which {} needs,", data_dir.display()));
        fault(
            format!("PostgreSQL's programs{of} are neither in PATH nor in the usual folders"),
            "install the PostgreSQL server, or set postgres.bin_dir to the folder that has postgres and initdb in it",
        )
    })
}

/// Where distributions put them, the newest version first.
pub(super) fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/usr/local", "pgsql"), ("/usr/libexec", "postgresql")] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let mut found = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let version = name.strip_prefix(prefix)?.parse::<u32>().unwrap_or(0);
                (version > 0 || !prefix.is_empty()).then(|| (version, entry.path().join("bin")))
            })
            .collect::<Vec<_>>();
        found.sort();
        folders.extend(found.into_iter().rev().map(|(_, folder)| folder));
    }
    folders
}

/// The major version, where the folder's name tells it: `/usr/lib/postgresql/15/bin`, `/usr/pgsql-15/bin`.
fn version_in(folder: &Path) -> Option<&str> {
    let name = folder.parent()?.file_name()?.to_str()?;
    let digits = name.strip_prefix("pgsql-").unwrap_or(name);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

fn missing(folder: &Path) -> Option<&'static str> {
    PROGRAMS.iter().find(|program| !folder.join(program).is_file()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::{TempDir, tempdir};

    fn installed(versions: &[&str]) -> (TempDir, Vec<PathBuf>) {
        let root = tempdir().unwrap();
        let folders = versions.iter().map(|version| root.path().join(version).join("bin")).collect::<Vec<_>>();
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            PROGRAMS.iter().for_each(|program| std::fs::write(folder.join(program), "").unwrap());
        }
        (root, folders)
    }

    #[test]
    fn an_existing_database_gets_the_programs_of_its_version() {
        let (root, folders) = installed(&["17", "15"]);
        let nothing = OsStr::new("");
        assert_eq!(find(None, root.path(), nothing, &folders), Ok(folders[0].clone()));
        std::fs::write(root.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(find(None, root.path(), nothing, &folders), Ok(folders[1].clone()));
        std::fs::write(root.path().join("PG_VERSION"), "13\n").unwrap();
        let fault = find(None, root.path(), nothing, &folders).unwrap_err();
        assert!(fault.rule.contains("of version 13"), "{fault:?}");
    }

    #[test]
    fn a_named_folder_without_a_program_is_an_error_that_names_it() {
        let (root, folders) = installed(&["15"]);
        std::fs::remove_file(folders[0].join("pg_rewind")).unwrap();
        let fault = find(Some(&folders[0]), root.path(), OsStr::new(""), &[]).unwrap_err();
        assert!(fault.rule.contains("`pg_rewind`"), "{fault:?}");
        let path = folders[0].clone().into_os_string();
        assert!(find(None, root.path(), &path, &[]).is_err(), "an incomplete folder of PATH does not count");
    }
}
