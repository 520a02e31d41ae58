//! Files that a running server does without, and the next start, copy or rewind does not.

use super::Row;
use crate::model::Bar;

/// The running server has read something else, or read it before.
pub static NEXT_START: Row = Row {
    id: "next-start-fails",
    sign: "`postgresql.conf:12: syntax error in file ...`, `pg_hba.conf:7: invalid authentication method \"scram\"`, `shared_preload_libraries: no \
           file of pg_cron in /usr/lib/postgresql/15/lib`, `ssl_key_file server.key can be read by others`",
    meaning: "the running server goes on with what it has read before, and would not start again: not after a crash, and not as a standby after a \
              switchover, which is refused for that",
    bars: Bar::AmongEquals,
    way_out: "mend what is named, then SELECT pg_reload_conf()",
};

/// What a copy or a rewind would fail at.
pub static UNREADABLE: Row = Row {
    id: "unreadable-files",
    sign: "`lost+found in the data directory belongs to root`",
    meaning: "a copy of this database fails at what its server cannot read or list, and so does a rewind of it",
    bars: Bar::Nothing,
    way_out: "give it to the server's user (chown), or move it out; where the data directory is the root of a file system, a folder in it is the \
              better data directory",
};

/// Somebody else starts a server on the same directory.
pub static OTHER_STARTER: Row = Row {
    id: "started-by-others",
    sign: "`/etc/postgresql/15/main/start.conf says auto`",
    meaning: "at the next boot, or when the package is upgraded, the distribution starts this database without Witch: after a failover that is a second \
              primary that nobody fences",
    bars: Bar::Nothing,
    way_out: "write `disabled` into that file, and systemctl disable --now postgresql@VERSION-NAME",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&NEXT_START, &UNREADABLE, &OTHER_STARTER];
