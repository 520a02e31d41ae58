//! Nothing that a peer can send makes raft-rs panic.

use super::dice::Dice;
use super::world::World;
use crate::machine::{Machine as _, Timestamp};
use crate::model::NodeId;
use crate::raft::{Effect, Input, LogEntry, Machine, PeerMessage, RaftMessage};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

pub(super) fn message(world: &World, from: NodeId, to: NodeId, kind: u8, term: u64) -> RaftMessage {
    let id = |node: NodeId| world.raft_id(node.0).expect("born");
    RaftMessage {
        kind,
        from: id(from),
        to: id(to),
        term,
        log_term: 0,
        index: 0,
        commit: 0,
        commit_term: 0,
        reject: false,
        reject_hint: 0,
        request_snapshot: 0,
        priority: 0,
        context: Vec::new(),
        entries: Vec::new(),
        snapshot: None,
    }
}

/// A heartbeat of a leader of that term.
pub(super) fn heartbeat(world: &World, from: NodeId, to: NodeId, term: u64) -> RaftMessage {
    message(world, from, to, 8, term)
}

fn forge(world: &World, dice: &mut Dice, from: NodeId, to: NodeId) -> RaftMessage {
    let stored = &world.host(to.0).stored;
    let last = stored.entries.last().map_or(1, |entry| entry.index);
    let near = |dice: &mut Dice, value: u64| match dice.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 48,
        3 => dice.next(),
        4..=6 => value,
        7 => value.saturating_sub(1),
        _ => value.saturating_sub(2).saturating_add(dice.below(5)),
    };
    let kind = u8::try_from(dice.below(21)).expect("small");
    let term = near(dice, stored.hard_state.term);
    let mut out = message(world, from, to, kind, term);
    out.index = near(dice, last);
    out.log_term = near(dice, stored.hard_state.term);
    out.commit = near(dice, last);
    out.commit_term = near(dice, stored.hard_state.term);
    out.reject = dice.one_in(3);
    out.reject_hint = near(dice, last);
    out.request_snapshot = if dice.one_in(8) { near(dice, last) } else { 0 };
    if dice.one_in(4) {
        out.context = b"CampaignTransfer".to_vec();
    }
    if matches!(kind, 2 | 3) || dice.one_in(8) {
        let mut index = out.index.wrapping_add(1);
        for _ in 0..dice.below(4) {
            let data = if dice.one_in(3) { vec![1, 2, 3] } else { Vec::new() };
            let kind = u8::try_from(dice.below(5)).expect("small");
            out.entries.push(LogEntry { kind, term: near(dice, stored.hard_state.term), index, data, context: Vec::new() });
            index = if dice.one_in(6) { near(dice, index) } else { index.wrapping_add(1) };
        }
    }
    if kind == 7 || dice.one_in(10) {
        let mut image = stored.snapshot.clone().expect("born");
        image.index = near(dice, last);
        image.term = near(dice, stored.hard_state.term);
        image.auto_leave = dice.one_in(4);
        for list in [&mut image.voters, &mut image.learners, &mut image.voters_outgoing, &mut image.learners_next] {
            if dice.one_in(3) {
                let pool = world.nodes();
                let pick = pool[usize::try_from(dice.below(pool.len() as u64)).expect("small")];
                list.push(if dice.one_in(5) { 0 } else { world.raft_id(pick.0).expect("born").0 });
            }
            if dice.one_in(6) {
                list.clear();
            }
        }
        out.snapshot = Some(image);
    }
    out
}

/// One node of a founded cluster, alone with the test, which speaks for its peers.
struct Alone {
    world: World,
    machine: Machine,
    now: Timestamp,
}

impl Alone {
    fn new(seed: u64) -> Self {
        let mut world = World::founded(seed, 3);
        world.run(Duration::from_secs(2));
        let now = Timestamp::from_micros(1_000_000);
        let mut machine = Machine::new(world.host(1).config.clone(), &world.host(1).stored, now).expect("its own log");
        machine.step(now, Input::Woken);
        for peer in [NodeId(2), NodeId(3)] {
            let mut other = Machine::new(world.host(peer.0).config.clone(), &world.host(peer.0).stored, now).expect("its own log");
            for effect in other.step(now, Input::Linked { node: NodeId(1) }) {
                if let Effect::Send { to: NodeId(1), message } = effect {
                    machine.step(now, Input::Heard { from: peer, message });
                }
            }
        }
        Self { world, machine, now }
    }

