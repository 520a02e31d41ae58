//! What the server's log says against streaming, which PostgreSQL tells nowhere else; and that it does not grow for ever.

use crate::pg::Stall;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So much of the log is read at a time; what is skipped when it grows faster is said again half a second later.
const READ_MAX: u64 = 256 << 10;

/// The log is put aside at this size; it shares its file system with the Raft log.
const SIZE_MAX: u64 = 32 << 20;
/// So many predecessors are kept: `postgres.log.1` is the youngest.
const KEPT: u32 = 4;
/// Of a log that has grown to more than so many times that size, only the end is put aside.
const BURST: u64 = 4;
/// Its size is looked at this often.
pub(super) const ROTATE_EVERY: Duration = Duration::from_secs(60);

/// What the messages of `walreceiver` and `startup` mean, in PostgreSQL 13 to 18.
const COMPLAINTS: [(&str, &str, Stall); 5] = [
    ("requested WAL segment", "has already been removed", Stall::WalRemoved),
    ("requested starting point", "is ahead of the WAL flush position", Stall::Diverged),
    ("requested starting point", "is not in this server's history", Stall::Diverged),
    ("new timeline", "forked off current database system timeline", Stall::Diverged),
    ("highest timeline", "of the primary is behind recovery timeline", Stall::Diverged),
];

/// Why a server could not start or go on, where its directory is not to blame, in PostgreSQL 13 to 18. A full disk is no excuse: what fills
/// it may be the log in the directory itself.
const EXCUSES: [&str; 16] = [
    "could not create any TCP/IP sockets",
    "could not create any Unix-domain sockets",
    "lock file",
    "could not access file",
    "could not load library",
    "could not map anonymous shared memory",
    "could not create shared memory segment",
    "could not create semaphores",
    "contains errors",
    "pg_hba.conf",
    "insufficient parameter settings",
    "must be less than max_connections",
    "server certificate file",
    "private key file",
    "Too many open files",
    "Cannot allocate memory",
];

/// The server's log, read as it grows.
#[derive(Debug)]
pub(super) struct ServerLog {
    path: PathBuf,
    read_to: u64,
    stall: Option<Stall>,
    excuse: Option<String>,
}

impl ServerLog {
    /// What was written before does not count.
    pub(super) fn from_its_end(path: PathBuf) -> Self {
        let mut log = Self { path, read_to: 0, stall: None, excuse: None };
        log.begin_anew();
        log
    }

    /// The server was told something else to follow: what it said before does not count.
    pub(super) fn begin_anew(&mut self) {
        self.read_to = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        (self.stall, self.excuse) = (None, None);
    }

    /// The last complaint since then. An unreadable log complains of nothing.
    pub(super) fn stall(&mut self) -> Option<Stall> {
        self.take_in();
        self.stall
    }

    /// What the server said since then that ended it and that a copy of its directory would not mend.
    pub(super) fn excuse(&mut self) -> Option<String> {
        self.take_in();
        self.excuse.clone()
    }

    fn take_in(&mut self) {
        let Some(text) = self.read_on() else { return };
        self.stall = complaint(&text).or(self.stall);
        self.excuse = excuse(&text).or_else(|| self.excuse.take());
    }

