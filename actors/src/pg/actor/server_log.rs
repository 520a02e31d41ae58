//! What the server's log hints at and what a server's last words were; and that it does not grow for ever. What is not written here, since the
//! user's settings send it elsewhere, is not known, and nothing depends on it.

use crate::pg::classify::{self, LastWords};
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

/// The server's log, read as it grows.
#[derive(Debug)]
pub(super) struct ServerLog {
    path: PathBuf,
    read_to: u64,
    hint: bool,
    last_words: Option<LastWords>,
    crash: Option<String>,
    /// No client chooses what stands before a line's severity.
    trusted: bool,
}

impl ServerLog {
    /// What was written before does not count.
    pub(super) fn from_its_end(path: PathBuf) -> Self {
        let mut log = Self { path, read_to: 0, hint: false, last_words: None, crash: None, trusted: false };
        log.begin_anew();
        log
    }

    /// The server was told something else to follow: what it said before does not count.
    pub(super) fn begin_anew(&mut self) {
        self.read_to = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        (self.hint, self.last_words, self.crash) = (false, None, None);
    }

    /// The same for a new server, which writes this before each line.
    pub(super) fn begin_with(&mut self, prefix: Option<&str>) {
        self.begin_anew();
        self.trusted = prefix.is_some_and(classify::is_trusted);
    }

    /// Whether it hinted since then that the standby can never stream as it is. An unreadable log hints at nothing.
    pub(super) fn hint(&mut self) -> bool {
        self.take_in();
        self.hint
    }

    /// By what words the server ended.
    pub(super) fn last_words(&mut self) -> Option<LastWords> {
        self.take_in();
        self.last_words.clone()
    }

    /// Of which process's end a server that lives on spoke last.
    pub(super) fn crash(&mut self) -> Option<String> {
        self.take_in();
        self.crash.clone()
    }

    fn take_in(&mut self) {
        let Some(text) = self.read_on() else { return };
        self.crash = classify::crash(&text).or_else(|| self.crash.take());
        self.hint |= classify::hint(&text);
        self.last_words = classify::last_words(&text, self.trusted).or_else(|| self.last_words.take());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const REMOVED: &str =
        "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed";

    #[test]
    fn only_what_is_said_from_now_on_counts() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let removed = REMOVED;
        writeln!(file, "{removed}").unwrap();
        let mut log = ServerLog::from_its_end(file.path().to_owned());
        assert!(!log.hint());
        write!(file, "{removed}").unwrap();
        assert!(!log.hint(), "the line is not whole yet");
        writeln!(file).unwrap();
        assert!(log.hint());
        assert!(log.hint(), "it stands until something changes");
        log.begin_anew();
        assert!(!log.hint());
    }

    #[test]
    fn a_log_that_is_too_long_is_put_aside_and_the_server_writes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        assert_eq!(rotate_at(&path, 400).unwrap(), [""; 0], "there is none");
        let mut server = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut log = ServerLog::from_its_end(path.clone());
        server.write_all(&[b'x'; 399]).unwrap();
        rotate_at(&path, 400).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 399, "not yet");
        server.write_all(b"yz\n").unwrap();
        assert!(!log.hint());
        rotate_at(&path, 400).unwrap();
        writeln!(server, "{REMOVED}").unwrap();
        let aside = std::fs::read(folder.path().join("postgres.log.1")).unwrap();
        assert!(aside.len() == 402 && aside.ends_with(b"xyz\n"), "all of it is kept");
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("FATAL:"), "no hole where the old text was");
        assert!(log.hint(), "it is read on from its new beginning");
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
