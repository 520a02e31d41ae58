//! What a database had before it became a cluster's, and keeps: its configuration where that lies outside of the data directory, the settings
//! on its last command line, its `pg_hba.conf`, and the log that its slots still need.

use super::configuration::{ADOPTED_HBA, mode_of_files};
use super::durable::{failing, read_bytes_if_exists, replace};
use super::next_start::{DEBIAN, is_of};
use super::sockets::is_same;
use super::user_files::{self, UserFiles};
use super::{Failure, Site};
use crate::pg::quoting::conf_value;
use crate::pg::{conf, owned};
use std::fs;
use std::path::{Path, PathBuf};

/// The first words of a `postgresql.conf` that was put together here.
const IMPORTED: &str = "# Imported by Witch";
/// Settings that say where files lie: in the data directory from now on.
const PLACES: [&str; 4] = ["data_directory", "config_file", "hba_file", "ident_file"];

/// Brings what lies elsewhere into the data directory. Answers what was done, in words. Carried out twice, it does nothing the second time.
pub(super) fn import(site: &Site) -> Result<Vec<String>, Failure> {
    let data_dir = site.data_dir();
    let mut told = Vec::new();
    if data_dir.join("witch.conf").exists() {
        return Ok(told);
    }
    let last = LastStart::read(&data_dir);
    let own = data_dir.join("postgresql.conf");
    let elsewhere = last.config_file.clone().filter(|file| !is_same(file, &own)).or_else(|| of_debian(site).filter(|_| !own.exists()));
    let begun = read_bytes_if_exists(&own)?.is_some_and(|text| text.starts_with(IMPORTED.as_bytes()));
    let source = elsewhere.filter(|_| !begun);
    if source.is_none() && !own.exists() {
        return Err(unfit(
            site,
            "it has no postgresql.conf, and no configuration elsewhere names this directory; put it there, or make an empty one: touch"
                .to_owned()
                + &format!(" {}", own.display()),
        ));
    }
    let files = user_files::read_one(source.as_deref().unwrap_or(&own))?;
    if let Some(source) = source.as_ref().filter(|_| files.read.is_empty()) {
        return Err(unfit(
            site,
            format!("its configuration is {}, which is gone; put it back, or copy it to {}", source.display(), own.display()),
        ));
    }
    hba(site, &files, source.as_deref(), &mut told)?;
    ident(site, &files, source.as_deref(), &mut told)?;
    let slots = slots(&data_dir);
    let has_limit = site.settings.wanted("max_slot_wal_keep_size", &files.said).is_some() || last.says("max_slot_wal_keep_size");
    let mut lines = Vec::new();
    if let Some(source) = &source {
        lines.push(format!("{IMPORTED} from {} and what it includes, when the database was adopted", source.display()));
        lines.extend(files.lines.iter().filter(|(name, _)| !PLACES.contains(&name.as_str())).map(|(name, value)| setting(name, value)));
        told.push(format!(
            "{} settings of {} are copied into {}, which counts from now on",
            lines.len() - 1,
            source.display(),
            own.display()
        ));
    }
    // What Witch would not follow in a file it does not follow from there either.
    let holds =
        |(name, value): &&(String, String)| !PLACES.contains(&name.as_str()) && owned::find(name).is_none_or(|owned| owned.follows(value));
    for (name, value) in last.settings.iter().filter(holds) {
        lines.push(setting(name, value));
        told.push(format!("{name} = '{value}' was given to the server on its command line, and stands in {} now", own.display()));
    }
    if !slots.is_empty() && !has_limit {
        lines.push("# The log that its slots needed was kept without a limit when the database was adopted.".to_owned());
        lines.push(setting("max_slot_wal_keep_size", "-1"));
        told.push(format!(
            "the slots {} keep the log that they need without a limit, as before: max_slot_wal_keep_size = -1 stands in {}; set one before a \
             consumer that lags fills the disk",
            slots.join(", "),
            own.display()
        ));
    }
    if !lines.is_empty() {
        let before = if source.is_some() { Vec::new() } else { read_bytes_if_exists(&own)?.unwrap_or_default() };
        if let (Some(_), true) = (&source, own.exists()) {
            let aside = data_dir.join("postgresql.conf.before-witch");
            fs::rename(&own, &aside).map_err(failing("put aside", &own))?;
        }
        let separator: &[u8] = if before.is_empty() || before.ends_with(b"\n") { b"" } else { b"\n" };
        replace(&own, [&before, separator, lines.join("\n").as_bytes(), b"\n"].concat(), mode_of_files(&data_dir))?;
    }
    Ok(told)
}

fn setting(name: &str, value: &str) -> String {
    format!("{name} = {}", conf_value(value))
}

