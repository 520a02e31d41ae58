#!/usr/bin/env bash
# raft 0.7.0 (the crate that TiKV is built on): with asynchronous writes a leader may be the last to apply what it has committed.
#
# A leader sends its entries beside its own write to disk, and two followers are a quorum of three without it. Then its commit index moves, its
# messages tell it to everybody, and the followers are handed the entry to apply; the leader itself is handed nothing until `on_persist_ready` says
# that its own disk has the entry. So whoever acts upon an entry that was just applied on a follower, and asks the leader at once, meets a leader
# whose applied state does not have it, however long its disk takes. An application that answers from the applied state has to wait there for its
# commit index, or to expect a "no" that is only a "not yet".
#
# Ends with 0 if this is still so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
raft = { version = "=0.7.0", default-features = false, features = ["protobuf-codec"] }
protobuf = "=2.28.0"
slog = "=2.8.2"
TOML
cat >"$work/src/main.rs" <<'RUST'
use protobuf::Message as _;
use raft::eraftpb::Message;
use raft::storage::MemStorage;
use raft::{Config, RawNode};

struct Node {
    raw: RawNode<MemStorage>,
    applied: Vec<String>,
    slow: bool,
    unwritten: Vec<u64>,
}

impl Node {
    fn new(id: u64) -> Self {
        let config = Config { id, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
        let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        Self { raw: RawNode::new(&config, storage, &logger).unwrap(), applied: vec![], slow: false, unwritten: vec![] }
    }

    // What raft-rs wants done, with messages that wait for the disk held back as long as the disk is slow.
    fn work(&mut self) -> Vec<Message> {
        let mut out = vec![];
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            out.extend(ready.take_messages());
            let committed = ready.take_committed_entries();
            self.raw.mut_store().wl().append(ready.entries()).unwrap();
            if let Some(state) = ready.hs() {
                self.raw.mut_store().wl().set_hardstate(state.clone());
            }
            let promises = ready.take_persisted_messages();
            let number = ready.number();
            self.raw.advance_append_async(ready);
            if self.slow {
                assert!(promises.is_empty(), "a leader promises nothing");
                self.unwritten.push(number);
            } else {
                self.raw.on_persist_ready(number);
                out.extend(promises);
            }
            for entry in &committed {
                if !entry.get_data().is_empty() {
                    self.applied.push(String::from_utf8_lossy(entry.get_data()).into_owned());
                }
                self.raw.advance_apply_to(entry.index);
            }
        }
        out
    }
}

fn settle(nodes: &mut [Node]) {
    loop {
        let messages: Vec<Message> = nodes.iter_mut().flat_map(Node::work).collect();
        if messages.is_empty() {
            return;
        }
        for message in messages {
            let to = usize::try_from(message.to - 1).unwrap();
            let bytes = message.write_to_bytes().unwrap();
            nodes[to].raw.step(protobuf::Message::parse_from_bytes(&bytes).unwrap()).unwrap();
        }
    }
}

fn tell(when: &str, nodes: &[Node]) {
    let committed: Vec<u64> = nodes.iter().map(|node| node.raw.raft.raft_log.committed).collect();
    let applied: Vec<usize> = nodes.iter().map(|node| node.applied.len()).collect();
    println!("{when}: committed {committed:?} applied {applied:?}");
}

fn main() {
    let mut nodes = vec![Node::new(1), Node::new(2), Node::new(3)];
    nodes[0].raw.campaign().unwrap();
    settle(&mut nodes);
    nodes[0].slow = true;
    nodes[0].raw.propose(vec![], b"entry".to_vec()).unwrap();
    settle(&mut nodes);
    for _ in 0..100 {
        nodes[0].raw.tick();
        settle(&mut nodes);
    }
    tell("a hundred ticks later", &nodes);
    nodes[0].slow = false;
    for number in std::mem::take(&mut nodes[0].unwritten) {
        nodes[0].raw.on_persist_ready(number);
    }
    settle(&mut nodes);
    tell("the leader's disk has it", &nodes);
}
RUST

said=$(cd "$work" && CARGO_TARGET_DIR="$work/target" cargo run --quiet)
printf '%s\n' "$said"
[ "$said" = 'a hundred ticks later: committed [2, 2, 2] applied [0, 1, 1]
the leader'"'"'s disk has it: committed [2, 2, 2] applied [1, 1, 1]' ] || { echo "changed: the leader was seen to apply last"; exit 1; }
