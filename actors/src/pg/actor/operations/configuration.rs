//! The files that tell the server what Witch wants of it.

use super::directory::name_of;
use super::durable::{FileFailure, failing, read_bytes_if_exists, remove_if_exists, replace, sync_folder};
use super::signals::reload;
use super::user_files::{self, UserFiles};
use super::{Failure, Site, blocking, sockets};
use crate::model::Endpoint;
use crate::pg::owned::{self, Applies, OWNED};
use crate::pg::quoting::conf_value;
use crate::pg::{Settings, conf};
use nix::unistd::Uid;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The lines of `pg_hba.conf` that a database had when it was adopted.
pub(super) const ADOPTED_HBA: &str = "pg_hba.adopted.conf";

/// Writes `witch.conf`, `pg_hba.conf` and the passfile, includes the first in `postgresql.conf`, and strips from `postgresql.auto.conf`
/// what would override it. Changes no file that says the same already. Answers what of the user's it took back, in words.
///
/// # Errors
/// A file cannot be read or written.
pub async fn write_configuration(site: &Site, upstream: Option<&Endpoint>) -> Result<Vec<String>, Failure> {
    let (site, upstream) = (site.clone(), upstream.cloned());
    let taken_back = blocking(move || write(&site, upstream.as_ref())).await?;
    for change in &taken_back {
        tracing::warn!("the configuration is mended: {change}");
    }
    Ok(taken_back)
}

/// The same until the next start, but nothing of the log is recycled meanwhile.
pub(super) async fn write_configuration_that_keeps_log(site: &Site) -> Result<(), Failure> {
    write_configuration(site, None).await?;
    let site = site.clone();
    let text = "wal_keep_size = '1TB'\nmax_slot_wal_keep_size = '-1'\n";
    let write = move || {
        let said = user_files::read(&site)?.said;
        let major = site.installation.major();
        replace(&site.data_dir().join("witch.conf"), conf::witch_conf(&site.settings, None, &said, major) + text, 0o600)
    };
    Ok(blocking(write).await?)
}

/// Whether the next start is one as a standby.
///
/// # Errors
/// The file cannot be made or removed.
pub async fn set_standby_signal(site: &Site, standby: bool) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    Ok(blocking(move || signal(&data_dir, standby)).await?)
}

/// Points the running standby with that postmaster at another upstream, or at nobody: its receiver connects anew, the server stays.
///
/// # Errors
/// A file cannot be written, or the server is gone.
pub async fn follow(site: &Site, postmaster: u32, upstream: Option<&Endpoint>) -> Result<(), Failure> {
    write_configuration(site, upstream).await?;
    reload(site, postmaster).await
}

/// The arguments of `postgres`: the data directory, and the settings that only a start can change.
pub async fn server_arguments(site: &Site) -> Vec<String> {
    let site = site.clone();
    blocking(move || {
        // What cannot be read the server cannot read either, and says so.
        let said = user_files::read(&site).unwrap_or_default().said;
        let settings = &site.settings;
        let mut arguments = vec!["-D".to_owned(), settings.data_dir.clone()];
        for owned in OWNED.iter().filter(|owned| owned.applies == Applies::AtStart && owned.is_known_to(site.installation.major())) {
            let value = match owned.name {
                "unix_socket_directories" => Some(sockets::sockets(&site, &said).value),
                _ => settings.value_of(owned, None, &said, site.installation.major()),
            };
            if let Some(value) = value {
                arguments.extend(["-c".to_owned(), format!("{}={value}", owned.name)]);
            }
        }
        arguments
    })
    .await
}

/// A file that is not as it should be.
struct Change {
    path: PathBuf,
    text: Vec<u8>,
    mode: u32,
    /// What of the user's it takes back.
    because: Vec<String>,
}

/// Whether a file of the configuration is not what it should be, whomever the server follows. It waits for the disk.
pub(super) fn has_lapsed(site: &Site, files: &UserFiles) -> Result<bool, FileFailure> {
    let witch = read_bytes_if_exists(&site.data_dir().join("witch.conf"))?.unwrap_or_default();
    let wanted = conf::witch_conf(&site.settings, None, &files.said, site.installation.major());
    let lasting = conf::lasting(&String::from_utf8_lossy(&witch)) == conf::lasting(&wanted);
    Ok(!lasting || !changes(site, files)?.is_empty())
}

