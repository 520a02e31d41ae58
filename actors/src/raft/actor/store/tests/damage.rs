//! Every way in which a log can be less than it was: each is refused, and none is read as a shorter log.

use super::*;

/// Changes the tables behind the store's back, and opens the log again.
fn after(sabotage: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>, &mut redb::Table<'_, &'static str, &'static [u8]>)) -> StoreError {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[Batch { hard_state: Some(HardState { term: 3, vote: 77, commit: 7 }), ..entries(1..=9, 3) }, compaction(2, 3)]).unwrap();
    let transaction = store.open.database.begin_write().unwrap();
    sabotage(&mut transaction.open_table(LOG).unwrap(), &mut transaction.open_table(META).unwrap());
    transaction.commit().unwrap();
    drop(store);
    open(folder.path(), NODE, "prod").unwrap_err()
}

fn flaw(error: StoreError) -> Flaw {
    let text = error.to_string();
    let StoreError::Damaged { flaw, .. } = error else { panic!("{text}") };
    assert!(text.contains("raft.redb is damaged") && text.contains("move the file away"), "{text}");
    flaw
}

fn put(log: &mut redb::Table<'_, u64, &'static [u8]>, place: u64, entry: &LogEntry) {
    log.insert(place, seal::seal(&entry_record(place), entry).as_slice()).unwrap();
}

#[test]
fn a_missing_entry_is_a_gap() {
    assert_eq!(flaw(after(|log, _| drop(log.remove(5)))), Flaw::Gap { after: 4, found: 6 });
    assert_eq!(flaw(after(|log, _| drop(log.remove(3)))), Flaw::Gap { after: 2, found: 4 });
}

#[test]
fn a_missing_end_is_not_a_shorter_log() {
    assert_eq!(flaw(after(|log, _| log.retain(|index, _| index < 9).unwrap())), Flaw::Cut { written: 9, found: 8 });
    assert_eq!(flaw(after(|log, _| log.retain(|_, _| false).unwrap())), Flaw::Cut { written: 9, found: 2 });
}

#[test]
fn a_commit_index_beyond_the_end_is_refused() {
    let committed = after(|log, meta| {
        log.retain(|index, _| index < 6).unwrap();
        meta.insert(record::LAST, seal::seal(record::LAST, &5_u64).as_slice()).unwrap();
    });
    assert_eq!(flaw(committed), Flaw::CommittedIsMissing { commit: 7, last: 5 });
}

#[test]
fn an_entry_before_the_snapshot_is_refused() {
    assert_eq!(flaw(after(|log, _| put(log, 2, &entry(2, 3)))), Flaw::Covered { index: 2, snapshot: 2 });
}

#[test]
fn a_term_that_falls_is_refused() {
    assert_eq!(flaw(after(|log, _| put(log, 6, &entry(6, 2)))), Flaw::TermsFall { index: 6, term: 2, before: 3 });
}

#[test]
fn an_entry_in_the_wrong_place_is_refused() {
    assert_eq!(flaw(after(|log, _| put(log, 6, &entry(7, 3)))), Flaw::Misplaced { place: 6, index: 7 });
}

#[test]
fn a_record_whose_seal_is_broken_is_refused_by_name() {
    let torn = after(|log, _| {
        let mut sealed = log.get(6).unwrap().unwrap().value().to_vec();
        *sealed.last_mut().unwrap() ^= 1;
        log.insert(6, sealed.as_slice()).unwrap();
    });
    assert_eq!(flaw(torn), Flaw::Checksum { record: "entry 6".to_owned() });
    let cut = after(|_, meta| drop(meta.insert(record::HARD_STATE, [1, 2, 3].as_slice())));
    assert_eq!(flaw(cut), Flaw::Checksum { record: "hard_state".to_owned() });
}

#[test]
fn a_log_without_an_identity_is_refused() {
    assert_eq!(flaw(after(|_, meta| drop(meta.remove(record::IDENTITY)))), Flaw::Nameless);
}

#[test]
fn an_unknown_format_asks_for_the_version_that_wrote_it() {
    let error = after(|_, meta| drop(meta.insert(record::FORMAT, b"witch raft log 9".as_slice()))).to_string();
    assert!(error.contains("has the format `witch raft log 9`") && error.contains("run the version that wrote it"), "{error}");
}

#[test]
fn a_file_that_is_no_log_is_refused_and_left_as_it_is() {
    let garbage: [&[u8]; 3] = [b"", b"not a log", &[0xA5; 20_000]];
    for bytes in garbage {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(FILE), bytes).unwrap();
        let error = open(folder.path(), NODE, "prod").unwrap_err();
        assert!(matches!(flaw(error), Flaw::Unreadable { .. }));
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), bytes);
    }
}

/// Flips bytes all over the file: each time, the log is either read as it was (the byte was not in use) or refused.
#[test]
fn no_flipped_byte_makes_another_log_of_it() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[entries(1..=30, 3)]).unwrap();
    store.write(&[Batch { hard_state: Some(HardState { term: 3, vote: 77, commit: 30 }), ..compaction(10, 3) }]).unwrap();
    store.write(&[entries(31..=33, 3)]).unwrap();
    let before = store.load().unwrap();
    drop(store);
    let file = folder.path().join(FILE);
    let intact = fs::read(&file).unwrap();
    let used: Vec<usize> = (0..intact.len()).filter(|at| intact[*at] != 0).collect();
    // The header is one short page with two commit slots; it is tried byte by byte, the rest in about a hundred places.
    let (header, pages): (Vec<_>, Vec<_>) = used.into_iter().partition(|at| *at < 320);
    let step = (pages.len() / 100).max(1);
    let mut refused = 0;
    for at in header.into_iter().step_by(3).chain(pages.into_iter().step_by(step)) {
        let mut damaged = intact.clone();
        damaged[at] ^= 0xFF;
        fs::write(&file, &damaged).unwrap();
        match open(folder.path(), NODE, "prod") {
            Ok((_, stored)) => assert_eq!(stored, before, "the byte {at} made another log of it"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 30, "only {refused} of the damaged files were refused: is anything checked at all?");
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = founded(&folder);
    store.write(&[entries(1..=200, 3)]).unwrap();
    drop(store);
    let file = folder.path().join(FILE);
    let intact = fs::read(&file).unwrap();
    for eighths in 0..8 {
        fs::write(&file, &intact[..intact.len() * eighths / 8]).unwrap();
        let error = open(folder.path(), NODE, "prod").unwrap_err();
        assert!(matches!(flaw(error), Flaw::Unreadable { .. }));
    }
}
