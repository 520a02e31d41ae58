//! What a running server has behind it and the next start has before it: files with faults, libraries that are not there, keys that may not be
//! read. Also what a copy or a rewind would fail at, and who else starts this database.

use super::connection::SqlFailure;
use super::sockets::is_same;
use super::user_files::{self, UserFiles};
use super::{Session, Site};
use crate::model::Condition;
use crate::pg::conditions::files::{NEXT_START, OTHER_STARTER, UNREADABLE};
use crate::pg::said::{alike, folders};
use nix::unistd::{AccessFlags, Uid, access};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many faults are shown.
const SHOWN_MAX: usize = 5;
/// Where Debian keeps the configurations, by major version and name.
pub(super) const DEBIAN: &str = "/etc/postgresql";
/// A session asks the catalogue about these, which a start does not.
const ASKS_THE_CATALOGUE: [&str; 4] =
    ["default_tablespace", "temp_tablespaces", "default_text_search_config", "default_table_access_method"];

const SETTINGS: &str = "
    SELECT f.sourcefile AS file, f.sourceline AS line, f.name, f.error FROM pg_catalog.pg_file_settings f WHERE f.error IS NOT NULL";
/// What only waits for a restart is shown as an error, too.
const PENDING: &str = "SELECT s.name FROM pg_catalog.pg_settings s WHERE s.pending_restart";
/// A line with a remark is shown with its type, and counts.
const HBA: &str = "SELECT r.line_number AS line, r.error FROM pg_catalog.pg_hba_file_rules r WHERE r.error IS NOT NULL AND r.type IS NULL";

/// What the server itself finds wrong with its files, in words. Empty: nothing.
///
/// # Errors
/// As with every query.
pub async fn faults_of_files(session: &mut Session, within: Duration) -> Result<Vec<String>, SqlFailure> {
    let what = "show the faults of its configuration";
    let rows = session.ask(what, SETTINGS, within).await?;
    let text = |row: &tokio_postgres::SimpleQueryRow, column: &str| row.try_get(column).ok().flatten().unwrap_or_default().to_owned();
    let mut faults = Vec::new();
    if !rows.is_empty() {
        let pending: BTreeSet<String> = session.ask(what, PENDING, within).await?.iter().map(|row| text(row, "name")).collect();
        for row in rows {
            let name = text(&row, "name");
            if pending.contains(&name) || ASKS_THE_CATALOGUE.contains(&name.as_str()) {
                continue;
            }
            let place = format!("{}:{}", text(&row, "file"), text(&row, "line"));
            let about = if name.is_empty() { name } else { format!(" {name}:") };
            faults.push(format!("{place}:{about} {}", text(&row, "error")));
        }
    }
    for row in session.ask(what, HBA, within).await? {
        faults.push(format!("pg_hba.conf:{}: {}", text(&row, "line"), text(&row, "error")));
    }
    Ok(faults)
}

/// The condition for such faults.
pub(in crate::pg::actor) fn fails(mut faults: Vec<String>) -> Option<Condition> {
    let more = faults.len().saturating_sub(SHOWN_MAX);
    faults.truncate(SHOWN_MAX);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    (!faults.is_empty()).then(|| NEXT_START.seen(faults.join("; ")))
}

/// What the files and the folders show without the server. It waits for the disk.
pub(super) fn survey(site: &Site, files: &UserFiles) -> Vec<Condition> {
    let mut faults = missing_libraries(site, files);
    faults.extend(unusable_keys(site, files));
    let mut conditions: Vec<Condition> = fails(faults).into_iter().collect();
    let unreadable = unreadable(site);
    if !unreadable.is_empty() {
        conditions.push(UNREADABLE.seen(unreadable.join("; ")));
    }
    conditions.extend(
        starters(&Path::new(DEBIAN).join(site.installation.major().to_string()), &site.data_dir())
            .into_iter()
            .map(|file| OTHER_STARTER.seen(file)),
    );
    conditions
}

/// Libraries that a start loads and that are not there. Where the server's libraries are is known by one that each server has.
fn missing_libraries(site: &Site, files: &UserFiles) -> Vec<String> {
    let wanted = |name: &str| site.settings.wanted(name, &files.said);
    let Some(own) = site.installation.libraries() else { return Vec::new() };
    let own = own.to_string_lossy().into_owned();
    let path = wanted("dynamic_library_path").unwrap_or("$libdir").replace("$libdir", &own);
    let is_there = |name: &str| {
        let places: Vec<PathBuf> = match name.contains('/') {
            true => vec![PathBuf::from(name.replace("$libdir", &own))],
            false => path.split(':').map(|folder| Path::new(folder).join(name)).collect(),
        };
        places.iter().any(|place| place.is_file() || PathBuf::from(format!("{}.so", place.display())).is_file())
    };
    let libraries = wanted("shared_preload_libraries").map(folders).unwrap_or_default();
    let missing = libraries.into_iter().filter(|name| !is_there(name));
    missing.map(|name| format!("shared_preload_libraries: no file of {name} in {path}")).collect()
}