/// What there is to change besides `witch.conf`.
fn changes(site: &Site, files: &UserFiles) -> Result<Vec<Change>, FileFailure> {
    let data_dir = site.data_dir();
    let mode = mode_of_files(&data_dir);
    // The first time, nothing of Witch's is taken back.
    let known = data_dir.join("witch.conf").exists();
    let mut changes = Vec::new();
    changes.extend(change_of_main(&data_dir.join("postgresql.conf"), mode, known)?);
    let path = data_dir.join("postgresql.auto.conf");
    if let Some(text) = read_bytes_if_exists(&path)? {
        let (text, gone) = conf::without(&text, owned::is_stripped);
        if !gone.is_empty() {
            let mut said = crate::pg::said::Said::default();
            gone.into_iter().for_each(|line| said.hear("postgresql.auto.conf", line));
            let because = owned::overridden(&said, |owned| site.settings.value_of(owned, None, &files.said, site.installation.major()));
            let because = because.into_iter().map(|line| format!("taken out of postgresql.auto.conf: {line}")).collect();
            changes.push(Change { path, text, mode, because });
        }
    }
    let path = data_dir.join("pg_hba.conf");
    let now = read_bytes_if_exists(&path)?.unwrap_or_default();
    let adopted = read_bytes_if_exists(&data_dir.join(ADOPTED_HBA))?;
    let text = conf::pg_hba(&site.settings, &name_of(Uid::effective()), adopted.as_deref());
    if now != text {
        let foreign = known && !now.is_empty() && !now.starts_with(conf::HEADER.as_bytes());
        let because = "pg_hba.conf was replaced by somebody; it is written again, and what stood there is kept in pg_hba.conf.replaced";
        changes.push(Change { path, text, mode, because: foreign.then(|| because.to_owned()).into_iter().collect() });
    }
    Ok(changes)
}

/// `postgresql.conf` ends with the line that includes `witch.conf`. Where it is a link, the file that it leads to stays as it is, and is
/// included.
fn change_of_main(path: &Path, mode: u32, known: bool) -> Result<Option<Change>, FileFailure> {
    let is_link = path.symlink_metadata().is_ok_and(|file| file.is_symlink());
    let (now, mode) = if is_link {
        let leads_to = fs::canonicalize(path).ok();
        let include = leads_to.map(|target| format!("include_if_exists = {}\n", conf_value(&target.to_string_lossy())));
        (include.unwrap_or_default().into_bytes(), mode)
    } else {
        let mode = path.metadata().map_or(mode, |file| file.permissions().mode() & 0o777);
        (read_bytes_if_exists(path)?.unwrap_or_default(), mode)
    };
    let text = conf::with_include(&now);
    if text == now && !is_link {
        return Ok(None);
    }
    let because = known.then(|| "the last line of postgresql.conf, which includes witch.conf, was missing".to_owned());
    Ok(Some(Change { path: path.to_owned(), text, mode, because: because.into_iter().collect() }))
}

/// The group may read where it may enter the directory.
pub(super) fn mode_of_files(data_dir: &Path) -> u32 {
    let group = data_dir.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o050 == 0o050);
    if group { 0o640 } else { 0o600 }
}

fn write(site: &Site, upstream: Option<&Endpoint>) -> Result<Vec<String>, FileFailure> {
    let settings = &site.settings;
    let data_dir = site.data_dir();
    replace_passfile(settings)?;
    let mut taken_back = put_recovery_conf_aside(&data_dir)?;
    let files = user_files::read(site)?;
    let mode = mode_of_files(&data_dir);
    let changes = changes(site, &files)?;
    replace(&data_dir.join("witch.conf"), conf::witch_conf(settings, upstream, &files.said, site.installation.major()), mode)?;
    for change in changes {
        if change.path.ends_with("pg_hba.conf") {
            keep_hba(&change.path, mode)?;
        }
        replace(&change.path, change.text, change.mode)?;
        taken_back.extend(change.because);
    }
    Ok(taken_back)
}

/// The passfile alone: a node that has no database yet needs it to get one.
pub(super) async fn write_passfile(site: &Site) -> Result<(), FileFailure> {
    let settings = site.settings.clone();
    blocking(move || replace_passfile(&settings)).await
}

fn replace_passfile(settings: &Settings) -> Result<(), FileFailure> {
    replace(Path::new(&settings.passfile()), conf::passfile(settings), 0o600)
}

/// What others wrote into `pg_hba.conf` stays beside it: the first time, and the last.
fn keep_hba(path: &Path, mode: u32) -> Result<(), FileFailure> {
    let Some(text) = read_bytes_if_exists(path)?.filter(|text| !text.starts_with(conf::HEADER.as_bytes())) else { return Ok(()) };
    let before = path.with_file_name("pg_hba.conf.before-witch");
    let aside = if before.exists() { path.with_file_name("pg_hba.conf.replaced") } else { before };
    replace(&aside, text, mode)
}

/// A server of version 12 or later does not start beside this file, and nothing else reads it.
fn put_recovery_conf_aside(data_dir: &Path) -> Result<Vec<String>, FileFailure> {
    let path = data_dir.join("recovery.conf");
    if path.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    fs::rename(&path, data_dir.join("recovery.conf.before-witch")).map_err(failing("put aside", &path))?;
    Ok(vec!["recovery.conf, beside which no server starts since version 12, is renamed to recovery.conf.before-witch".to_owned()])
}

/// Makes or removes `standby.signal`; recovery to a target is nothing that Witch starts.
pub(super) fn signal(data_dir: &Path, standby: bool) -> Result<(), FileFailure> {
    let path = data_dir.join("standby.signal");
    remove_if_exists(&data_dir.join("recovery.signal"))?;
    if standby {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        file.and_then(|file| file.sync_all()).map_err(failing("create", &path))?;
    } else {
        remove_if_exists(&path)?;
    }
    sync_folder(data_dir)
}
