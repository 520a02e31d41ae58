//! The log's life: what was acknowledged survives, long logs are cut, and who was away is caught up.

use super::world::World;
use crate::machine::{Machine as _, Timestamp};
use crate::model::{Command, Epoch, NodeId, Proposal, RequestId, Term, WallClock};
use crate::raft::{Effect, Gate, Input, Machine, Order, PeerMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// A decision that changes the state each time and touches nobody's lease.
fn pause(world: &World, leader: NodeId, id: u64) -> Order {
    let led = world.host(leader.0).holder.led;
    let command = Command::Pause { id: RequestId(id), paused: id.is_multiple_of(2) };
    Order::Propose(Proposal { by: leader, term: Some(led.term), basis: Epoch(0), at: WallClock(id), command })
}

fn knows(world: &World, node: NodeId, id: u64) -> bool {
    let state = world.host(node.0).holder.state.as_ref();
    state.is_some_and(|state| state.endings.iter().any(|ending| ending.id == RequestId(id)))
}

#[test]
fn what_a_follower_proposes_reaches_the_log_by_way_of_the_leader() {
    let mut world = World::founded(20, 3);
    world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
    for node in world.nodes() {
        let mut witch = world.host(node.0).config.members[0].witch.clone();
        witch.port = 7100 + u16::try_from(node.0).unwrap_or(0);
        let own = world.host(node.0).config.own().cloned().expect("a member");
        let command = Command::Describe { node, name: own.name, witch: witch.clone(), database: own.database };
        world.order(node, Order::Propose(Proposal { by: node, term: None, basis: Epoch(1), at: WallClock(0), command }));
        world.run_until(2, "everybody knows the address", |world| {
            world.hosts.values().all(|host| host.holder.state.as_ref().is_some_and(|state| state.members[&node].witch == witch))
        });
    }
}

#[test]
fn a_deposed_leaders_decision_is_dropped() {
    let mut world = World::founded(21, 3);
    let leader = world.leader().expect("there is one");
    let Order::Propose(mut proposal) = pause(&world, leader, 77) else { unreachable!() };
    proposal.term = proposal.term.map(|term| Term(term.0 - 1));
    world.order(leader, Order::Propose(proposal));
    world.run(Duration::from_secs(2));
    assert!(!knows(&world, leader, 77));
}

#[test]
fn a_log_is_cut_and_a_node_that_was_away_gets_a_snapshot() {
    let mut world = World::new(22, 3);
    world.adjust = |config| config.snapshot_entries = 50;
    for node in world.nodes() {
        world.start(node);
    }
    world.run_until(10, "a leader is ready", |world| world.leader().is_some() && world.is_whole());
    let leader = world.leader().expect("there is one");
    let away = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    world.crash(away);
    for id in 1..=400 {
        let order = pause(&world, leader, id);
        world.order(leader, order);
        world.run(Duration::from_millis(2));
    }
    world.run(Duration::from_secs(1));
    assert!(world.host(leader.0).stored.entries.len() < 100, "cut: {}", world.host(leader.0).stored.entries.len());
    world.start(away);
    world.run_until(10, "it has caught up", |world| world.is_whole() && knows(world, away, 400));
    world.run(Duration::from_secs(1));
    assert!(world.host(away.0).stored.snapshot.as_ref().is_some_and(|image| image.index > 300), "{:?}", world.host(away.0).stored);
    // And what it has now is a log that it can begin with again.
    world.crash(away);
    world.start(away);
    world.run_until(10, "it is back", |world| world.is_whole() && knows(world, away, 400));
}

/// Power failures of everybody, again and again while writing: what a client was told stays.
#[test]
fn a_restart_loses_nothing_that_was_acknowledged() {
    for seed in 0..8 {
        let mut world = World::founded(200 + seed, 3);
        let mut acknowledged = Vec::new();
        for id in 1..=25 {
            let Some(leader) = world.leader() else {
                world.run(Duration::from_millis(500));
                continue;
            };
            let order = pause(&world, leader, id);
            world.order(leader, order);
            let wait = world.dice.between(0, 30);
            world.run(Duration::from_millis(wait));
            if knows(&world, leader, id) {
                acknowledged.push(id);
            }
            match world.dice.below(4) {
                0 => {
                    for node in world.nodes() {
                        world.crash(node);
                        world.start(node);
                    }
                    world.run(Duration::from_secs(3));
                }
                1 => {
                    world.crash(leader);
                    world.start(leader);
                }
                _ => {}
            }
        }
        world.run_until(20, "it is whole", |world| world.leader().is_some() && world.is_whole());
        assert!(!acknowledged.is_empty());
        for id in acknowledged {
            assert!(world.nodes().into_iter().all(|node| knows(&world, node, id)), "request {id} was told done and is lost");
        }
    }
}

#[test]
fn an_idle_cluster_writes_nothing() {
    let mut world = World::founded(23, 3);
    world.run(Duration::from_secs(5));
    let before: Vec<_> = world.hosts.values().map(|host| host.stored.clone()).collect();
    world.run(Duration::from_secs(30));
    let after: Vec<_> = world.hosts.values().map(|host| host.stored.clone()).collect();
    assert_eq!(before, after);
    assert!(world.lease_holder().is_some(), "although leases are renewed");
}

/// S5, D5: it may be the promotion or the release of the primary before, by which a successor is measured.
#[test]
fn nobody_is_appointed_while_an_entry_of_the_log_is_not_applied() {
    let mut world = World::founded(25, 3);
    world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
    let holder = world.lease_holder().expect("just seen");
    for node in world.nodes() {
        world.host_mut(node.0).holder.passive = true;
    }
    world.crash(holder);
    let may_appoint = |world: &World| {
        let leads = |node: NodeId| world.host(node.0).holder.led.ready && world.host(node.0).holder.led.gate != Gate::Closed;
        world.leader().is_some_and(leads)
    };
    world.run_until(10, "somebody may appoint", may_appoint);
    let leader = world.leader().expect("just seen");
    let other = world.nodes().into_iter().find(|node| ![holder, leader].contains(node)).expect("there are three");
    world.host_mut(other.0).disk_delay = (600_000, 600_000);
    let (order, appointments) = (pause(&world, leader, 5), world.appointments.len());
    world.order(leader, order);
    world.host_mut(leader.0).holder.passive = false;
    world.run(Duration::from_millis(400));
    assert!(world.host(leader.0).notes.iter().any(|note| note.contains("is not committed yet")), "{}", world.describe());
    world.run_until(10, "a successor is appointed", |world| world.appointments.len() > appointments);
}

#[test]
fn a_stalled_disk_stalls_no_lease_and_costs_a_leader_its_leadership() {
    let mut world = World::founded(24, 3);
    world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
    let leader = world.leader().expect("there is one");
    let appointments = world.appointments.len();
    world.host_mut(leader.0).disk_delay = (60_000_000, 60_000_000);
    let order = pause(&world, leader, 5);
    world.order(leader, order);
    world.run_until(4, "somebody else leads", |world| world.leader().is_some_and(|node| node != leader));
    assert!(world.host(leader.0).notes.iter().any(|note| note.contains("has not answered")), "{}", world.describe());
    world.run(Duration::from_secs(5));
    assert_eq!(world.appointments.len(), appointments, "the primary never noticed");
    assert!(world.lease_holder().is_some());
}

#[test]
fn a_vote_leaves_the_node_only_after_the_disk_has_it() {
    let world = World::founded(25, 3);
    let leader = world.leader().expect("there is one");
    let follower = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    let stored = world.host(follower.0).stored.clone();
    let mut machine = Machine::new(world.host(follower.0).config.clone(), &stored, Timestamp::from_micros(1)).expect("its own log");
    let mut now = Timestamp::from_micros(1);
    machine.step(now, Input::Woken);
    // It hears of nobody, stands for election, and says so to nobody before its vote for itself is on disk.
    let mut asked = false;
    let mut wrote = None;
    for _ in 0..400 {
        now = now + Duration::from_millis(10);
        for effect in machine.step(now, Input::Woken) {
            match effect {
                Effect::Persist(batch) => wrote = Some(batch.number),
                Effect::Send { message, .. } if matches!(*message, PeerMessage::Raft(_)) => asked = true,
                _ => {}
            }
        }
    }
    assert!(asked, "a pre-vote binds nobody and needs no disk");
    assert_eq!(wrote, None);
}

/// A follower just after its start, acquainted with that peer, to be driven by hand.
fn follower_by_hand(world: &World, follower: NodeId, peer: NodeId) -> Machine {
    let now = Timestamp::from_micros(1);
    let machine = |node: NodeId| Machine::new(world.host(node.0).config.clone(), &world.host(node.0).stored, now).expect("its own log");
    let mut follower_machine = machine(follower);
    follower_machine.step(now, Input::Woken);
    let sent = machine(peer).step(now, Input::Linked { node: follower });
    for effect in sent {
        if let Effect::Send { message, .. } = effect {
            follower_machine.step(now, Input::Heard { from: peer, message });
        }
    }
    follower_machine
}

/// What a message makes of a follower: what it orders to disk, and the kinds of what it sends before and after that is there.
fn promises(machine: &mut Machine, from: NodeId, message: crate::raft::RaftMessage) -> (crate::raft::Batch, Vec<u8>, Vec<u8>) {
    let now = Timestamp::from_micros(1);
    let sent = |effects: &[Effect]| {
        let raft = effects.iter().filter_map(|effect| match effect {
            Effect::Send { message, .. } => match &**message {
                PeerMessage::Raft(message) => Some(message.kind),
                _ => None,
            },
            _ => None,
        });
        raft.collect::<Vec<_>>()
    };
    let effects = machine.step(now, Input::Heard { from, message: Box::new(PeerMessage::Raft(Box::new(message))) });
    let batch = effects.iter().find_map(|effect| match effect {
        Effect::Persist(batch) => Some((**batch).clone()),
        _ => None,
    });
    let batch = batch.expect("something goes to disk");
    let after = machine.step(now, Input::Persisted { number: batch.number });
    (batch, sent(&effects), sent(&after))
}

/// `MessageType` as numbers.
const APPEND: u8 = 3;
const APPEND_RESPONSE: u8 = 4;
const REQUEST_VOTE: u8 = 5;
const REQUEST_VOTE_RESPONSE: u8 = 6;

/// Otherwise a node that restarts could vote twice in one term, and there would be two leaders.
#[test]
fn a_vote_is_on_disk_before_its_candidate_hears_of_it() {
    let world = World::founded(27, 3);
    let candidate = world.leader().expect("there is one");
    let voter = world.nodes().into_iter().find(|node| *node != candidate).expect("there are two");
    let mut machine = follower_by_hand(&world, voter, candidate);
    let mut request = super::screen::message(&world, candidate, voter, REQUEST_VOTE, 9);
    (request.log_term, request.index) = (8, 1000);
    let raft_id = request.from.0;
    let (batch, before, after) = promises(&mut machine, candidate, request);
    assert_eq!(batch.hard_state.map(|state| (state.term, state.vote)), Some((9, raft_id)), "the vote is part of what is kept");
    assert_eq!((before.as_slice(), after.as_slice()), ([].as_slice(), [REQUEST_VOTE_RESPONSE].as_slice()));
}

/// Otherwise a leader could count an entry as committed that a crash takes away again.
#[test]
fn entries_are_on_disk_before_they_are_acknowledged() {
    let world = World::founded(28, 3);
    let leader = world.leader().expect("there is one");
    let follower = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    let mut machine = follower_by_hand(&world, follower, leader);
    let last = world.host(follower.0).stored.entries.last().cloned().expect("the leader's first entry");
    let mut append = super::screen::message(&world, leader, follower, APPEND, last.term);
    (append.log_term, append.index) = (last.term, last.index);
    append.entries = alloc::vec![crate::raft::LogEntry { index: last.index + 1, data: Vec::new(), context: Vec::new(), ..last }];
    let (batch, before, after) = promises(&mut machine, leader, append);
    assert_eq!(batch.entries.len(), 1);
    assert_eq!((before.as_slice(), after.as_slice()), ([].as_slice(), [APPEND_RESPONSE].as_slice()));
}

/// Otherwise it could testify, lose the term in a crash, and then answer a round of the old leader after all.
#[test]
fn a_voter_testifies_only_of_a_term_that_is_on_its_disk() {
    let world = World::founded(26, 3);
    let leader = world.leader().expect("there is one");
    let follower = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    let stored = world.host(follower.0).stored.clone();
    let now = Timestamp::from_micros(1);
    let mut machine = Machine::new(world.host(follower.0).config.clone(), &stored, now).expect("its own log");
    machine.step(now, Input::Woken);
    let introduction = {
        let stored = world.host(leader.0).stored.clone();
        let mut machine = Machine::new(world.host(leader.0).config.clone(), &stored, now).expect("its own log");
        let effects = machine.step(now, Input::Linked { node: follower });
        let mut sent = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send { message, .. } if matches!(*message, PeerMessage::Introduction(_)) => Some(message),
            _ => None,
        });
        sent.next().expect("it introduces itself")
    };
    machine.step(now, Input::Heard { from: leader, message: introduction });
    let term = stored.hard_state.term + 1;
    let heartbeat = super::screen::heartbeat(&world, leader, follower, term);
    let effects = machine.step(now, Input::Heard { from: leader, message: Box::new(PeerMessage::Raft(Box::new(heartbeat))) });
    let number = effects.iter().find_map(|effect| match effect {
        Effect::Persist(batch) => Some(batch.number),
        _ => None,
    });
    let number = number.expect("the new term goes to disk");
    let testifies = |machine: &mut Machine| {
        let message = Box::new(PeerMessage::AskTestimony { term: Term(term) });
        let effects = machine.step(now, Input::Heard { from: leader, message });
        effects.iter().any(|effect| matches!(effect, Effect::Send { message, .. } if matches!(**message, PeerMessage::Testimony { .. })))
    };
    assert!(!testifies(&mut machine));
    machine.step(now, Input::Persisted { number });
    assert!(testifies(&mut machine));
}

