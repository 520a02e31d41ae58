//! Who is sent the log, and what keeps a standby from replaying it.

use super::Session;
use super::connection::SqlFailure;
use crate::model::Lsn;
use crate::pg::Hold;
use crate::pg::control::CAPACITIES;
use std::time::Duration;

/// A process that sends the log to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The process.
    pub pid: u32,
    /// What the receiver calls itself.
    pub name: String,
    /// Where that one is.
    pub client: String,
    /// It is sent rows, not blocks. A server that shuts down writes no checkpoint before such a receiver has taken all of them.
    pub logical: bool,
    /// What the receiver says that it has on its disk.
    pub flushed: Option<Lsn>,
    /// What it says that it has replayed.
    pub replayed: Option<Lsn>,
}

/// What a standby's server says of its replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The process that replays.
    pub startup: Option<u32>,
    /// What holds it up, as far as the server knows. For want of room a replay is paused as by hand.
    pub hold: Option<Hold>,
    /// What the running server has room for, in the order of [`CAPACITIES`].
    pub room: [u32; CAPACITIES.len()],
}

const SENDERS: &str = "
    SELECT r.pid, r.application_name AS name, pg_catalog.host(r.client_addr) AS client, r.flush_lsn AS flushed, r.replay_lsn AS replayed,
           EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s
                    WHERE s.active_pid OPERATOR(pg_catalog.=) r.pid AND s.slot_type OPERATOR(pg_catalog.=) 'logical'::pg_catalog.text) AS logical
      FROM pg_catalog.pg_stat_replication AS r";

/// The process that replays shows what it waits for. While a conflict lasts it sleeps for up to a second between two looks.
const REPLAY: &str = "
    SELECT pg_catalog.pg_is_wal_replay_paused() AS paused, a.pid AS startup, a.wait_event_type, a.wait_event,
           pg_catalog.current_setting('recovery_min_apply_delay'::pg_catalog.text) AS delay,
           pg_catalog.current_setting('max_connections'::pg_catalog.text) AS max_connections,
           pg_catalog.current_setting('max_worker_processes'::pg_catalog.text) AS max_worker_processes,
           pg_catalog.current_setting('max_wal_senders'::pg_catalog.text) AS max_wal_senders,
           pg_catalog.current_setting('max_prepared_transactions'::pg_catalog.text) AS max_prepared_transactions,
           pg_catalog.current_setting('max_locks_per_transaction'::pg_catalog.text) AS max_locks_per_transaction
      FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.backend_type OPERATOR(pg_catalog.=) 'startup'::pg_catalog.text";

/// What the process that replays waits for once there is no whole record left, while a receiver is at work.
const AWAITS_LOG: &str = "RecoveryWalStream";

/// Ends whoever holds the replay up: of a conflict over a snapshot nobody outside of the replay knows how old the snapshot may be, so every reader
/// that has one goes; of one over a lock, those who hold that lock; of one over a page, whoever is in a transaction.
const END_READERS: &str = "
    SELECT b.pid, b.usename AS role, b.application_name AS name, pg_catalog.pg_terminate_backend(b.pid)
      FROM pg_catalog.pg_stat_activity AS a, pg_catalog.pg_stat_activity AS b
     WHERE a.backend_type OPERATOR(pg_catalog.=) 'startup'::pg_catalog.text AND b.backend_type OPERATOR(pg_catalog.=) 'client backend'::pg_catalog.text
       AND b.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
       AND CASE WHEN a.wait_event_type OPERATOR(pg_catalog.=) 'Lock'::pg_catalog.text
                THEN EXISTS (SELECT FROM pg_catalog.pg_locks AS w, pg_catalog.pg_locks AS h
                              WHERE w.pid OPERATOR(pg_catalog.=) a.pid AND NOT w.granted AND h.granted AND h.pid OPERATOR(pg_catalog.=) b.pid
                                AND h.database OPERATOR(pg_catalog.=) w.database AND h.relation OPERATOR(pg_catalog.=) w.relation)
                WHEN a.wait_event_type OPERATOR(pg_catalog.=) 'BufferPin'::pg_catalog.text THEN b.xact_start IS NOT NULL
                ELSE a.wait_event OPERATOR(pg_catalog.~~) 'RecoveryConflict%'::pg_catalog.text AND b.backend_xmin IS NOT NULL END";

/// Without a command or a library for it nothing is archived, whatever `archive_mode` says; before 15 there is no library.
const SWITCH: &str = "
    SELECT CASE WHEN pg_catalog.current_setting('archive_mode'::pg_catalog.text) OPERATOR(pg_catalog.<>) 'off'::pg_catalog.text
                 AND pg_catalog.concat(pg_catalog.current_setting('archive_command'::pg_catalog.text, true),
                                       pg_catalog.current_setting('archive_library'::pg_catalog.text, true)) OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                THEN pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal()) END AS segment";

