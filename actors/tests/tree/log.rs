//! What this test logs, stamped with the virtual time, in memory: a test reads it, and a wait that comes to nothing shows its end.

use super::illness::FELL_ILL;
use super::wait;
use actors::tree::clock::Clock;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::sync::Once;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// How much of its end is shown.
const SHOWN: usize = 60;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
}

/// Begins a log of its own for the test on this thread.
pub(crate) fn begin(clock: Clock) {
    static GLOBAL: Once = Once::new();
    GLOBAL.call_once(|| tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).with_target(false).with_timer(Virtual).init());
    CLOCK.set(Some(clock));
    TEXT.take();
    wait::begin();
}

/// Every line of it.
pub(crate) fn lines() -> Vec<String> {
    TEXT.with_borrow(|text| text.lines().map(str::to_owned).collect())
}

/// Its last lines.
pub(crate) fn end() -> String {
    let lines = lines();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

struct Virtual;

impl FormatTime for Virtual {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        CLOCK.get().map_or(Ok(()), |clock| write!(w, "{:?}", clock.now()))
    }
}

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains("an actor died") && !line.contains(FELL_ILL) && !line.contains("killed") {
            wait::never(format!("an actor died by itself: {line}"));
        }
        TEXT.with_borrow_mut(|text| text.push_str(&line));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
