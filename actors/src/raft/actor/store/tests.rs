//! What is written is read again, whatever happens in between; what cannot be read is refused in words.

mod damage;
mod killed;

use super::*;
use crate::model::{ClusterState, RaftId};
use crate::raft::{HardState, SnapshotImage};
use crate::tree::clock::boottime;
use std::os::unix::fs::PermissionsExt;
use std::thread::park_timeout;
use std::time::Duration;
use tempfile::TempDir;

const NODE: NodeId = NodeId(2);

fn identity() -> Identity {
    Identity {
        raft_id: RaftId(77),
        node: NODE,
        cluster: "prod".to_owned(),
        born: true,
        joining: false,
        members: Vec::new(),
        birth: Some(5),
    }
}

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry { kind: 0, term, index, data: vec![7; 300], context: Vec::new() }
}

fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64) -> Batch {
    Batch { entries: indexes.map(|index| entry(index, term)).collect(), ..Batch::default() }
}

fn snapshot(index: u64, term: u64) -> SnapshotImage {
    let state = ClusterState::born("prod".to_owned(), std::collections::BTreeMap::new(), crate::model::Settings::default());
    SnapshotImage {
        index,
        term,
        voters: vec![77, 78],
        learners: Vec::new(),
        voters_outgoing: Vec::new(),
        learners_next: Vec::new(),
        auto_leave: false,
        state,
    }
}

fn compaction(index: u64, term: u64) -> Batch {
    Batch { snapshot: Some(snapshot(index, term)), ..Batch::default() }
}

/// Another test of this process may be starting a program: between its fork and its execution that one holds every lock that we held.
fn open(folder: &Path, node: NodeId, cluster: &str) -> Result<(Store, Stored), StoreError> {
    let deadline = boottime() + Duration::from_secs(20);
    loop {
        match Store::open(folder, node, cluster) {
            Err(StoreError::InUse { .. }) if boottime() < deadline => park_timeout(Duration::from_millis(1)),
            outcome => return outcome,
        }
    }
}

fn founded(folder: &TempDir) -> Store {
    let (store, _) = open(folder.path(), NODE, "prod").expect("a new log");
    store.write(&[Batch { identity: Some(identity()), ..Batch::default() }]).expect("its identity");
    store
}

fn indexes(stored: &Stored) -> Vec<u64> {
    stored.entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn a_new_log_is_empty_and_nobody_elses_business() {
    let folder = TempDir::new().unwrap();
    let nested = folder.path().join("var/witch");
    let (_store, stored) = open(&nested, NODE, "prod").unwrap();
    assert_eq!(stored, Stored::default());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&nested), mode(&nested.join(FILE))), (0o700, 0o600));
}

#[test]
fn what_was_written_is_there_after_a_reopening() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    let hard_state = HardState { term: 4, vote: 77, commit: 9 };
    store.write(&[entries(1..=9, 3), Batch { hard_state: Some(hard_state), ..entries(10..=12, 4) }]).unwrap();
    store.write(&[compaction(5, 3)]).unwrap();
    let before = store.load().unwrap();
    drop(store);
    let (_, after) = open(folder.path(), NODE, "prod").unwrap();
    assert_eq!(after, before);
    assert_eq!((indexes(&after), after.hard_state), ((6..=12).collect(), hard_state));
    assert_eq!((after.identity, after.snapshot), (Some(identity()), Some(snapshot(5, 3))));
}

#[test]
fn entries_truncate_the_log_from_their_first_on() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[entries(1..=9, 3), entries(4..=5, 4)]).unwrap();
    let stored = store.load().unwrap();
    assert_eq!(stored.entries.iter().map(|entry| (entry.index, entry.term)).collect::<Vec<_>>(), [(1, 3), (2, 3), (3, 3), (4, 4), (5, 4)]);
}

#[test]
fn a_snapshot_that_the_log_agrees_with_keeps_what_follows_it() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[entries(1..=9, 3), compaction(6, 3), compaction(6, 3)]).unwrap();
    assert_eq!(indexes(&store.load().unwrap()), [7, 8, 9]);
}

#[test]
fn a_snapshot_of_another_history_replaces_the_whole_log() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[entries(1..=9, 3), compaction(6, 4)]).unwrap();
    assert_eq!(indexes(&store.load().unwrap()), Vec::<u64>::new());
    store.write(&[entries(7..=8, 4), compaction(100, 5), entries(101..=102, 5)]).unwrap();
    assert_eq!(indexes(&store.load().unwrap()), [101, 102]);
}

#[test]
fn a_reset_forgets_everything_before_it() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[Batch { hard_state: Some(HardState { term: 3, vote: 1, commit: 2 }), ..entries(1..=9, 3) }, compaction(6, 3)]).unwrap();
    let anew = Identity { raft_id: RaftId(99), born: false, ..identity() };
    store.write(&[Batch { reset: true, identity: Some(anew.clone()), ..Batch::default() }]).unwrap();
    assert_eq!(store.load().unwrap(), Stored { identity: Some(anew), ..Stored::default() });
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (store, _) = open(folder.path(), NODE, "prod").unwrap();
    let nameless = store.write(&[entries(1..=1, 1)]).unwrap_err();
    assert!(nameless.to_string().contains("must say whose it is"), "{nameless}");
    store.write(&[Batch { identity: Some(identity()), ..entries(1..=9, 3) }, compaction(5, 3)]).unwrap();
    let before = store.load().unwrap();
    let falling = Batch { entries: vec![entry(10, 4), entry(11, 3)], ..Batch::default() };
    for misfit in [entries(12..=13, 3), entries(5..=6, 3), compaction(4, 3), falling] {
        assert!(matches!(store.write(&[entries(10..=10, 3), misfit.clone()]), Err(StoreError::Misfit { .. })), "{misfit:?}");
        assert_eq!(store.load().unwrap(), before);
    }
}

#[test]
fn a_second_daemon_is_told_to_use_another_folder() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    let error = Store::open(folder.path(), NODE, "prod").unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
    open(folder.path(), NODE, "prod").unwrap();
}

#[test]
fn the_log_of_another_node_or_cluster_is_refused_naming_both() {
    let folder = TempDir::new().unwrap();
    drop(founded(&folder));
    let node = open(folder.path(), NodeId(3), "prod").unwrap_err().to_string();
    assert!(node.contains("belongs to node 2, and cluster.node_id is 3: set cluster.node_id = 2"), "{node}");
    let cluster = open(folder.path(), NODE, "test").unwrap_err().to_string();
    assert!(cluster.contains("belongs to the cluster `prod`, and cluster.name is `test`"), "{cluster}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("witch"), NODE, "prod").unwrap_err();
    assert!(matches!(&error, StoreError::Place { action: "create", .. }), "{error}");
}

#[test]
fn a_crash_while_the_file_was_made_leaves_nothing_that_is_in_the_way() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("raft.redb.unfinished"), "half a file").unwrap();
    drop(founded(&folder));
    assert!(!folder.path().join("raft.redb.unfinished").exists());
}
