//! Runs one of PostgreSQL's programs: in a process group of its own, with a deadline, in the C locale, keeping its last words.

use crate::pg::classify::{self, From};
use bytes::{Buf, BytesMut};
use futures::StreamExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::codec::{Decoder, FramedRead};

/// How many of its last lines a failed program is quoted with.
const LAST_LINES: usize = 12;
/// And so much of each.
const LAST_CHARS: usize = 500;
/// Nobody reads on in a longer line, such as one with the whole of a large message from the log, and memory is bounded.
const LINE_BYTES_MAX: usize = 1 << 16;

/// How long a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// So long in all.
    Total(Duration),
    /// As long as it likes, if it says something at least so often.
    Silence(Duration),
}

/// A program failed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramFailure {
    /// It could not be started.
    #[error("cannot start {program}; check that it is installed and executable")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{name} failed ({status}):\n{output}{}", meaning(name, output))]
    Failed {
        /// Its name.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// It took too long and was killed.
    #[error("{name} {what} for {seconds} s and was ended; its last words:\n{output}")]
    TooLong {
        /// Its name.
        name: &'static str,
        /// `ran` or `said nothing`.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its last lines.
        output: String,
    },
}

impl ProgramFailure {
    /// The words of a program whose words are known.
    pub(super) fn said(&self) -> Option<(From, &str)> {
        match self {
            Self::Failed { name, output, .. } => Some((speaker(name)?, output)),
            _ => None,
        }
    }
}

fn speaker(name: &str) -> Option<From> {
    match name {
        "pg_rewind" => Some(From::Rewind),
        "pg_basebackup" => Some(From::Copy),
        _ => None,
    }
}

/// What its words mean, and the way out, where that is known.
fn meaning(name: &str, output: &str) -> String {
    let row = speaker(name).and_then(|by| classify::program(by, output));
    row.map_or_else(String::new, |row| format!("\n{}: {}", row.meaning, row.way_out))
}

/// One run of a program. It does not print itself: what it reads may be secret.
pub(super) struct Program {
    name: &'static str,
    path: PathBuf,
    command: Command,
    patience: Patience,
    input: Input,
}

enum Input {
    Nothing,
    /// Held open, never read: a lock that lives as long as any process of the program.
    Held(std::io::Result<File>),
    Text(String),
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Errors,
}

impl Program {
    pub(super) fn new(name: &'static str, path: PathBuf, patience: Patience) -> Self {
        let mut command = Command::new(&path);
        // A program of libpq takes settings from PG* variables; what Witch's own environment holds must not leak in. Its own settings may
        // hold secrets, which are no program's business.
        for (key, _) in
            std::env::vars_os().filter(|(key, _)| ["PG", "WITCH_"].iter().any(|begin| key.as_bytes().starts_with(begin.as_bytes())))
        {
            command.env_remove(key);
        }
        command.env("LC_ALL", "C").env_remove("LANGUAGE").process_group(0).kill_on_drop(true);
        Self { name, path, command, patience, input: Input::Nothing }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// The program and its children hold this file open as long as they live.
    pub(super) fn holding(mut self, lock: std::io::Result<File>) -> Self {
        self.input = Input::Held(lock);
        self
    }

    /// What it reads from standard input.
    pub(super) fn reading(mut self, text: String) -> Self {
        self.input = Input::Text(text);
        self
    }

    /// Runs it and hands over each line that it says.
    pub(super) async fn run(mut self, mut hear: impl FnMut(Stream, &str) + Send) -> Result<(), ProgramFailure> {
        let start = |source| ProgramFailure::Start { program: self.path.display().to_string(), source };
        let text = match self.input {
            Input::Nothing => {
                self.command.stdin(Stdio::null());
                None
            }
            Input::Held(lock) => {
                self.command.stdin(Stdio::from(lock.map_err(start)?));
                None
            }
            Input::Text(text) => {
                self.command.stdin(Stdio::piped());
                Some(text)
            }
        };
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(self.command.spawn().map_err(start)?);
        // The command holds a copy of the lock.
        drop(self.command);
        let name = self.name;
        let mut last = LastLines::default();
        let talk = converse(&mut running.0, text, self.patience, |stream, line| {
            last.push(line);
            hear(stream, line);
        });
        let end = match self.patience {
            Patience::Total(limit) => timeout(limit, talk).await.unwrap_or(Ending::TooLong("ran", limit)),
            Patience::Silence(_) => talk.await,
        };
        match end {
            Ending::Exited(Ok(status)) if status.success() => Ok(()),
            Ending::Exited(Ok(status)) => Err(ProgramFailure::Failed { name, status, output: last.text() }),
            Ending::Exited(Err(source)) => Err(ProgramFailure::Start { program: self.path.display().to_string(), source }),
            Ending::TooLong(what, limit) => Err(ProgramFailure::TooLong { name, what, seconds: limit.as_secs(), output: last.text() }),
        }
    }

    /// Runs it and answers its standard output.
    pub(super) async fn output(self) -> Result<String, ProgramFailure> {
        let mut output = String::new();
        self.run(|stream, line| {
            if stream == Stream::Output {
                output.push_str(line);
                output.push('\n');
            }
        })
        .await?;
        Ok(output)
    }
}

enum Ending {
    Exited(std::io::Result<ExitStatus>),
    TooLong(&'static str, Duration),
}

/// Feeds the program, hears it until both its streams end, and waits for it.
async fn converse(child: &mut Child, text: Option<String>, patience: Patience, mut hear: impl FnMut(Stream, &str)) -> Ending {
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), text) {
        // It fits into the pipe. A program that ends early closes its input; why it ended, it says itself.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let mut output = lines(child.stdout.take());
    let mut errors = lines(child.stderr.take());
    loop {
        let next = async {
            tokio::select! {
                Some(line) = output.next() => Said::Line(Stream::Output, line),
                Some(line) = errors.next() => Said::Line(Stream::Errors, line),
                else => Said::Exit(child.wait().await),
            }
        };
        let said = match patience {
            Patience::Total(_) => next.await,
            Patience::Silence(limit) => match timeout(limit, next).await {
                Ok(said) => said,
                Err(_) => return Ending::TooLong("said nothing", limit),
            },
        };
        match said {
            Said::Line(stream, Ok(line)) => hear(stream, &String::from_utf8_lossy(&line)),
            Said::Line(_, Err(error)) => tracing::warn!(%error, "a line of a program was not readable"),
            Said::Exit(status) => return Ending::Exited(status),
        }
    }
}

enum Said {
    Line(Stream, std::io::Result<BytesMut>),
    Exit(std::io::Result<ExitStatus>),
}

type Lines = Pin<Box<dyn futures::Stream<Item = std::io::Result<BytesMut>> + Send>>;

/// The lines of a stream; progress that overwrites itself counts as lines, too. What is too long of a line is left out.
#[derive(Debug, Default)]
struct BoundedLines {
    /// What has come of the line is looked through up to here.
    searched: usize,
    /// What comes up to its end is left out.
    skips: bool,
}

impl Decoder for BoundedLines {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, come: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        loop {
            let found = come.get(self.searched..).and_then(|new| new.iter().position(|byte| matches!(byte, b'\r' | b'\n')));
            let end = found.map_or(come.len(), |at| self.searched + at);
            self.searched = end;
            if found.is_none() && end < LINE_BYTES_MAX && !self.skips {
                return Ok(None);
            }
            let line = come.split_to(end);
            self.searched = 0;
            if found.is_some() {
                come.advance(1);
            }
            match (std::mem::replace(&mut self.skips, found.is_none()), found) {
                (false, _) => return Ok(Some(line)),
                (true, Some(_)) => {}
                (true, None) => return Ok(None),
            }
        }
    }

