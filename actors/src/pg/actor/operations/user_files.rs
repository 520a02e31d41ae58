//! What the user's own configuration files say, with all that they include.

use super::Site;
use super::durable::{FileFailure, read_bytes_if_exists};
use crate::pg::said::{Said, lines};
use std::fs;
use std::path::{Path, PathBuf};

/// PostgreSQL itself gives up at this depth.
const DEPTH_MAX: u32 = 10;
/// The files that Witch writes beside the user's.
const OWN: &str = "witch.conf";

/// What was read, and from where.
#[derive(Clone, Debug, Default)]
pub(super) struct UserFiles {
    /// The last word on each setting.
    pub(super) said: Said,
    /// Every file that was read.
    pub(super) read: Vec<PathBuf>,
    /// Every setting in the order of the files, as it would be written anew.
    pub(super) lines: Vec<(String, String)>,
}

/// Reads `postgresql.conf` with what it includes but `witch.conf`, and then `postgresql.auto.conf`. It waits for the disk.
pub(super) fn read(site: &Site) -> Result<UserFiles, FileFailure> {
    let mut files = UserFiles::default();
    let data_dir = site.data_dir();
    files.take_in(&data_dir.join("postgresql.conf"), &data_dir, 0)?;
    files.take_in(&data_dir.join("postgresql.auto.conf"), &data_dir, 0)?;
    Ok(files)
}

/// Reads one file with what it includes.
pub(super) fn read_one(path: &Path) -> Result<UserFiles, FileFailure> {
    let mut files = UserFiles::default();
    files.take_in(path, path.parent().unwrap_or(path), 0)?;
    Ok(files)
}

impl UserFiles {
    /// `home`: names are shown without it.
    fn take_in(&mut self, path: &Path, home: &Path, depth: u32) -> Result<(), FileFailure> {
        let Some(text) = read_bytes_if_exists(path)? else { return Ok(()) };
        self.read.push(path.to_owned());
        let shown = path.strip_prefix(home).unwrap_or(path).display().to_string();
        for line in lines(&text) {
            let folder = path.parent().unwrap_or(home);
            match line.name.as_str() {
                "include" | "include_if_exists" if depth < DEPTH_MAX => {
                    if line.value != OWN {
                        self.take_in(&folder.join(&line.value), home, depth + 1)?;
                    }
                }
                "include_dir" if depth < DEPTH_MAX => {
                    for file in parts(&folder.join(&line.value)) {
                        self.take_in(&file, home, depth + 1)?;
                    }
                }
                "include" | "include_if_exists" | "include_dir" => {}
                _ => {
                    self.lines.push((line.name.clone(), line.value.clone()));
                    self.said.hear(&shown, line);
                }
            }
        }
        Ok(())
    }
}

/// The files of a folder that is included, in their order.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_part = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        !name.starts_with('.') && name.ends_with(".conf") && path.is_file()
    };
    let mut parts: Vec<PathBuf> = entries.filter(is_part).collect();
    parts.sort_unstable();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_counts_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        write(
            "postgresql.conf",
            "a = 1\ninclude 'more.conf'\na = 2\ninclude_dir = 'conf.d'\ninclude_if_exists 'none.conf'\ninclude_if_exists = 'witch.conf'\n",
        );
        write("more.conf", "a = 9\nb = 1\ninclude 'postgresql.conf'\n");
        write("conf.d/2.conf", "c = 2\n");
        write("conf.d/1.conf", "c = 1\n");
        write("conf.d/.hidden.conf", "c = 7\n");
        write("conf.d/3.txt", "c = 8\n");
        write("witch.conf", "a = 'ours'\n");
        let files = read_one(&folder.path().join("postgresql.conf")).unwrap();
        assert_eq!((files.said.value("a"), files.said.value("b"), files.said.value("c")), (Some("2"), Some("1"), Some("2")));
        assert_eq!(files.said.of("c").unwrap().place, "conf.d/2.conf:1");
        assert!(read_one(&folder.path().join("absent.conf")).unwrap().read.is_empty());
    }
}
