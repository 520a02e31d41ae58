//! Lines on their way to standard error, by a thread of their own.
//!
//! A log can stand still: a journal whose disk hangs, a terminal on which somebody pressed ^S. The node must not stand still with it, so a
//! line that finds no room is dropped, counted, and its loss told as soon as lines are taken again.

use actors::printable::is_obeyed;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many lines may wait: more than a node says in minutes.
const LINES_MAX: usize = 1024;
/// The process waits so long at its end for the last lines to be taken.
const REST_MAX: Duration = Duration::from_millis(500);

/// Takes lines and never waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    /// So many found no room since that was told.
    lost: u64,
    /// The thread is writing what it took.
    writing: bool,
}

/// The lines that are still on their way; dropping it waits for them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Rest(Queue);

impl Lines {
    fn is_idle(&mut self) -> bool {
        self.waiting.is_empty() && self.lost == 0
    }
}

impl Queue {
    /// Begins to write to `sink`. `tell` words the loss of so many lines.
    pub(super) fn start(sink: impl Write + Send + 'static, tell: fn(u64) -> String) -> io::Result<(Self, Rest)> {
        let queue = Self::default();
        let taken = queue.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || taken.write_down(sink, tell))?;
        Ok((queue.clone(), Rest(queue)))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for the end of this but the end of the process.
    fn write_down(&self, mut sink: impl Write, tell: fn(u64) -> String) {
        let changed = &self.0.1;
        loop {
            let (line, lost) = {
                let mut lines = changed.wait_while(self.lines(), Lines::is_idle).unwrap_or_else(PoisonError::into_inner);
                lines.writing = true;
                (lines.waiting.pop_front(), take(&mut lines.lost))
            };
            let lost = (lost > 0).then(|| tell(lost).into_bytes());
            for text in line.into_iter().chain(lost) {
                // There is nobody to tell that the log cannot be written.
                let _ = sink.write_all(&text);
            }
            self.lines().writing = false;
            changed.notify_all();
        }
    }
}

impl Write for Queue {
    /// The formatter writes each line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let one = one_line(line);
        let mut lines = self.lines();
        if lines.waiting.len() < LINES_MAX {
            lines.waiting.push_back(one);
        } else {
            lines.lost += 1;
        }
        self.0.1.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is said stays on the line that it is said on, whoever's words are in it: only its last sign ends it. (The formatter escapes the signs
/// that a terminal obeys, but not the ends of lines, nor those that turn the direction of writing or have no width.)
fn one_line(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
    // The formatter's own colours begin with an escape.
    let is_kept = |sign: char| sign == '\u{1b}' || sign == '\t' || !is_obeyed(sign);
    let plain = text.chars().map(|sign| {
        if is_kept(sign) {
            sign
        } else if sign == '\n' {
            ' '
        } else {
            '?'
        }
    });
    plain.chain(end.chars()).collect::<String>().into_bytes()
}

impl Drop for Rest {
    fn drop(&mut self) {
        // Lines that are not taken by then are lost, like everything else that nobody reads.
        let _ = self.0.0.1.wait_timeout_while(self.0.lines(), REST_MAX, |lines| lines.writing || !lines.is_idle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender};

    /// Takes nothing until it is released.
    struct Stalled {
        released: Receiver<()>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Stalled {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // The other end is dropped when it is released.
            let _ = self.released.recv();
            self.text.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stalled() -> (Queue, Rest, Sender<()>, Arc<Mutex<String>>) {
        let (release, released) = std::sync::mpsc::channel();
        let text = Arc::<Mutex<String>>::default();
        let (queue, rest) = Queue::start(Stalled { released, text: Arc::clone(&text) }, |lines| format!("lost {lines}\n")).unwrap();
        (queue, rest, release, text)
    }

    #[test]
    fn nobody_writes_a_line_of_their_own() {
        let forged = "WARN a name \n2026-01-01 ERROR forged\u{202e}\u{2028}\r\n";
        assert_eq!(one_line(forged.as_bytes()), b"WARN a name  2026-01-01 ERROR forged???\n");
        assert_eq!(one_line("\u{1b}[33mWARN\u{1b}[0m gr\u{fc}n\n".as_bytes()), "\u{1b}[33mWARN\u{1b}[0m gr\u{fc}n\n".as_bytes());
    }

    #[test]
    fn a_log_that_stands_still_holds_nobody_up_and_tells_what_it_lost() {
        let (mut queue, rest, release, text) = stalled();
        for line in 0..3 * LINES_MAX {
            queue.write_all(format!("line {line}\n").as_bytes()).unwrap();
        }
        drop(release);
        drop(rest);
        let text = text.lock().unwrap();
        let kept = text.lines().filter(|line| line.starts_with("line ")).count();
        let lost: usize = text.lines().filter_map(|line| line.strip_prefix("lost ")?.parse::<usize>().ok()).sum();
        assert!(text.starts_with("line 0\n") && (LINES_MAX..=LINES_MAX + 1).contains(&kept), "{kept} lines");
        assert_eq!(kept + lost, 3 * LINES_MAX);
    }

    #[test]
    fn the_end_of_the_process_waits_for_the_last_lines_but_not_for_ever() {
        let (mut queue, rest, release, text) = stalled();
        queue.write_all(b"last\n").unwrap();
        drop(release);
        drop(rest);
        assert_eq!(*text.lock().unwrap(), "last\n");

        let (mut queue, rest, _stalled, text) = stalled();
        queue.write_all(b"last\n").unwrap();
        drop(rest);
        assert_eq!(*text.lock().unwrap(), "");
    }
}
