//! What keeps a standby from replaying, or a server from stopping or being promoted.

use super::Row;
use crate::model::Bar;

/// Nobody knows why.
pub static STANDS_STILL: Row = Row {
    id: "replay-stands-still",
    sign: "the standby receives log and replays none of it, or the process that replays is stopped",
    meaning: "a promotion would wait for it, so others are appointed first",
    bars: Bar::LastChoice,
    way_out: "see what its startup process does (`ps`, the server's log); restart the standby if that says nothing",
};
/// Readers stand against it.
pub static HELD_BY_READERS: Row = Row {
    id: "replay-held-by-readers",
    sign: "the startup process waits in a recovery conflict, as with max_standby_streaming_delay = -1",
    meaning: "readers of this standby keep it from replaying; they are ended if it is to be the primary",
    bars: Bar::Nothing,
    way_out: "end the sessions with the oldest transactions in pg_stat_activity, or lower max_standby_streaming_delay",
};
/// Somebody paused it.
pub static PAUSED: Row = Row {
    id: "replay-paused",
    sign: "pg_is_wal_replay_paused() says true",
    meaning: "somebody paused the replay, and a promotion would first have to catch up, so others are appointed before this node",
    bars: Bar::LastChoice,
    way_out: "let it go on: SELECT pg_catalog.pg_wal_replay_resume()",
};
/// Somebody wants it late.
pub static DELAYED: Row = Row {
    id: "replay-delayed",
    sign: "recovery_min_apply_delay is set",
    meaning: "a promotion would first have to replay all that was held back, so others are appointed before this node",
    bars: Bar::LastChoice,
    way_out: "tag the node nofailover if it is never to be the primary, or set recovery_min_apply_delay to 0",
};
/// The primary's settings were raised.
pub static NEEDS_ROOM: Row = Row {
    id: "replay-needs-room",
    sign: "the replay is paused, and pg_controldata shows a higher max_connections, max_worker_processes, max_wal_senders, \
           max_prepared_transactions or max_locks_per_transaction than the standby runs with",
    meaning: "the primary has more room for something than this standby was started with, and promoted like that the server would end itself",
    bars: Bar::Promotion,
    way_out: "nothing: Witch restarts the standbys with enough room, one after the other",
};

/// It replays, and lets nobody in yet.
pub static NOT_OPEN: Row = Row {
    id: "standby-not-open",
    sign: "the standby answers logins with SQLSTATE 57P03, and has all the log that it needs to be consistent",
    meaning: "it still replays what it has, or waits for the end of a transaction of the primary with more than 64 subtransactions; it streams and can be \
              promoted, and others are appointed before this node",
    bars: Bar::LastChoice,
    way_out: "wait for its replay; if that has come to its end, let the long transactions on the primary end",
};
/// It lacks log.
pub static NOT_CONSISTENT: Row = Row {
    id: "standby-not-consistent",
    sign: "the standby answers logins with SQLSTATE 57P03, and its log ends before pg_controldata's minimum recovery ending location",
    meaning: "it was rewound or copied, and the rest of the log that makes it whole has not come yet; promoted like that the server would end itself",
    bars: Bar::Promotion,
    way_out: "nothing, if a primary can be reached: it gets the rest from there, or is rewound or cloned; if this copy is all that is left, restore a \
              backup",
};

/// A command that PostgreSQL waits for.
pub static RESTORE_HANGS: Row = Row {
    id: "restore-command-hangs",
    sign: "`restore_command or recovery_end_command (process 4711) has stood still for 75 s`",
    meaning: "restore_command does not come to its end, and until then this standby neither replays, streams nor hears of a promotion; to be promoted, \
              or to stream if that is due, the server is started anew without it",
    bars: Bar::LastChoice,
    way_out: "see why the archive does not answer, and have the command give up by itself (`timeout 30 ...`); once it ends, the standby goes on",
};
/// The others.
pub static COMMAND_HANGS: Row = Row {
    id: "command-hangs",
    sign: "`archive_command (process 4711) has stood still for 75 s`, or archive_cleanup_command",
    meaning: "archive_command, or archive_cleanup_command on a standby, does not come to its end: the log is not archived and piles up in pg_wal, or \
              this standby makes no restart points; at a stop and at a promotion it is ended",
    bars: Bar::Nothing,
    way_out: "see why the archive does not answer, and have the command give up by itself (`timeout 30 ...`)",
};

/// What became of one.
pub static WITHOUT_COMMANDS: Row = Row {
    id: "started-without-commands",
    sign: "the server's command line sets restore_command to nothing",
    meaning: "restore_command or recovery_end_command hung, so Witch started this server without restore_command, recovery_end_command and \
              archive_cleanup_command; it streams, and fetches nothing from the archive",
    bars: Bar::Nothing,
    way_out: "mend the command; it counts again from the next start of this server",
};

/// One that does nothing, and says nothing of it.
pub static HALTED: Row = Row {
    id: "process-stopped",
    sign: "`postgres: ...: walwriter` (process 4711) is stopped, or held by a debugger",
    meaning: "somebody stopped this process of the server (SIGSTOP, gdb, strace), and whoever needs it waits; at a stop and at a promotion Witch \
              lets it go on, unless a debugger holds it",
    bars: Bar::LastChoice,
    way_out: "end the debugger, or send the process SIGCONT",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[
    &STANDS_STILL,
    &HELD_BY_READERS,
    &PAUSED,
    &DELAYED,
    &NEEDS_ROOM,
    &NOT_OPEN,
    &NOT_CONSISTENT,
    &RESTORE_HANGS,
    &COMMAND_HANGS,
    &WITHOUT_COMMANDS,
    &HALTED,
];
