//! Why a log is refused, and what to do about it.

use crate::model::NodeId;
use std::io;
use std::path::PathBuf;

/// Why the log cannot be used. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or a file in it cannot be used.
    #[error("cannot {action} {path}: it must be on a writable disk and belong to the user who runs witch (see cluster.data_dir)")]
    Place {
        /// `create`, `open` ...
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process, or this one, has it open.
    #[error("{path} is in use by another running witch: stop that one, or give this one a cluster.data_dir of its own")]
    InUse {
        /// The folder or the file.
        path: PathBuf,
    },
    /// The file is not as it was written.
    #[error(
        "the Raft log {file} is damaged: {flaw}. It was left as it is. If the other members of the cluster are alive, move the file away and \
         start again: the node then joins anew, and its database is kept. If none is alive, restore the file from a backup"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A version of Witch wrote it that this one does not know.
    #[error("the Raft log {file} has the format `{found}`, and this version of witch reads `{known}`: run the version that wrote it")]
    Format {
        /// The file.
        file: PathBuf,
        /// What stands in it.
        found: String,
        /// What we read.
        known: &'static str,
    },
    /// It was made for another node.
    #[error(
        "the Raft log {file} belongs to node {found}, and cluster.node_id is {node}: set cluster.node_id = {found}, or set cluster.data_dir \
         to this node's own folder"
    )]
    OtherNode {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who we are.
        node: NodeId,
    },
    /// It was made for another cluster.
    #[error(
        "the Raft log {file} belongs to the cluster `{found}`, and cluster.name is `{cluster}`: set cluster.name = \"{found}\", or set \
         cluster.data_dir to this cluster's own folder"
    )]
    OtherCluster {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Which we are in.
        cluster: String,
    },
    /// Reading or writing failed in the middle. After a failed write nobody knows what is on disk, so the process must end (safety: fsync).
    #[error("cannot {action} the Raft log {file}: look at the disk (full, failing, mounted read-only?)")]
    Disk {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
    /// We were about to write what we would refuse to read. A programmer's error; nothing was written.
    #[error("a batch does not fit the Raft log {file}: {what}. This is a fault of witch: please report it")]
    Misfit {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        what: String,
    },
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The database in the file does not hold together.
    #[error("it is no intact database ({detail})")]
    Unreadable {
        /// The reader's words.
        detail: String,
    },
    /// A record is not what was written.
    #[error("the checksum of the record `{record}` does not match")]
    Checksum {
        /// Which.
        record: String,
    },
    /// A record is intact, and yet not understood.
    #[error("the record `{record}` cannot be decoded ({detail})")]
    Undecodable {
        /// Which.
        record: String,
        /// The decoder's words.
        detail: String,
    },
    /// An entry stands under an index that is not its own.
    #[error("the entry {index} stands in the place of entry {place}")]
    Misplaced {
        /// Where it stands.
        place: u64,
        /// What it says it is.
        index: u64,
    },
    /// The snapshot should have replaced it.
    #[error("the entry {index} is left although the snapshot reaches to {snapshot}")]
    Covered {
        /// Of the entry.
        index: u64,
        /// Of the snapshot.
        snapshot: u64,
    },
    /// Entries are missing.
    #[error("the entries between {after} and {found} are missing")]
    Gap {
        /// The last before the gap.
        after: u64,
        /// The first after it.
        found: u64,
    },
    /// The end is missing.
    #[error("it ends at {found}, and it was written up to {written}")]
    Cut {
        /// The last that was written.
        written: u64,
        /// The last that is there.
        found: u64,
    },
    /// Terms never fall along a log.
    #[error("the entry {index} is of term {term}, after one of term {before}")]
    TermsFall {
        /// Of the entry.
        index: u64,
        /// Its term.
        term: u64,
        /// The term before it.
        before: u64,
    },
    /// What is committed must be there.
    #[error("it is committed up to {commit}, and ends at {last}")]
    CommittedIsMissing {
        /// As the hard state says.
        commit: u64,
        /// The last entry.
        last: u64,
    },
    /// There is a log and nobody whose it is.
    #[error("it does not say whose it is")]
    Nameless,
}
