//! Kill -9 in a loop while writing: nothing that was acknowledged is lost, and nothing is torn.
//!
//! The test starts itself as a child process that appends and tells each index that is on disk, and kills it at a moment of chance.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const FOLDER: &str = "WITCH_TEST_APPEND_IN";
const CHILD: &str = "raft::actor::store::tests::killed::appends_until_it_is_killed";
const ROUNDS: usize = 20;

#[test]
fn appends_until_it_is_killed() {
    // Only a child of the test below has work to do here.
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (store, stored) = open(Path::new(&folder), NODE, "prod").unwrap();
    let last = stored.entries.last().map(|entry| entry.index).or(stored.snapshot.map(|snapshot| snapshot.index)).unwrap();
    for index in last + 1.. {
        let hard_state = Some(HardState { term: 1, vote: 77, commit: index });
        let snapshot = (index % 50 == 0).then(|| snapshot(index - 10, 1));
        store.write(&[Batch { hard_state, snapshot, ..entries(index..=index, 1) }]).unwrap();
        writeln!(std::io::stdout(), "\nacknowledged {index}").unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_minus_nine() {
    let folder = TempDir::new().unwrap();
    founded(&folder).write(&[entries(1..=1, 1)]).unwrap();
    let mut chance = SmallRng::seed_from_u64(9);
    let mut total = 1;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed after a number of acknowledgements and then somewhere in the next writes: the pipe is read to its end afterwards.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let patience = chance.random_range(1..60);
        let mut acknowledged = 0;
        let mut heard = 0;
        for line in &mut lines {
            if let Some(index) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged = index.parse().unwrap();
                heard += 1;
                if heard == patience {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(heard >= patience, "the child of round {round} ended by itself after {heard} of {patience}");
        let (_store, stored) = open(folder.path(), NODE, "prod").unwrap();
        let last = stored.entries.last().unwrap().index;
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, and the log ends at {last}");
        assert!(last <= acknowledged + 1, "round {round}: more than the one write in flight appeared");
        assert_eq!(stored.hard_state.commit, last, "round {round}: a batch was torn");
        total = last;
    }
    assert!(total > ROUNDS as u64);
}
