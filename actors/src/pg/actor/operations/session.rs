//! The lasting connection to this node's server, and what is asked and ordered over it.

use super::Site;
use super::connection::{Connection, SqlFailure, Whom};
use super::slots::{self, Slot};
use super::{Failure, databases, rights};
use crate::model::{Endpoint, Lsn, NodeId, Position, Timeline};
use crate::pg::Settings;
use crate::pg::pins::Role;
use crate::pg::quoting::literal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryRow;

/// A lasting connection to this node's server as Witch's superuser, or as the replication role where that one is refused. Everything has a
/// deadline; after a time-out, or once the server has closed it, [`Session::is_closed`] holds and a new one has to be opened.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: Connection,
    /// Since when it is not the superuser's.
    makeshift: Option<Instant>,
}

/// What the server says of itself, in one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// It is read-only.
    pub in_recovery: bool,
    /// A primary: what it has written. A standby: what it has received, or replayed if that is more.
    pub position: Position,
    /// What a standby has received since it was started. None: nothing.
    pub received: Option<Lsn>,
    /// What a standby has replayed.
    pub replayed: Option<Lsn>,
    /// A standby's receiver, while it is connected.
    pub receiver: Option<Receiver>,
}

/// A standby's connection to its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its process: another connection is another process.
    pub pid: u32,
    /// It streams, and has heard from its upstream.
    pub streaming: bool,
    /// From whom.
    pub upstream: Option<Endpoint>,
    /// On which timeline.
    pub timeline: Timeline,
}

/// Everything that is reported, as one row. The subquery asks first whether the server is in recovery, since half of the functions fail
/// in the other state. A receiver calls itself streaming before its upstream has agreed (its slot may be missing, or the timeline not be
/// there); but until the first message comes, the times of sending and receipt are one and the same.
///
/// Without a receiver that streams (from 19 on one is there while it only connects) nothing says on which timeline the last received byte lies:
/// `pg_control` still names the timeline of the last checkpoint. The files tell it: of those that hold the place of that byte, the highest
/// timeline's was written last.
const OBSERVE: &str = "
    SELECT r.in_recovery,
           CASE WHEN NOT r.in_recovery THEN pg_catalog.pg_current_wal_lsn() END AS written,
           CASE WHEN NOT r.in_recovery THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END AS file,
           CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_receive_lsn() END AS received,
           CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_replay_lsn() END AS replayed,
           CASE WHEN r.in_recovery AND (w.pid IS NULL OR w.status OPERATOR(pg_catalog.<>) 'streaming') THEN (
               SELECT pg_catalog.max(('x' OPERATOR(pg_catalog.||) pg_catalog.substr(f.name, 1, 8))::pg_catalog.bit(32)::pg_catalog.int8)
                 FROM pg_catalog.pg_ls_waldir() AS f CROSS JOIN
                      (SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::pg_catalog.numeric AS segment_size,
                              greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                                  OPERATOR(pg_catalog.-) '0/1'::pg_catalog.pg_lsn AS last_byte) AS l CROSS JOIN
                      (SELECT '4294967296'::pg_catalog.numeric AS bytes) AS part
                WHERE f.name OPERATOR(pg_catalog.~) '^[0-9A-F]{24}$'
                  AND pg_catalog.lower(pg_catalog.substr(f.name, 9)) OPERATOR(pg_catalog.=) pg_catalog.concat(
                      pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.div(l.last_byte, part.bytes)::pg_catalog.int8), 8, '0'),
                      pg_catalog.lpad(pg_catalog.to_hex(
                          pg_catalog.div(pg_catalog.mod(l.last_byte, part.bytes), l.segment_size)::pg_catalog.int8), 8, '0'))
           ) END AS file_timeline,
           (SELECT c.timeline_id FROM pg_catalog.pg_control_checkpoint() AS c) AS checkpoint_timeline,
           (SELECT c.min_recovery_end_timeline FROM pg_catalog.pg_control_recovery() AS c) AS recovery_timeline,
           CASE WHEN w.pid IS NOT NULL
                THEN w.status OPERATOR(pg_catalog.=) 'streaming' AND coalesce(
                         w.last_msg_send_time OPERATOR(pg_catalog.<>) w.last_msg_receipt_time,
                         NOT (w.last_msg_send_time IS NULL AND w.last_msg_receipt_time IS NULL)) END AS streaming,
           w.sender_host, w.sender_port, w.received_tli, w.pid AS receiver
      FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery OFFSET 0) AS r LEFT JOIN pg_catalog.pg_stat_wal_receiver AS w ON true";

