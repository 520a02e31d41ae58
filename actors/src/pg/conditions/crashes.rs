//! What happens when a process of a server is ended and the server is not.

use super::Row;
use crate::model::Bar;

/// It recovers in place.
pub static IN_PLACE: Row = Row {
    id: "recovers-in-place",
    sign: "every session was ended (SQLSTATE 57P02), and new ones are refused (57P03) by a server whose postmaster lives on",
    meaning: "one of its processes crashed or was killed, so PostgreSQL ended all others and replays its log; that counts as a death of the server, and a \
              primary that is not back within start_timeout_ms, or crashes again and again, makes way for a standby",
    bars: Bar::Nothing,
    way_out: "wait, and see what ended the process: the server's log names it and its signal, and after signal 9 the kernel's log (`dmesg`) says whether \
              the host ran out of memory",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&IN_PLACE];
