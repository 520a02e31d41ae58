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

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&STANDS_STILL, &HELD_BY_READERS, &PAUSED, &DELAYED, &NEEDS_ROOM, &NOT_OPEN, &NOT_CONSISTENT];