/// It ends only with the server, or with all processes but the postmaster, before the server recovers in place.
const CHECKPOINTER: &str = "
    SELECT a.pid FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.backend_type OPERATOR(pg_catalog.=) 'checkpointer'";

const SLOTS: &str = "
    SELECT s.slot_name, s.active, s.restart_lsn, coalesce(s.wal_status OPERATOR(pg_catalog.=) 'lost', false) AS lost,
           s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL AS holds_rows,
           CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() END AS replayed
      FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_replication_slots AS s
           ON s.slot_name OPERATOR(pg_catalog.~) '^witch_[0-9]+$' AND s.slot_type OPERATOR(pg_catalog.=) 'physical'";

impl Session {
    /// Opens it. The superuser may be locked (NOLOGIN, another password, no SUPERUSER): the replication role may ask nearly all that a node has to
    /// know of its own server, so that such a lock costs nobody the primary.
    ///
    /// # Errors
    /// The server cannot be reached, refuses both, or does not answer within the deadline.
    pub async fn open(site: &Site, within: Duration) -> Result<Self, SqlFailure> {
        let refused = match Connection::open(site, Whom::Local, within).await {
            Ok(connection) => return Ok(Self { connection, makeshift: None }),
            Err(refused) if refused.state().is_some() => refused,
            Err(failure) => return Err(failure),
        };
        let connection = Connection::open_as(site, Whom::Local, Role::Replication, within).await;
        connection.map(|connection| Self { connection, makeshift: Some(Instant::now()) }).map_err(|_| refused)
    }

    /// Whether it is the replication role's, and has been for that long.
    #[must_use]
    pub fn is_makeshift_for(&self, time: Duration) -> bool {
        self.makeshift.is_some_and(|since| since.elapsed() >= time)
    }

    /// Whether it is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Asks for everything that is reported, in one round trip.
    ///
    /// # Errors
    /// As with every query: no answer in time, a refusal, a broken connection.
    pub async fn observe(&mut self, within: Duration) -> Result<Observation, SqlFailure> {
        let what = "report how far it is";
        let row = self.connection.ask_one(what, OBSERVE, within).await?;
        let at = &self.connection;
        let in_recovery = at.column::<String>(what, &row, "in_recovery")? == "t";
        let received: Option<Lsn> = at.optional(what, &row, "received")?;
        let replayed: Option<Lsn> = at.optional(what, &row, "replayed")?;
        let receiver_timeline: Option<u32> = at.optional(what, &row, "received_tli")?;
        let position = if in_recovery {
            // A receiver that just started says less than what was replayed, or nothing.
            let timelines = [
                receiver_timeline,
                at.optional(what, &row, "file_timeline")?,
                at.optional(what, &row, "checkpoint_timeline")?,
                at.optional(what, &row, "recovery_timeline")?,
            ];
            Position {
                timeline: Timeline(timelines.into_iter().flatten().max().unwrap_or_default()),
                lsn: received.max(replayed).unwrap_or_default(),
            }
        } else {
            Position { timeline: self.timeline_of_file(what, &row)?, lsn: at.column(what, &row, "written")? }
        };
        let receiver = at.optional::<String>(what, &row, "streaming")?.map(|streaming| -> Result<Receiver, SqlFailure> {
            let host: Option<String> = at.optional(what, &row, "sender_host")?;
            let port: Option<u16> = at.optional(what, &row, "sender_port")?;
            let upstream = host.zip(port).map(|(host, port)| Endpoint { host, port });
            Ok(Receiver {
                pid: at.column(what, &row, "receiver")?,
                streaming: streaming == "t",
                upstream,
                timeline: Timeline(receiver_timeline.unwrap_or_default()),
            })
        });
        Ok(Observation { in_recovery, position, received, replayed, receiver: receiver.transpose()? })
    }