/// What TLS needs and the server may not use.
fn unusable_keys(site: &Site, files: &UserFiles) -> Vec<String> {
    let wanted = |name: &str| site.settings.wanted(name, &files.said).filter(|value| !value.is_empty());
    if !wanted("ssl").is_some_and(|value| alike(value, "on")) {
        return Vec::new();
    }
    let named =
        [("ssl_cert_file", Some("server.crt")), ("ssl_key_file", Some("server.key")), ("ssl_ca_file", None), ("ssl_crl_file", None)];
    let mut faults = Vec::new();
    for (setting, usual) in named {
        let Some(file) = wanted(setting).or(usual) else { continue };
        let path = site.data_dir().join(file);
        if let Err(error) = access(&path, AccessFlags::R_OK) {
            faults.push(format!("{setting} {} cannot be read ({error})", path.display()));
        } else if setting == "ssl_key_file" && is_open_to_others(&path) {
            faults.push(format!("{setting} {} can be read by others, or belongs to somebody else", path.display()));
        }
    }
    faults
}

/// As the server has it: its own key is for nobody else; root's may be for a group.
fn is_open_to_others(key: &Path) -> bool {
    fs::metadata(key).is_ok_and(|key| match key.uid() {
        0 if !Uid::effective().is_root() => key.mode() & 0o037 != 0,
        owner => owner != Uid::effective().as_raw() || key.mode() & 0o077 != 0,
    })
}

/// What lies in the data directory and is not the server's to read or to enter.
fn unreadable(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.data_dir()).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let needed = if kind.is_dir() { AccessFlags::R_OK | AccessFlags::X_OK } else { AccessFlags::R_OK };
        if (kind.is_dir() || kind.is_file()) && access(&path, needed) == Err(nix::errno::Errno::EACCES) {
            let owner = entry.metadata().map(|status| super::directory::name_of(Uid::from_raw(status.uid()))).unwrap_or_default();
            found.push(format!("{} in the data directory belongs to {owner}", entry.file_name().to_string_lossy()));
        }
    }
    found.sort_unstable();
    found.truncate(SHOWN_MAX);
    found
}

/// Debian's configurations of this data directory that are started at a boot.
fn starters(clusters: &Path, data_dir: &Path) -> Vec<String> {
    let clusters = fs::read_dir(clusters).into_iter().flatten().flatten();
    let folders = clusters.map(|entry| entry.path()).filter(|folder| is_of(folder, data_dir));
    let starts = folders.filter_map(|folder| {
        let file = folder.join("start.conf");
        let text = fs::read_to_string(&file).unwrap_or_else(|_| "auto".to_owned());
        let word = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).find(|line| !line.is_empty())?.to_owned();
        (word == "auto").then(|| format!("{} says auto", file.display()))
    });
    starts.collect()
}

/// Whether that folder has the configuration of this data directory.
pub(super) fn is_of(folder: &Path, data_dir: &Path) -> bool {
    let files = user_files::read_one(&folder.join("postgresql.conf")).unwrap_or_default();
    files.said.value("data_directory").is_some_and(|named| is_same(Path::new(named), data_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_else_starts_this_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (clusters, data_dir) = (folder.path().join("15"), folder.path().join("data"));
        fs::create_dir_all(&data_dir).unwrap();
        let configure = |name: &str, data_dir: &Path, start: Option<&str>| {
            let folder = clusters.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("postgresql.conf"), format!("data_directory = '{}'\n", data_dir.display())).unwrap();
            if let Some(start) = start {
                fs::write(folder.join("start.conf"), start).unwrap();
            }
        };
        assert_eq!(starters(&clusters, &data_dir), [""; 0]);
        configure("other", folder.path(), Some("auto\n"));
        configure("main", &data_dir, Some("# Automatic startup configuration\n\nmanual\n"));
        assert_eq!(starters(&clusters, &data_dir), [""; 0]);
        for start in [Some("# comment\nauto # yes\n"), None] {
            fs::remove_dir_all(clusters.join("main")).unwrap();
            configure("main", &data_dir, start);
            let found = starters(&clusters, &data_dir).join("; ");
            assert!(found.ends_with("15/main/start.conf says auto"), "{found}");
        }
    }

    #[test]
    fn a_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let key = tempfile::NamedTempFile::new().unwrap();
        let with = |mode: u32| {
            fs::set_permissions(key.path(), fs::Permissions::from_mode(mode)).unwrap();
            is_open_to_others(key.path())
        };
        assert!(!with(0o600) && !with(0o400) && with(0o640) && with(0o604));
    }
}
