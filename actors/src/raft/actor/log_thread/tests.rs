//! The thread against a real store: order, lives, and what happens when writing cannot go on.

use super::*;
use crate::model::{NodeId, RaftId};
use crate::raft::{HardState, Identity, LogEntry};
use std::sync::mpsc::channel;
use tempfile::TempDir;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

struct Fixture {
    log: LogThread,
    halted: mpsc::Receiver<String>,
    _folder: TempDir,
}

fn fixture() -> Fixture {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path(), NodeId(1), "prod").unwrap();
    let identity = Identity {
        raft_id: RaftId(7),
        node: NodeId(1),
        cluster: "prod".to_owned(),
        born: true,
        joining: false,
        members: Vec::new(),
        birth: None,
    };
    store.write(&[Batch { identity: Some(identity), ..Batch::default() }]).unwrap();
    let (halt, halted) = Halt::channel();
    Fixture { log: LogThread::start(store, halt).unwrap(), halted, _folder: folder }
}

fn batch(number: u64) -> Box<Batch> {
    let entry = LogEntry { kind: 0, term: 1, index: number, data: vec![1; 100], context: Vec::new() };
    Box::new(Batch { number, entries: vec![entry], hard_state: Some(HardState { term: 1, vote: 7, commit: number }), ..Batch::default() })
}

fn indexes(stored: &Stored) -> Vec<u64> {
    stored.entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn batches_are_acknowledged_in_order_once_they_are_on_disk() {
    let Fixture { log, _folder, .. } = fixture();
    let (told, persisted) = channel();
    let (writer, _) = log.begin_life(Arc::new(move |number| told.send(number).unwrap())).unwrap();
    for number in 1..=300 {
        writer.write(batch(number)).unwrap();
    }
    let mut last = 0;
    while last < 300 {
        let number = persisted.recv_timeout(PATIENCE).expect("the batches are written");
        assert!(number > last, "{number} after {last}");
        assert!(log.store.load().unwrap().hard_state.commit >= number, "{number} was acknowledged before it was there");
        last = number;
    }
}

#[test]
fn what_nobody_waits_for_goes_with_the_next_batch_and_in_the_end_by_itself() {
    let Fixture { log, _folder, .. } = fixture();
    let (told, persisted) = channel();
    let (writer, _) = log.begin_life(Arc::new(move |number| told.send(number).unwrap())).unwrap();
    let moved = |number, commit| {
        let hard_state = Some(HardState { term: 1, vote: 7, commit });
        Box::new(Batch { number, hard_state, may_wait: true, ..Batch::default() })
    };
    writer.write(batch(1)).unwrap();
    assert_eq!(persisted.recv_timeout(PATIENCE), Ok(1));
    writer.write(moved(2, 1)).unwrap();
    assert!(persisted.recv_timeout(WAIT_MAX / 5).is_err(), "it was written at once");
    writer.write(Box::new(Batch { number: 3, ..*batch(2) })).unwrap();
    assert_eq!(persisted.recv_timeout(PATIENCE), Ok(3), "both in one transaction");
    writer.write(moved(4, 2)).unwrap();
    assert_eq!(persisted.recv_timeout(PATIENCE), Ok(4));
    assert_eq!(log.store.load().unwrap().hard_state.commit, 2);
}

#[test]
fn the_next_life_reads_the_log_only_after_the_last_write_and_hears_nothing_of_the_earlier_one() {
    let Fixture { log, _folder, .. } = fixture();
    let mut before = 0;
    for life in 0..10 {
        let (told, persisted) = channel();
        let (writer, stored) = log.begin_life(Arc::new(move |number| told.send((life, number)).unwrap_or_default())).unwrap();
        assert!(stored.entries.len() as u64 >= before, "what was acknowledged is gone");
        assert_eq!(indexes(&stored), (1..=stored.entries.len() as u64).collect::<Vec<_>>());
        let next = stored.entries.len() as u64 + 1;
        for number in next..next + 40 {
            writer.write(batch(number)).unwrap();
        }
        // The actor dies now, with batches queued and some acknowledged.
        before = persisted.recv_timeout(PATIENCE).expect("the first group is written").1;
        let (_, stored) = log.begin_life(Arc::new(|number| panic!("heard of {number}, which an earlier life wrote"))).unwrap();
        assert_eq!(log.store.load().unwrap(), stored, "something was still on its way");
        // Even if the earlier life were not quite dead.
        writer.write(batch(stored.entries.len() as u64 + 1)).unwrap();
    }
}

#[test]
fn a_batch_that_cannot_be_written_halts_the_process_with_the_reason() {
    let Fixture { log, mut halted, _folder } = fixture();
    let (writer, _) = log.begin_life(Arc::new(|number| panic!("{number} cannot have been written"))).unwrap();
    writer.write(batch(5)).unwrap();
    let reason = halted.blocking_recv().expect("a reason");
    assert!(reason.contains("does not fit the Raft log"), "{reason}");
    let error = loop {
        // The queue takes jobs until the thread is quite gone.
        match log.begin_life(Arc::new(|_| {})) {
            Err(error) => break error,
            Ok(_) => std::thread::yield_now(),
        }
    };
    assert!(matches!(error, LogError::Ended), "{error}");
}

#[test]
fn a_stalled_disk_stalls_nobody_and_is_told_at_the_latest_when_the_queue_is_full() {
    let Fixture { log, _folder, .. } = fixture();
    let (stall, stalled) = sync_channel::<()>(0);
    let stalled = std::sync::Mutex::new(stalled);
    // The acknowledgement hangs, as a write would.
    let hang = move |_| stalled.lock().unwrap().recv().unwrap_or_default();
    let (writer, _) = log.begin_life(Arc::new(hang)).unwrap();
    let overflow = (1..).find_map(|number| writer.write(batch(number)).err().map(|error| (number, error)));
    let (number, error) = overflow.expect("a bounded queue");
    assert!(matches!(error, LogError::Overflow) && number as usize <= QUEUE_MAX + GROUP_MAX + 1, "{number}: {error}");
    assert!(matches!(log.begin_life(Arc::new(|_| {})), Err(LogError::Overflow)));
    drop(stall);
}

#[test]
fn the_thread_ends_with_its_owners_after_what_they_queued() {
    let Fixture { log, _folder, mut halted } = fixture();
    let (told, persisted) = channel();
    let (writer, _) = log.begin_life(Arc::new(move |number| told.send(number).unwrap_or_default())).unwrap();
    for number in 1..=100 {
        writer.write(batch(number)).unwrap();
    }
    drop((log, writer));
    let mut last = 0;
    // Ends with an error only when the thread has dropped the other side.
    while let Ok(number) = persisted.recv_timeout(PATIENCE) {
        last = number;
    }
    assert_eq!(last, 100);
    assert_eq!(halted.blocking_recv(), None);
}