    /// Asks for the process id of the checkpointer. None: there is none yet.
    ///
    /// # Errors
    /// As with every query.
    pub async fn checkpointer(&mut self, within: Duration) -> Result<Option<u32>, SqlFailure> {
        let what = "name its checkpointer";
        let row = self.connection.ask_one(what, CHECKPOINTER, within).await?;
        self.connection.optional(what, &row, "pid")
    }

    /// The timeline in the name of the log file that is being written.
    fn timeline_of_file(&self, what: &'static str, row: &SimpleQueryRow) -> Result<Timeline, SqlFailure> {
        let file: String = self.connection.column(what, row, "file")?;
        let number = file.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.map(Timeline).ok_or_else(|| self.connection.unexpected(what, file))
    }

    /// Runs a statement and answers its rows.
    pub(super) async fn ask(&mut self, what: &'static str, sql: &str, within: Duration) -> Result<Vec<SimpleQueryRow>, SqlFailure> {
        self.connection.ask(what, sql, within).await
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// As with every query.
    pub async fn checkpoint(&mut self, within: Duration) -> Result<(), SqlFailure> {
        self.connection.ask("write a checkpoint", "CHECKPOINT", within).await.map(drop)
    }

    /// The database that it is connected to.
    #[must_use]
    pub fn database(&self) -> &str {
        self.connection.database()
    }

    /// Notes what other databases there are, for the day on which the usual one is gone.
    ///
    /// # Errors
    /// As with every query; or the note cannot be written.
    pub async fn note_databases(&mut self, site: &Site, within: Duration) -> Result<(), Failure> {
        databases::note(site, &mut self.connection, within).await
    }

    /// Grants on a primary what the replication role lacks, for a database that was adopted before Witch granted it, or when another
    /// database than the usual one is entered. Answers how many rights.
    ///
    /// # Errors
    /// As with every query.
    pub async fn ensure_rights(&mut self, site: &Site, within: Duration) -> Result<usize, SqlFailure> {
        rights::ensure(site, &mut self.connection, within).await
    }

    /// Sees to it that every other data node has its slot here, and nobody who is none; on a standby, moves the slots to what it has
    /// replayed, so that they do not keep the log for ever. `data_nodes` may contain this node. Answers which failover slots of a standby
    /// are its own.
    ///
    /// # Errors
    /// As with every query.
    pub async fn ensure_slots(
        &mut self,
        own: NodeId,
        data_nodes: &BTreeSet<NodeId>,
        within: Duration,
    ) -> Result<Option<String>, SqlFailure> {
        let what = "keep the replication slots in order";
        let mut slots = BTreeMap::new();
        let mut replayed = None;
        for row in self.connection.ask(what, SLOTS, within).await? {
            replayed = self.connection.optional(what, &row, "replayed")?;
            let Some(name) = self.connection.optional::<String>(what, &row, "slot_name")? else { continue };
            let is = |column| self.connection.column::<String>(what, &row, column).map(|text| text == "t");
            let slot = Slot {
                active: is("active")?,
                lost: is("lost")?,
                holds_rows: is("holds_rows")?,
                restart: self.connection.optional(what, &row, "restart_lsn")?,
            };
            slots.insert(name, slot);
        }
        for statement in slots::plan(own, data_nodes, &slots, replayed) {
            self.connection.ask(what, &statement, within).await?;
        }
        let row = self.connection.ask_one(what, slots::CLASHING, within).await?;
        self.connection.optional(what, &row, "names")
    }

    /// Ends the connections of standbys called `witch_<n>` that are no data nodes of this cluster. Answers how many.
    ///
    /// # Errors
    /// As with every query.
    pub async fn terminate_foreign_walsenders(&mut self, data_nodes: &BTreeSet<NodeId>, within: Duration) -> Result<u64, SqlFailure> {
        let known: Vec<String> = data_nodes.iter().map(|node| literal(&Settings::slot_of(*node))).collect();
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(r.pid) FROM pg_catalog.pg_stat_replication AS r
              WHERE r.application_name OPERATOR(pg_catalog.~) '^witch_[0-9]+$'
                AND NOT r.application_name OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.text[])",
            known.join(", ")
        );
        let ended = self.connection.ask("end the connections of strangers", &sql, within).await?;
        Ok(ended.len() as u64)
    }
}