/// The lines by which users log in go on to count.
fn hba(site: &Site, files: &UserFiles, source: Option<&Path>, told: &mut Vec<String>) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    let kept = data_dir.join(ADOPTED_HBA);
    let named = files.said.value("hba_file").map(|file| data_dir.join(file));
    let file = named.unwrap_or_else(|| beside(source, "pg_hba.conf").unwrap_or_else(|| data_dir.join("pg_hba.conf")));
    let Some(text) = read_bytes_if_exists(&file)?.filter(|text| !text.starts_with(conf::HEADER.as_bytes())) else { return Ok(()) };
    if kept.exists() || !site.settings.pg_hba.is_empty() {
        return Ok(());
    }
    let moved = file.parent().is_some_and(|folder| !is_same(folder, &data_dir));
    let refers = |line: &&[u8]| {
        let line = String::from_utf8_lossy(line);
        let line = line.split('#').next().unwrap_or_default().trim_start().to_owned();
        line.starts_with("include") || line.split([' ', '\t', ',']).any(|word| word.len() > 1 && word.starts_with('@'))
    };
    if moved && text.split(|byte| *byte == b'\n').any(|line| refers(&line)) {
        let reason = format!(
            "{} refers to other files, which would not be found from the data directory; write the lines whole, or in [postgres] pg_hba",
            file.display()
        );
        return Err(unfit(site, reason));
    }
    replace(&kept, text, mode_of_files(&data_dir))?;
    told.push(format!(
        "the lines of {} go on to count, after those of Witch's own roles: they stand in {}",
        file.display(),
        kept.display()
    ));
    Ok(())
}

/// The names that the lines of `pg_hba.conf` map.
fn ident(site: &Site, files: &UserFiles, source: Option<&Path>, told: &mut Vec<String>) -> Result<(), Failure> {
    let data_dir = site.data_dir();
    let own = data_dir.join("pg_ident.conf");
    let named = files.said.value("ident_file").map(|file| data_dir.join(file));
    let Some(file) = named.or_else(|| beside(source, "pg_ident.conf")).filter(|file| !is_same(file, &own)) else { return Ok(()) };
    if let Some(text) = read_bytes_if_exists(&file)? {
        replace(&own, text, mode_of_files(&data_dir))?;
        told.push(format!("{} is copied to {}, which counts from now on", file.display(), own.display()));
    }
    Ok(())
}

fn beside(source: Option<&Path>, name: &str) -> Option<PathBuf> {
    source.and_then(Path::parent).map(|folder| folder.join(name)).filter(|file| file.exists())
}

/// Debian's configuration for this data directory.
fn of_debian(site: &Site) -> Option<PathBuf> {
    let clusters = fs::read_dir(Path::new(DEBIAN).join(site.installation.major().to_string())).ok()?;
    let mut folders = clusters.flatten().map(|entry| entry.path());
    folders.find(|folder| is_of(folder, &site.data_dir())).map(|folder| folder.join("postgresql.conf"))
}

/// The slots of others than Witch.
fn slots(data_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(data_dir.join("pg_replslot")).into_iter().flatten().flatten();
    let mut slots: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    slots.retain(|slot| !slot.starts_with("witch_"));
    slots.sort_unstable();
    slots
}

/// How the server was started last, by the file that it leaves about that.
#[derive(Debug, Default, PartialEq, Eq)]
struct LastStart {
    config_file: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

impl LastStart {
    fn read(data_dir: &Path) -> Self {
        let text = fs::read(data_dir.join("postmaster.opts")).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn says(&self, name: &str) -> bool {
        self.settings.iter().any(|(said, _)| said == name)
    }

    /// The program, and its arguments in quotes. What they are about, such as the port, is Witch's to say; the settings are the user's.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut words = text.trim_end().split(" \"").skip(1).map(|word| word.trim_end_matches('"'));
        while let Some(word) = words.next() {
            let pair = match word.strip_prefix("--") {
                Some(pair) => Some(pair),
                None if word == "-c" => words.next(),
                None => word.strip_prefix("-c"),
            };
            let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else { continue };
            let name = name.replace('-', "_").to_ascii_lowercase();
            match name.as_str() {
                "config_file" => found.config_file = Some(PathBuf::from(value)),
                _ => found.settings.push((name, value.to_owned())),
            }
        }
        found
    }
}

fn unfit(site: &Site, reason: String) -> Failure {
    Failure::Directory { path: site.settings.data_dir.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_line_is_understood() {
        let text = "/usr/lib/postgresql/15/bin/postgres \"-D\" \"/data\" \"-c\" \"config_file=/etc/postgresql/15/main/postgresql.conf\" \
                    \"-cwal-level=logical\" \"--work_mem=8MB\" \"-p\" \"5432\" \"-c\" \"a=b c=d\"\n";
        let found = LastStart::parse(text);
        assert_eq!(found.config_file, Some(PathBuf::from("/etc/postgresql/15/main/postgresql.conf")));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found.settings, [pair("wal_level", "logical"), pair("work_mem", "8MB"), pair("a", "b c=d")]);
    }
}