fn write_many(world: &mut World, leader: NodeId, ids: core::ops::Range<u64>) {
    for id in ids {
        let order = pause(world, leader, id);
        world.order(leader, order);
        world.run(Duration::from_millis(1));
    }
}

fn short_logs(seed: u64) -> (World, NodeId) {
    let mut world = World::new(seed, 3);
    world.adjust = |config| config.snapshot_entries = 50;
    for node in world.nodes() {
        world.start(node);
        world.host_mut(node.0).holder.passive = true;
    }
    world.run_until(10, "a leader is ready", |world| world.leader().is_some() && world.is_whole());
    let leader = world.leader().expect("there is one");
    (world, leader)
}

/// Entries that a deposed leader appended in vain must not stay behind a snapshot that overtakes only some of them.
#[test]
fn a_snapshot_takes_the_place_of_entries_that_were_never_committed() {
    let (mut world, old) = short_logs(27);
    world.isolate(old);
    write_many(&mut world, old, 1..401);
    let vain = world.host(old.0).stored.entries.last().map_or(0, |entry| entry.index);
    world.run_until(5, "somebody else leads", |world| world.leader().is_some_and(|node| node != old));
    let leader = world.leader().expect("just seen");
    write_many(&mut world, leader, 1001..1201);
    world.heal();
    world.run_until(10, "it has caught up", |world| world.is_whole() && knows(world, old, 1200));
    world.run(Duration::from_secs(1));
    let stored = &world.host(old.0).stored;
    let index = stored.snapshot.as_ref().map_or(0, |image| image.index);
    assert!((150..vain).contains(&index), "the story is the one to tell: a snapshot at {index}, and a tail up to {vain}");
    world.crash(old);
    world.start(old);
    world.run_until(10, "it is back", |world| world.is_whole() && knows(world, old, 1200));
}

/// raft-rs would panic.
#[test]
fn nobody_stands_for_election_while_a_snapshot_is_on_its_way_to_disk() {
    let (mut world, leader) = short_logs(28);
    let away = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    world.crash(away);
    write_many(&mut world, leader, 1..401);
    world.start(away);
    world.host_mut(away.0).disk_delay = (8_000_000, 8_000_000);
    world.run_until(5, "it is shown the snapshot", |world| knows(world, away, 400));
    world.isolate(away);
    world.run(Duration::from_secs(5));
    world.heal();
    world.run_until(20, "it is back", World::is_whole);
}
