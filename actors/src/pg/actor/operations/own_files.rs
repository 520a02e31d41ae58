//! What a node has for itself in its data directory: the certificate and the key of its server, which name its host. A rewind and a copy would put
//! the primary's in their place, and clients that look at names would refuse the node.

use super::durable::{FileFailure, failing, read_bytes_if_exists, remove_if_exists, replace};
use super::user_files;
use super::{Site, blocking};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The settings that name them, and their names where nobody says otherwise.
const SETTINGS: [(&str, Option<&str>); 5] = [
    ("ssl_cert_file", Some("server.crt")),
    ("ssl_key_file", Some("server.key")),
    ("ssl_ca_file", None),
    ("ssl_crl_file", None),
    ("ssl_dh_params_file", None),
];

fn folder(site: &Site) -> PathBuf {
    site.state_dir().join("own-files")
}

/// Keeps them in Witch's folder until the database is a standby's again. What is kept of a whole directory is what counts: one that was left half
/// done may have the primary's already.
pub(super) async fn keep(site: &Site) -> Result<(), FileFailure> {
    keep_and(site, false).await
}

/// The same; and what belongs to somebody else, such as root's key for the group, is taken out of the directory: `pg_rewind` could not write over it.
pub(super) async fn keep_and_make_way(site: &Site) -> Result<(), FileFailure> {
    keep_and(site, true).await
}

async fn keep_and(site: &Site, make_way: bool) -> Result<(), FileFailure> {
    let site = site.clone();
    blocking(move || {
        let (data_dir, folder) = (site.data_dir(), folder(&site));
        let me = nix::unistd::geteuid().as_raw();
        for name in names(&site) {
            let path = data_dir.join(&name);
            let Some(text) = read_bytes_if_exists(&path)? else { continue };
            let kept = folder.join(&name);
            let parent = kept.parent().unwrap_or(&folder);
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failing("make", parent))?;
            let status = fs::metadata(&path).map_err(failing("look at", &path))?;
            // Only its owner may read the key of another owner than root.
            let mode = if status.uid() == me { status.permissions().mode() & 0o777 } else { 0o600 };
            replace(&kept, text, mode)?;
            if make_way && status.uid() != me {
                remove_if_exists(&path)?;
            }
        }
        Ok(())
    })
    .await
}

/// Puts them into that directory, which is the site's or about to take its place.
pub(super) async fn put_back(site: &Site, data_dir: PathBuf) -> Result<(), FileFailure> {
    let site = site.clone();
    blocking(move || {
        let folder = folder(&site);
        if !folder.exists() {
            return Ok(());
        }
        for name in files(&folder, Path::new("")) {
            let (kept, path) = (folder.join(&name), data_dir.join(&name));
            let mode = fs::metadata(&kept).map_err(failing("look at", &kept))?.permissions().mode() & 0o777;
            let Some(text) = read_bytes_if_exists(&kept)? else { continue };
            if path.parent().is_some_and(Path::is_dir) {
                replace(&path, text, mode)?;
            }
        }
        fs::remove_dir_all(&folder).map_err(failing("remove", &folder))
    })
    .await
}

/// Their names within the data directory. A certificate without its key is of no use, and the primary's key does not fit to it.
fn names(site: &Site) -> Vec<PathBuf> {
    let (data_dir, files) = (site.data_dir(), user_files::read(site).unwrap_or_default());
    let within = |setting: &str, usual: Option<&str>| {
        let named = site.settings.wanted(setting, &files.said).filter(|value| !value.is_empty()).or(usual)?;
        let path = data_dir.join(named);
        let name = path.strip_prefix(&data_dir).ok()?.to_owned();
        let stays = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (stays && path.is_file()).then_some(name)
    };
    let found: Vec<Option<PathBuf>> = SETTINGS.into_iter().map(|(setting, usual)| within(setting, usual)).collect();
    if found[0].is_some() && found[1].is_some() { found.into_iter().flatten().collect() } else { Vec::new() }
}

fn files(folder: &Path, name: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(name)).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| {
        let name = name.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { files(folder, &name) } else { vec![name] }
    });
    found.collect()
}