    fn read_on(&mut self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        let end = file.metadata().ok()?.len();
        // A log that has become shorter was rotated.
        let begin = if end < self.read_to { 0 } else { self.read_to.max(end.saturating_sub(READ_MAX)) };
        file.seek(SeekFrom::Start(begin)).ok()?;
        let mut bytes = Vec::new();
        file.take(end - begin).read_to_end(&mut bytes).ok()?;
        // The rest of a line that is being written is read when it is whole.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.read_to = begin + u64::try_from(whole).ok()?;
        bytes.truncate(whole);
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Puts a log that is too long aside as `postgres.log.1` and goes on with an empty one. The server has it open for appending and
/// cannot be told of another, so it is emptied in its place; a line that is written in that very instant may be lost. What else is lost is
/// said: whoever wants more has PostgreSQL's own collector.
pub(super) fn rotate(path: &Path) -> io::Result<()> {
    for lost in rotate_at(path, SIZE_MAX)? {
        tracing::warn!("{lost}; set logging_collector = on, or another log_destination, to keep more of the server's log");
    }
    Ok(())
}

/// Answers what is lost, in words.
fn rotate_at(path: &Path, size_max: u64) -> io::Result<Vec<String>> {
    let mut lost = Vec::new();
    let mut log = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lost),
        log => log?,
    };
    let size = log.metadata()?.len();
    if size < size_max {
        return Ok(lost);
    }
    let aside = |number: u32| {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{number}"));
        PathBuf::from(aside)
    };
    if aside(KEPT).exists() {
        lost.push(format!("{} was removed, being the oldest of {KEPT}", aside(KEPT).display()));
    }
    for number in (1..KEPT).rev() {
        match std::fs::rename(aside(number), aside(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let cut = size.saturating_sub(size_max * BURST);
    if cut > 0 {
        lost.push(format!("{} grew too fast, and its first {cut} bytes were not put aside", path.display()));
    }
    let mut aside = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(aside(1))?;
    log.seek(SeekFrom::Start(cut))?;
    io::copy(&mut log, &mut aside)?;
    log.set_len(0)?;
    Ok(lost)
}

fn complaint(text: &str) -> Option<Stall> {
    let of_line =
        |line: &str| COMPLAINTS.iter().find(|(begin, end, _)| line.contains(begin) && line.contains(end)).map(|(_, _, stall)| *stall);
    text.lines().rev().find_map(of_line)
}

/// The last fatal line that names a reason outside of the directory, without the time and the process.
fn excuse(text: &str) -> Option<String> {
    // Before it has a log of its own a server says by its name what is wrong with its settings.
    let severe =
        |line: &str| ["FATAL:", "PANIC:"].iter().find_map(|severity| line.find(severity)).or(line.starts_with("postgres: ").then_some(0));
    let fatal = |line: &str| severe(line).map(|at| line[at..].trim().to_owned());
    text.lines().rev().filter_map(fatal).find(|said| EXCUSES.iter().any(|excuse| said.contains(excuse)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_excuse_is_what_ended_the_server_and_lies_outside_of_its_directory() {
        let said = |line: &str| excuse(&format!("noise\n{line}\nLOG:  database system is shut down\n"));
        let lines = [
            "2026-11-22 20:00:00.000 UTC [7] FATAL:  could not create any TCP/IP sockets",
            "FATAL:  could not access file \"no_such_library\": No such file or directory",
            "FATAL:  configuration file \"/data/postgresql.conf\" contains errors",
            "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
            "FATAL:  recovery aborted because of insufficient parameter settings",
            "FATAL:  could not load pg_hba.conf",
            "postgres: superuser_reserved_connections (3) plus max_wal_senders (10) must be less than max_connections (5)",
        ];
        for line in lines {
            assert!(said(line).is_some_and(|said| line.ends_with(&said)), "{line}");
        }
        assert_eq!(said("LOG:  could not bind IPv6 address \"::1\": Cannot assign requested address"), None);
        assert_eq!(said("PANIC:  could not locate a valid checkpoint record"), None, "that is what a copy is for");
        assert_eq!(said("PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device"), None, "and that may be");
    }

    #[test]
    fn the_complaints_of_a_standby_are_understood() {
        let lines = [
            (
                "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed",
                Stall::WalRemoved,
            ),
            (
                "FATAL:  could not receive data from WAL stream: ERROR:  requested starting point 0/7000000 is ahead of the WAL flush position of this server 0/6000148",
                Stall::Diverged,
            ),
            ("ERROR:  requested starting point 0/4000000 on timeline 1 is not in this server's history", Stall::Diverged),
            ("LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point 0/5000098", Stall::Diverged),
            ("FATAL:  highest timeline 1 of the primary is behind recovery timeline 2", Stall::Diverged),
        ];
        for (line, stall) in lines {
            assert_eq!(complaint(&format!("noise\n{line}\nmore noise\n")), Some(stall), "{line}");
        }
        assert_eq!(complaint("LOG:  started streaming WAL from primary at 0/3000000 on timeline 1\n"), None);
    }

    #[test]
    fn only_what_is_said_from_now_on_counts() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let removed = "ERROR:  requested WAL segment 000000010000000000000003 has already been removed";
        writeln!(file, "{removed}").unwrap();
        let mut log = ServerLog::from_its_end(file.path().to_owned());
        assert_eq!(log.stall(), None);
        write!(file, "{removed}").unwrap();
        assert_eq!(log.stall(), None, "the line is not whole yet");
        writeln!(file).unwrap();
        assert_eq!(log.stall(), Some(Stall::WalRemoved));
        assert_eq!(log.stall(), Some(Stall::WalRemoved), "it stands until something changes");
        log.begin_anew();
        assert_eq!(log.stall(), None);
    }

    #[test]
    fn a_log_that_is_too_long_is_put_aside_and_the_server_writes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        assert_eq!(rotate_at(&path, 100).unwrap(), [""; 0], "there is none");
        let mut server = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut log = ServerLog::from_its_end(path.clone());
        server.write_all(&[b'x'; 99]).unwrap();
        rotate_at(&path, 100).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 99, "not yet");
        server.write_all(b"yz\n").unwrap();
        assert_eq!(log.stall(), None);
        rotate_at(&path, 100).unwrap();
        writeln!(server, "ERROR:  requested WAL segment 000000010000000000000003 has already been removed").unwrap();
        let aside = std::fs::read(folder.path().join("postgres.log.1")).unwrap();
        assert!(aside.len() == 102 && aside.ends_with(b"xyz\n"), "all of it is kept");
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("ERROR:"), "no hole where the old text was");
        assert_eq!(log.stall(), Some(Stall::WalRemoved), "it is read on from its new beginning");
    }

    #[test]
    fn nothing_of_the_log_is_dropped_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        for generation in 1..=4 {
            std::fs::write(&path, format!("{generation}").repeat(10)).unwrap();
            assert_eq!(rotate_at(&path, 10).unwrap(), [""; 0]);
        }
        let oldest = folder.path().join("postgres.log.4");
        assert_eq!(std::fs::read_to_string(&oldest).unwrap(), "1".repeat(10));
        std::fs::write(&path, "5".repeat(50)).unwrap();
        let lost = rotate_at(&path, 10).unwrap().join("; ");
        assert!(lost.contains("postgres.log.4 was removed") && lost.contains("its first 10 bytes"), "{lost}");
        assert_eq!(std::fs::read_to_string(&oldest).unwrap(), "2".repeat(10));
    }
}
