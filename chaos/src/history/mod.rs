//! The history of a run: one JSON object a line, in the order in which the harness got to know.
//!
//! Every line has `at`, an instant in microseconds on `CLOCK_BOOTTIME` of the machine that ran it, and `event`, which says what else there is;
//! the events are the variants of [`Event`], in snake case. The checkers and the report read nothing else, so both can be made again from
//! a saved file.

mod recorder;

pub use recorder::Recorder;

use crate::invariants::Acknowledgement;
use crate::nemesis::Schedule;
use actors::machine::Timestamp;
use actors::model::{Epoch, Lsn, NodeId, Term, Timeline};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The form of what follows; a reader refuses another one.
pub const SCHEMA: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the harness knew.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can stand on a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line.
    Began(Box<Setting>),
    /// The nemesis did something. `step` counts from 0 in the schedule.
    Inflicted {
        /// Of the schedule.
        step: usize,
        /// In words, for the report.
        title: String,
        /// When it began; an operator's command is written down when it was answered.
        began: Timestamp,
        /// The victims.
        nodes: Vec<NodeId>,
        /// What came of it, if there is something to say: an operator's answer, say.
        remark: Option<String>,
    },
    /// The nemesis could not do it.
    Spared {
        /// Of the schedule.
        step: usize,
        /// In words, for the report.
        title: String,
        /// The reason.
        why: String,
    },
    /// What the nemesis broke is whole again; the cluster may still have to recover.
    Repaired {
        /// Of the schedule.
        step: usize,
    },
    /// A daemon had ended without the nemesis and was started again, as an init would.
    Revived {
        /// The node.
        node: NodeId,
    },
    /// A database acknowledged a change.
    Acknowledged {
        /// Which change.
        change: Change,
        /// The client, a number of its own.
        client: u32,
        /// By whom and when.
        #[serde(flatten)]
        stamp: Stamp,
        /// Where its log was by then.
        lsn: Lsn,
    },
    /// Nobody knows what became of a change: the statement failed or ran out of time.
    Unsure {
        /// Which change.
        change: Change,
    },
    /// A database answered with a list.
    List {
        /// Which list.
        key: i32,
        /// What was in it.
        items: Vec<i64>,
        /// By whom and when. Only the primary is asked.
        #[serde(flatten)]
        stamp: Stamp,
    },
    /// A database, primary or standby, answered with the sum of all accounts.
    Total {
        /// The sum.
        total: i64,
        /// This database.
        node: NodeId,
        /// Whether it was a standby.
        in_recovery: bool,
    },
    /// What a daemon said of itself.
    Looked {
        /// The daemon.
        node: NodeId,
        /// None: it did not answer.
        look: Option<Look>,
    },
    /// An entry of Witch's own history.
    Decided {
        /// The entry.
        entry: actors::model::Event,
    },
    /// The last line but the lines of the logs: what the database held when all was quiet.
    Ended(Box<End>),
}

/// What the run was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// `SCHEMA`.
    pub schema: u32,
    /// `witch --version`.
    pub witch: String,
    /// `postgres --version`.
    pub postgres: String,
    /// The kind of hosts.
    pub hosts: String,
    /// Id and name of each node, in the order of their places.
    pub nodes: Vec<(NodeId, String)>,
    /// What should always be in all accounts together.
    pub total: i64,
    /// What an unplanned failover may lose by D1, in bytes of log.
    pub max_replication_lag: u64,
    /// Faults that were left out, and why.
    pub lacking: Vec<String>,
    /// What was planned.
    pub schedule: Schedule,
}

/// A change that a client wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Change {
    /// A row of its own.
    Insert {
        /// Unique.
        id: i64,
    },
    /// A value at the end of a list.
    Append {
        /// The list.
        key: i32,
        /// Unique.
        value: i64,
    },
    /// Money from one account to another.
    Transfer {
        /// Unique; a row in the transfers' table.
        id: i64,
    },
}

/// Who answered, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// This node's database.
    pub node: NodeId,
    /// On this timeline.
    pub timeline: Timeline,
    /// The epoch for which the node held its lease when it was last looked at; for people, nothing is judged by it.
    pub epoch: Option<Epoch>,
    /// Asked then.
    pub began: Timestamp,
    /// Answered then.
    pub ended: Timestamp,
}

impl Stamp {
    /// As the invariant wants it.
    #[must_use]
    pub const fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement { node: self.node, timeline: self.timeline, began: self.began, ended: self.ended }
    }
}

/// A daemon's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When it said so, on its `CLOCK_BOOTTIME`, which all hosts of one machine share.
    pub said_at: Timestamp,
    /// Whether its database accepts writes.
    pub writable: bool,
    /// Whether it streams.
    pub readable: bool,
    /// The epoch of its lease.
    pub epoch: Option<Epoch>,
    /// The end of its lease.
    pub lease_end: Option<Timestamp>,
    /// Raft's term.
    pub term: Term,
    /// Raft's leader.
    pub leader: Option<NodeId>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// None: one primary, and all others stream from it. Otherwise what is missing.
    pub unhealed: Option<String>,
    /// Every row that was inserted, with copies.
    pub rows: Vec<i64>,
    /// Every list. (Pairs: a JSON map's keys are no numbers.)
    pub lists: Vec<(i32, Vec<i64>)>,
    /// Every transfer, with copies.
    pub transfers: Vec<i64>,
    /// The sum of all accounts.
    pub total: i64,
    /// The timelines of the history that survived, each with the point where it begins.
    pub lineage: Vec<(Timeline, Lsn)>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct History {
    /// Its first line.
    pub setting: Setting,
    /// When that was.
    pub began: Timestamp,
    /// All other lines.
    pub records: Vec<Record>,
}

impl History {
    /// Reads a file. A line that is torn at the very end (the run was killed) is left out.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read the history {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no history", path.display()))
    }

    /// The same from a text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut records = Vec::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            match serde_json::from_str::<Record>(line) {
                Ok(record) => records.push(record),
                Err(_) if !line.ends_with('\n') => {}
                Err(error) => return Err(error).with_context(|| format!("line {} is not what was expected", number + 1)),
            }
        }
        let mut records = records.into_iter();
        let first = records.next().context("it is empty")?;
        let Event::Began(setting) = first.event else { anyhow::bail!("its first line is not the beginning of a run") };
        anyhow::ensure!(setting.schema == SCHEMA, "its schema is {}, and only {SCHEMA} is known here", setting.schema);
        Ok(Self { setting: *setting, began: first.at, records: records.collect() })
    }

    /// How it ended, if it came to an end.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.records.iter().rev().find_map(|record| match &record.event {
            Event::Ended(end) => Some(&**end),
            _ => None,
        })
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        let known = self.setting.nodes.iter().find(|(id, _)| *id == node);
        known.map_or_else(|| format!("node {node}"), |(_, name)| name.clone())
    }
}
