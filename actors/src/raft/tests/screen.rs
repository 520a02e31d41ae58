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
            // A proposal or a change that cannot be read stops a node; only a leader could write one, and ours do not.
            let kind = if data.is_empty() { 0 } else { u8::try_from(dice.below(5)).expect("small") };
            let data = if kind == 0 { Vec::new() } else { data };
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
