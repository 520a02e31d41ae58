//! What a change of role, a restore or a former member left behind.

use super::Row;
use crate::model::Bar;

/// Clients may not write unless they ask for it.
pub static READ_ONLY: Row = Row {
    id: "read-only-by-default",
    sign: "`default_transaction_read_only = on for the whole server`",
    meaning: "the primary refuses the writes of every client that does not say otherwise, and looks healthy all the same",
    bars: Bar::Nothing,
    way_out: "ALTER SYSTEM RESET default_transaction_read_only, or take it out of postgresql.conf, and reload",
};

/// The database does not survive its host.
pub static UNSAFE: Row = Row {
    id: "unsafe-setting",
    sign: "`fsync = off`",
    meaning: "after a crash of its host this database may be corrupt without anybody noticing, and is copied as it is to the others",
    bars: Bar::Nothing,
    way_out: "set fsync = on and reload",
};

/// A program that each promotion waits for.
pub static RECOVERY_END: Row = Row {
    id: "recovery-end-command",
    sign: "`recovery_end_command is set`",
    meaning: "a restore left it: every promotion runs this program first, and accepts no writes before it ends",
    bars: Bar::Nothing,
    way_out: "take it out unless it is meant",
};

/// Slots are to be synchronised and cannot be.
pub static SLOT_SYNC: Row = Row {
    id: "slot-sync-incomplete",
    sign: "`sync_replication_slots = on and hot_standby_feedback = off`",
    meaning: "failover slots are not synchronised to this node, and are gone after a failover to it",
    bars: Bar::Nothing,
    way_out: "take the line for hot_standby_feedback out: it is on by itself where slots are synchronised",
};

/// A slot of a former primary.
pub static SLOT_NAME_CLASH: Row = Row {
    id: "slot-sync-name-clash",
    sign: "`the failover slots orders, billing of this standby are its own, from when it was the primary`",
    meaning: "the synchronisation of failover slots ends at the first such name, so that none after it arrives here, and it holds vacuum back",
    bars: Bar::Nothing,
    way_out: "once the subscriber follows the new primary, drop it here: SELECT pg_drop_replication_slot('name')",
};

/// Segments that only a former primary could have archived.
pub static UNARCHIVED: Row = Row {
    id: "archive-gap",
    sign: "`23 files of a standby wait for the archive`",
    meaning: "it was the primary and had not archived them when its role changed; with archive_mode = on a standby archives nothing, so the archive may \
              have a hole",
    bars: Bar::Nothing,
    way_out: "see whether the archive has them (pg_wal/archive_status/*.ready) and copy what is missing by hand, or take a new base backup",
};

/// A file that the next start obeys.
pub static BACKUP_LABEL: Row = Row {
    id: "backup-label-left",
    sign: "`backup_label` lies in the directory of a running server",
    meaning: "a backup tool or a restore left it, or an exclusive backup (14 and before) goes on; the next start replays from where that backup began, \
              and does not come up if that log is gone",
    bars: Bar::Nothing,
    way_out: "end the backup (pg_stop_backup) if one goes on; otherwise move the file out of the data directory, while the server runs",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&READ_ONLY, &UNSAFE, &RECOVERY_END, &SLOT_SYNC, &SLOT_NAME_CLASH, &UNARCHIVED, &BACKUP_LABEL];