    fn term(&self) -> u64 {
        self.world.host(1).stored.hard_state.term
    }

    /// What the node does on a message of that peer. Its disk answers at once.
    fn hears(&mut self, from: NodeId, message: RaftMessage) -> Vec<Effect> {
        self.told(from, PeerMessage::Raft(Box::new(message)))
    }

    fn told(&mut self, from: NodeId, message: PeerMessage) -> Vec<Effect> {
        let mut effects = self.machine.step(self.now, Input::Heard { from, message: Box::new(message) });
        let written: Vec<_> =
            effects.iter().filter_map(|effect| if let Effect::Persist(batch) = effect { Some(batch.number) } else { None }).collect();
        for number in written {
            effects.extend(self.machine.step(self.now, Input::Persisted { number }));
        }
        effects
    }
}

/// The highest term that was made durable, and whether a vote was given.
fn outcome(effects: &[Effect]) -> (u64, bool) {
    let term = effects.iter().filter_map(|effect| if let Effect::Persist(batch) = effect { batch.hard_state } else { None });
    let voted = effects.iter().any(|effect| {
        matches!(effect, Effect::Send { message, .. } if matches!(&**message, PeerMessage::Raft(message) if message.kind == 6 && !message.reject))
    });
    (term.map(|state| state.term).max().unwrap_or(0), voted)
}

/// `MsgRequestVote`, by order of a leader or not.
fn vote(world: &World, from: NodeId, term: u64, is_forced: bool) -> RaftMessage {
    let mut vote = message(world, from, NodeId(1), 5, term);
    (vote.index, vote.log_term) = (1 << 20, term - 1);
    if is_forced {
        vote.context = b"CampaignTransfer".to_vec();
    }
    vote
}

/// A stolen token must not end elections for ever: a term is adopted for good.
#[test]
fn one_message_takes_no_term_to_where_nobody_can_follow() {
    let mut alone = Alone::new(500);
    let own = alone.term();
    for kind in [3, 5, 6, 8, 9, 17, 18] {
        for term in [1 << 48, 1 << 40, own + (1 << 20) + 1] {
            let mut far = message(&alone.world, NodeId(2), NodeId(1), kind, term);
            far.context = b"CampaignTransfer".to_vec();
            far.reject = true;
            assert_eq!(outcome(&alone.hears(NodeId(2), far)), (0, false), "kind {kind}, term {term}");
        }
    }
    let next = vote(&alone.world, NodeId(2), own + 1, false);
    assert_eq!(outcome(&alone.hears(NodeId(2), next)), (own + 1, true), "the next term is one");
}

/// A log that was taken to the bound before there was one: its cluster elects on.
#[test]
fn a_cluster_at_the_highest_term_still_elects() {
    let mut world = World::founded(501, 3);
    world.run(Duration::from_secs(2));
    let mut stored = world.host(1).stored.clone();
    stored.hard_state.term = 1 << 48;
    stored.hard_state.vote = 0;
    let now = Timestamp::from_micros(1_000_000);
    let machine = Machine::new(world.host(1).config.clone(), &stored, now).expect("its own log");
    let mut alone = Alone { machine, ..Alone::new(501) };
    alone.machine.step(now, Input::Woken);
    for peer in [NodeId(2), NodeId(3)] {
        let mut other = Machine::new(alone.world.host(peer.0).config.clone(), &alone.world.host(peer.0).stored, now).expect("its own log");
        for effect in other.step(now, Input::Linked { node: NodeId(1) }) {
            if let Effect::Send { to: NodeId(1), message } = effect {
                alone.told(peer, *message);
            }
        }
    }
    let next = vote(&alone.world, NodeId(2), (1 << 48) + 1, false);
    assert_eq!(outcome(&alone.hears(NodeId(2), next)), ((1 << 48) + 1, true));
}