impl Session {
    /// How far the log is on the disk of a primary.
    ///
    /// # Errors
    /// As with every query.
    pub async fn flushed(&mut self, within: Duration) -> Result<Lsn, SqlFailure> {
        let what = "say how far its log is";
        let row = self.connection.ask_one(what, "SELECT pg_catalog.pg_current_wal_flush_lsn() AS flushed", within).await?;
        self.connection.column(what, &row, "flushed")
    }

    /// Ends the segment of the log that is being written, and names it. None: nobody archives it.
    ///
    /// # Errors
    /// As with every query.
    pub async fn switch_segment(&mut self, within: Duration) -> Result<Option<String>, SqlFailure> {
        let what = "hand a segment to its archiver";
        let row = self.connection.ask_one(what, SWITCH, within).await?;
        Ok(row.get("segment").map(str::to_owned))
    }

    /// To whom the server sends its log.
    ///
    /// # Errors
    /// As with every query.
    pub async fn senders(&mut self, within: Duration) -> Result<Vec<Sender>, SqlFailure> {
        let what = "say whom it sends its log to";
        let rows = self.connection.ask(what, SENDERS, within).await?;
        let at = &self.connection;
        let sender = |row| {
            Ok(Sender {
                pid: at.column(what, row, "pid")?,
                name: at.optional(what, row, "name")?.unwrap_or_default(),
                client: at.optional(what, row, "client")?.unwrap_or_default(),
                logical: at.column::<String>(what, row, "logical")? == "t",
                flushed: at.optional(what, row, "flushed")?,
                replayed: at.optional(what, row, "replayed")?,
            })
        };
        rows.iter().map(sender).collect()
    }

    /// Ends these processes of the server. One whose receiver takes nothing is busy saying goodbye to it, and goes when it is told once more.
    ///
    /// # Errors
    /// As with every query.
    pub async fn end_backends(&mut self, pids: &[u32], within: Duration) -> Result<(), SqlFailure> {
        let calls: Vec<String> = pids.iter().map(|pid| format!("pg_catalog.pg_terminate_backend({pid})")).collect();
        if calls.is_empty() {
            return Ok(());
        }
        self.connection.ask("end those who do not keep up", &format!("SELECT {}", calls.join(", ")), within).await.map(drop)
    }

    /// What holds a standby's replay up.
    ///
    /// # Errors
    /// As with every query.
    pub async fn replay(&mut self, within: Duration) -> Result<Replay, SqlFailure> {
        let what = "say how its replay goes on";
        let row = self.connection.ask_one(what, REPLAY, within).await?;
        let at = &self.connection;
        let text = |name| at.optional::<String>(what, &row, name).map(Option::unwrap_or_default);
        let (kind, event) = (text("wait_event_type")?, text("wait_event")?);
        let conflict = matches!(kind.as_str(), "Lock" | "BufferPin") || event.starts_with("RecoveryConflict");
        let mut room = [0; CAPACITIES.len()];
        for (room, (name, _)) in room.iter_mut().zip(CAPACITIES) {
            *room = at.column(what, &row, name)?;
        }
        let hold = match (text("paused")? == "t", conflict, text("delay")?.as_str()) {
            (true, _, _) => Some(Hold::Pause),
            (_, true, _) => Some(Hold::Readers),
            (_, _, "0") if event == AWAITS_LOG => Some(Hold::Rest),
            (_, _, "0") => None,
            _ => Some(Hold::Delay),
        };
        Ok(Replay { startup: at.optional(what, &row, "startup")?, hold, room })
    }

    /// Ends the readers that hold a standby's replay up, and answers who they were.
    ///
    /// # Errors
    /// As with every query.
    pub async fn end_readers(&mut self, within: Duration) -> Result<Vec<String>, SqlFailure> {
        let what = "end the readers that hold its replay up";
        let rows = self.connection.ask(what, END_READERS, within).await?;
        let at = &self.connection;
        let reader = |row| {
            let text = |name| at.optional::<String>(what, row, name).map(Option::unwrap_or_default);
            Ok(format!("{} of {} (process {})", text("name")?, text("role")?, text("pid")?))
        };
        rows.iter().map(reader).collect()
    }

    /// Lets a replay go on that somebody paused.
    ///
    /// # Errors
    /// As with every query.
    pub async fn resume_replay(&mut self, within: Duration) -> Result<(), SqlFailure> {
        self.connection.ask("let its replay go on", "SELECT pg_catalog.pg_wal_replay_resume()", within).await.map(drop)
    }
}