    fn decode_eof(&mut self, come: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        if let Some(line) = self.decode(come)? {
            return Ok(Some(line));
        }
        self.searched = 0;
        Ok(Some(come.split()).filter(|rest| !rest.is_empty() && !self.skips))
    }
}

fn lines(stream: Option<impl AsyncRead + Send + 'static>) -> Lines {
    match stream {
        Some(stream) => FramedRead::new(Box::pin(stream), BoundedLines::default()).boxed(),
        None => futures::stream::empty().boxed(),
    }
}

/// The last lines that a program said, without those of a progress display.
#[derive(Debug, Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.trim_end().chars().take(LAST_CHARS).collect());
    }

    fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// A running program. Dropped, it is killed with every process of its group.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // No id any more: it was waited for. Its children, if it left any, hold the lock until they end.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::clock::boottime;

    fn shell(script: &str, patience: Patience) -> Program {
        Program::new("sh", "/bin/sh".into(), patience).args(["-c", script])
    }

    #[tokio::test]
    async fn a_failure_quotes_the_last_words_and_progress_counts_as_lines() {
        let mut heard = Vec::new();
        let failed =
            shell("printf '10%%\\r20%%\\r'; sleep 0.2; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $i >&2; done; exit 3", SOON);
        let failure = failed.run(|stream, line| heard.push((stream, line.to_owned()))).await.unwrap_err().to_string();
        assert!(failure.contains("exit status: 3") && failure.ends_with("line 12\nline 13") && !failure.contains("line 1\n"), "{failure}");
        assert!(heard.contains(&(Stream::Output, "20%".into())), "{heard:?}");
    }

    /// `pg_waldump` shows a large message of a client whole, in one line.
    #[tokio::test]
    async fn the_rest_of_a_long_line_is_left_out_and_the_next_one_is_heard() {
        let mut heard = Vec::new();
        let long = shell("echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last; printf end", SOON);
        long.run(|_, line| heard.push(line.to_owned())).await.unwrap();
        assert_eq!(heard.iter().map(|line| line.chars().take(9).collect()).collect::<Vec<String>>(), ["first", "xxxxxxxxx", "last", "end"]);
        assert!(heard.iter().all(|line| line.len() <= 2 * LINE_BYTES_MAX));
    }

    #[tokio::test]
    async fn neither_a_silent_program_nor_its_children_outlive_its_time() {
        for patience in [Patience::Total(MOMENT), Patience::Silence(MOMENT)] {
            let begun = boottime();
            let mut child = String::new();
            let failure = shell("sleep 600 & echo $!; wait", patience).run(|_, line| child = line.to_owned()).await.unwrap_err();
            assert!(!child.is_empty(), "it was not even begun");
            assert!(matches!(failure, ProgramFailure::TooLong { .. }), "{failure}");
            assert!(boottime().since(begun) < Duration::from_secs(30));
            let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let deadline = boottime() + Duration::from_secs(30);
            while !state().is_empty() && !state().contains(") Z ") {
                assert!(boottime() < deadline, "the child of the program lives on: {}", state());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_the_program_reads_is_what_it_is_given() {
        assert_eq!(shell("cat", SOON).reading("one\ntwo\n".into()).output().await.unwrap(), "one\ntwo\n");
    }

    const SOON: Patience = Patience::Total(Duration::from_secs(60));
    const MOMENT: Duration = Duration::from_secs(2);
}
