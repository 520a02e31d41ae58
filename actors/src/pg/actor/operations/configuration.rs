//! The files that tell the server what Witch wants of it.

use super::directory::name_of;
use super::durable::{FileFailure, failing, read_bytes_if_exists, remove_if_exists, replace, sync_folder};
use super::{Failure, Session, Site, blocking};
use crate::model::Endpoint;
use crate::pg::owned::{self, Applies, OWNED, Owned};
use crate::pg::{Settings, conf};
use nix::unistd::Uid;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Writes `witch.conf`, `pg_hba.conf` and the passfile, includes the first in `postgresql.conf`, and strips from `postgresql.auto.conf`
/// what would override it. Changes no file that says the same already.
///
/// # Errors
/// A file cannot be read or written.
pub async fn write_configuration(site: &Site, upstream: Option<&Endpoint>) -> Result<(), Failure> {
    let (site, upstream) = (site.clone(), upstream.cloned());
    Ok(blocking(move || write(&site, upstream.as_ref())).await?)
}

/// The same until the next start, but nothing of the log is recycled meanwhile.
pub(super) async fn write_configuration_that_keeps_log(site: &Site) -> Result<(), Failure> {
    write_configuration(site, None).await?;
    let path = site.data_dir().join("witch.conf");
    let text = conf::witch_conf(&site.settings, None, site.installation.major()) + "wal_keep_size = '1TB'\nmax_slot_wal_keep_size = '-1'\n";
    Ok(blocking(move || replace(&path, text, 0o600)).await?)
}

/// Whether the next start is one as a standby.
///
/// # Errors
/// The file cannot be made or removed.
pub async fn set_standby_signal(site: &Site, standby: bool) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    Ok(blocking(move || signal(&data_dir, standby)).await?)
}

/// Points a running standby at another upstream: its receiver connects anew, the server stays.
///
/// # Errors
/// A file cannot be written, or the server does not take the reload.
pub async fn follow(site: &Site, session: &mut Session, upstream: &Endpoint, within: Duration) -> Result<(), Failure> {
    write_configuration(site, Some(upstream)).await?;
    Ok(session.reload(within).await?)
}

/// The arguments of `postgres`: the data directory, and the settings that only a start can change.
#[must_use]
pub fn server_arguments(site: &Site) -> Vec<String> {
    let settings = &site.settings;
    let mut arguments = vec!["-D".to_owned(), settings.data_dir.clone()];
    let known = |owned: &&Owned| owned.since <= site.installation.major();
    for owned in OWNED.iter().filter(|owned| owned.applies == Applies::AtStart).filter(known) {
        if let Some(value) = settings.value_of(owned, None, site.installation.major()) {
            arguments.extend(["-c".to_owned(), format!("{}={value}", owned.name)]);
        }
    }
    arguments
}

fn write(site: &Site, upstream: Option<&Endpoint>) -> Result<(), FileFailure> {
    let settings = &site.settings;
    let data_dir = site.data_dir();
    replace_passfile(settings)?;
    replace(&data_dir.join("witch.conf"), conf::witch_conf(settings, upstream, site.installation.major()), 0o600)?;
    write_hba(settings, &data_dir)?;
    let main = data_dir.join("postgresql.conf");
    let text = read_bytes_if_exists(&main)?.unwrap_or_default();
    replace(&main, conf::with_include(&text), 0o600)?;
    let auto = data_dir.join("postgresql.auto.conf");
    if let Some(text) = read_bytes_if_exists(&auto)? {
        replace(&auto, conf::without(&text, owned::is_stripped), 0o600)?;
    }
    Ok(())
}

/// The passfile alone: a node that has no database yet needs it to get one.
pub(super) async fn write_passfile(site: &Site) -> Result<(), FileFailure> {
    let settings = site.settings.clone();
    blocking(move || replace_passfile(&settings)).await
}

fn replace_passfile(settings: &Settings) -> Result<(), FileFailure> {
    replace(Path::new(&settings.passfile()), conf::passfile(settings), 0o600)
}

/// Writes `pg_hba.conf`; the one of a database that was adopted stays beside it.
fn write_hba(settings: &Settings, data_dir: &Path) -> Result<(), FileFailure> {
    let path = data_dir.join("pg_hba.conf");
    let before = data_dir.join("pg_hba.conf.before-witch");
    if read_bytes_if_exists(&path)?.is_some_and(|text| !text.starts_with(conf::HEADER.as_bytes())) && !before.exists() {
        fs::copy(&path, &before).map_err(failing("keep a copy as", &before))?;
    }
    replace(&path, conf::pg_hba(settings, &name_of(Uid::effective())), 0o600)
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