/// Where a leader is heard, only its heir is voted for, and the leader says who that is.
#[test]
fn only_the_heir_of_the_leader_is_voted_for_while_there_is_one() {
    for (named_by, named, is_voted_for) in [
        (None, NodeId(3), false),
        (Some(NodeId(3)), NodeId(3), false),
        (Some(NodeId(2)), NodeId(2), false),
        (Some(NodeId(2)), NodeId(3), true),
    ] {
        let mut alone = Alone::new(502);
        let term = alone.term() + 1;
        let heartbeat = heartbeat(&alone.world, NodeId(2), NodeId(1), term);
        alone.hears(NodeId(2), heartbeat);
        if let Some(by) = named_by {
            let raft_id = alone.world.raft_id(named.0).expect("born");
            alone.told(by, PeerMessage::Heir { term: crate::model::Term(term), raft_id });
        }
        let forced = vote(&alone.world, NodeId(3), term + 1, true);
        assert_eq!(outcome(&alone.hears(NodeId(3), forced)).1, is_voted_for, "{named} named by {named_by:?}");
    }
}

/// What is committed and cannot be read would halt every node at every start.
#[test]
fn an_entry_that_cannot_be_read_never_comes_into_a_log() {
    let mut alone = Alone::new(503);
    let term = alone.term() + 1;
    let last = alone.world.host(1).stored.entries.last().map_or(1, |entry| entry.index);
    let log_term = alone.world.host(1).stored.entries.last().map_or(1, |entry| entry.term);
    for (kind, data, is_taken) in [(0, vec![1, 2, 3], false), (2, vec![0xff; 9], false), (3, vec![], false), (0, vec![], true)] {
        let mut append = message(&alone.world, NodeId(2), NodeId(1), 3, term);
        (append.index, append.log_term) = (last, log_term);
        append.entries.push(LogEntry { kind, term, index: last + 1, data: data.clone(), context: Vec::new() });
        let effects = alone.hears(NodeId(2), append);
        let is_kept = effects.iter().any(|effect| matches!(effect, Effect::Persist(batch) if !batch.entries.is_empty()));
        assert_eq!(is_kept, is_taken, "{kind} {data:?}");
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Halt { .. })));
    }
}

/// Near-valid messages from authenticated members, by the ten thousand: each node lives on them for a while.
#[test]
fn no_message_makes_the_machine_panic() {
    let mut through = 0;
    for seed in 0..60 {
        let mut world = World::founded(400 + seed % 6, 3);
        world.run(Duration::from_secs(2));
        let mut dice = Dice::new(seed);
        let victim = NodeId(1 + seed % 3);
        let mut now = Timestamp::from_micros(1_000_000);
        let mut machine = Machine::new(world.host(victim.0).config.clone(), &world.host(victim.0).stored, now).expect("its own log");
        machine.step(now, Input::Woken);
        for peer in world.nodes() {
            if peer != victim {
                let stored = world.host(peer.0).stored.clone();
                let mut peer_machine = Machine::new(world.host(peer.0).config.clone(), &stored, now).expect("its own log");
                for effect in peer_machine.step(now, Input::Linked { node: victim }) {
                    if let Effect::Send { to, message } = effect
                        && to == victim
                    {
                        machine.step(now, Input::Heard { from: peer, message });
                    }
                }
            }
        }
        let mut unwritten = Vec::new();
        for _ in 0..2000 {
            let from = NodeId(1 + dice.below(3));
            if from == victim {
                now = now + Duration::from_millis(dice.below(300));
                machine.step(now, Input::Woken);
                continue;
            }
            let message = forge(&world, &mut dice, from, victim);
            let effects = machine.step(now, Input::Heard { from, message: Box::new(PeerMessage::Raft(Box::new(message))) });
            for effect in effects {
                match effect {
                    Effect::Persist(batch) => unwritten.push(batch.number),
                    Effect::Send { .. } => through += 1,
                    Effect::Halt { .. } => through += 1,
                    _ => {}
                }
            }
            if dice.one_in(3) {
                for number in unwritten.drain(..) {
                    machine.step(now, Input::Persisted { number });
                }
            }
        }
    }
    assert!(through > 1000, "some of it is valid enough to be answered: {through}");
}
