//! How fast and how smoothly the leadership moves, and what that means for a primary (S12, L1).

use super::world::World;
use crate::model::{Boot, Epoch, LeaseRequest, LeaseTiming, NodeId, Term};
use crate::raft::{Gate, Input, Order, PeerMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

#[test]
fn a_handed_over_leadership_arrives_at_once_and_no_lease_is_lost() {
    for seed in 0..10 {
        let mut world = World::founded(300 + seed, 3);
        world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
        world.run(Duration::from_secs(2));
        let leader = world.leader().expect("there is one");
        let appointments = world.appointments.len();
        world.order(leader, Order::HandOver);
        assert!(!world.host(leader.0).holder.led.ready, "it decides nothing any more");
        let took = world.run_until(2, "somebody else leads", |world| world.leader().is_some_and(|node| node != leader));
        assert!(took < Duration::from_millis(100), "{took:?}");
        world.run(Duration::from_secs(10));
        assert_eq!(world.appointments.len(), appointments, "the primary stays");
    }
}

#[test]
fn a_leader_that_cannot_hand_over_steps_down() {
    let mut world = World::founded(310, 3);
    let leader = world.leader().expect("there is one");
    world.isolate(leader);
    world.order(leader, Order::HandOver);
    world.run(Duration::from_secs(3));
    assert_ne!(world.host(leader.0).holder.led.leader, Some(leader));
}

#[test]
fn a_lone_voter_has_nobody_to_hand_over_to() {
    let mut world = World::new(311, 1);
    world.start(NodeId(1));
    world.run_until(3, "it leads", |world| world.leader().is_some());
    world.order(NodeId(1), Order::HandOver);
    world.run(Duration::from_secs(3));
    assert_eq!(world.leader(), Some(NodeId(1)));
}

/// L1: the loss of a Raft leader that is not the primary interrupts nobody.
#[test]
fn losing_a_leader_costs_a_primary_elsewhere_nothing() {
    let timing = LeaseTiming::default();
    for seed in 0..20 {
        let mut world = World::founded(320 + seed, 3);
        world.drift();
        world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
        let holder = world.lease_holder().expect("just seen");
        if world.leader() == Some(holder) {
            world.order(holder, Order::HandOver);
            world.run_until(3, "somebody else leads", |world| world.leader().is_some_and(|node| node != holder));
        }
        world.run(Duration::from_secs(3));
        let leader = world.leader().expect("there is one");
        let begun = world.now;
        world.crash(leader);
        world.run_until(3, "there is a new leader", |world| world.leader().is_some_and(|node| node != leader));
        let largest = world.host(1).config.largest_election_timeout() + Duration::from_millis(300);
        assert!(Duration::from_micros(world.now - begun) <= largest, "{} us", world.now - begun);
        let margin = u64::try_from(timing.kill_margin.as_micros()).expect("a short time");
        let (_, end) = world.hosts[&holder].lease.expect("it holds one");
        let short = world.now + 100_000;
        assert!(end > begun + margin);
        world.run_until(1, "the lease is renewed", |world| world.hosts[&holder].lease.is_some_and(|(_, renewed)| renewed > end));
        assert!(end > world.now + margin, "renewed {} us before the guard would have struck", end.saturating_sub(short + margin));
        assert_eq!(world.lease_holder(), Some(holder));
    }
}

/// The testimony's worth: W runs from the last round that the dead leader was granted, not from the election after it.
#[test]
fn a_dead_primary_that_led_is_replaced_w_after_its_last_lease() {
    let wait = LeaseTiming::default().wait();
    for seed in 0..20 {
        let mut world = World::founded(350 + seed, 3);
        world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
        world.run(Duration::from_secs(2));
        let holder = world.lease_holder().expect("just seen");
        if world.leader() != Some(holder) {
            continue;
        }
        let begun = world.now;
        let appointments = world.appointments.len();
        world.crash(holder);
        world.run_until(10, "a successor is appointed", |world| world.appointments.len() > appointments);
        let took = Duration::from_micros(world.now - begun);
        assert!(took <= wait + Duration::from_millis(100), "{took:?}");
        let successor = world.hosts.values().find(|host| host.machine.is_some()).and_then(|host| host.holder.state.clone());
        assert!(successor.is_some_and(|state| state.epoch.0 == 2));
    }
}

#[test]
fn a_gate_opens_by_itself_when_w_is_over() {
    let mut world = World::founded(370, 3);
    world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
    for node in world.nodes() {
        world.host_mut(node.0).holder.passive = true;
    }
    let holder = world.lease_holder().expect("just seen");
    if world.leader() == Some(holder) {
        world.order(holder, Order::HandOver);
        world.run(Duration::from_secs(2));
    }
    world.crash(holder);
    let leader = world.leader().expect("there is one");
    assert_eq!(world.host(leader.0).holder.led.gate, Gate::Closed);
    world.run_until(4, "the gate is open", |world| world.host(leader.0).holder.led.gate == Gate::Lapsed);
    assert_eq!(world.lease_holder(), None);
    // And a release opens it at once.
    world.start(holder);
    world.run_until(5, "the holder has its lease back", |world| world.lease_holder() == Some(holder));
    world.host_mut(holder.0).holder.stopping = true;
    world.run_until(1, "the gate is open", |world| {
        world.leader().is_some_and(|leader| world.host(leader.0).holder.led.gate == Gate::Released)
    });
}

/// Its followers may know of an appointment before its own disk does.
#[test]
fn a_leader_with_a_slow_disk_grants_the_first_request_of_whom_it_appointed() {
    let mut others = 0;
    for seed in 0..20 {
        let mut world = World::founded(390 + seed, 3);
        world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
        world.run(Duration::from_secs(1));
        let leader = world.leader().expect("there is one");
        world.host_mut(leader.0).disk_delay = (60_000, 60_000);
        let holder = world.lease_holder().expect("just seen");
        let appointments = world.appointments.len();
        world.host_mut(holder.0).holder.stopping = true;
        world.run_until(2, "a successor is appointed", |world| world.appointments.len() > appointments);
        let took = world.run_until(3, "the successor has its lease", |world| world.lease_holder().is_some());
        let successor = world.lease_holder().expect("just seen");
        // Who led the old epoch may be appointed again, and has nothing to ask for.
        let at_once = world.host(successor.0).lease.is_some_and(|(epoch, _)| epoch == Epoch(2));
        if successor != leader && successor != holder && at_once {
            others += 1;
            assert!(took < Duration::from_millis(200), "seed {seed}: {took:?}");
        }
    }
    assert!(others > 3, "{others}");
}

/// The file of every node says 3 s; the cluster was born with 6 s, and only that counts.
#[test]
fn a_leader_waits_by_the_clusters_t_whatever_its_file_says() {
    let mut world = World::new(380, 3);
    world.adjust = |config| config.settings.lease_ttl_ms = 6000;
    for node in world.nodes() {
        world.start(node);
    }
    world.run_until(10, "somebody holds a lease", |world| world.lease_holder().is_some());
    world.run(Duration::from_secs(2));
    for node in world.nodes() {
        world.host_mut(node.0).holder.passive = true;
    }
    let holder = world.lease_holder().expect("just seen");
    world.crash(holder);
    let gates = |world: &World| {
        let alive = world.hosts.values().filter(|host| host.machine.is_some());
        alive.map(|host| host.holder.led.gate).collect::<Vec<_>>()
    };
    world.run(Duration::from_millis(5400));
    assert!(world.leader().is_some(), "there would be somebody to appoint");
    assert_eq!(gates(&world), [Gate::Closed; 2], "a lease of six seconds may be valid");
    world.run_until(2, "the gate is open", |world| gates(world).contains(&Gate::Lapsed));
}

/// A testimony is about the leaders before the term in which it was asked for. One that was long on its way knows nothing of those since.
#[test]
fn a_testimony_that_was_asked_for_in_another_term_opens_no_gate() {
    let mut told = 0;
    for seed in 0..8 {
        let mut world = World::founded(380 + seed, 3);
        world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
        for node in world.nodes() {
            world.host_mut(node.0).holder.passive = true;
        }
        let holder = world.lease_holder().expect("just seen");
        if world.leader() != Some(holder) {
            continue;
        }
        world.crash(holder);
        world.run_until(5, "somebody else leads", |world| world.leader().is_some_and(|node| node != holder));
        let leader = world.leader().expect("just seen");
        let term = world.host(leader.0).holder.led.term;
        let mut gate_after = |term| {
            for node in world.nodes().into_iter().filter(|node| *node != leader) {
                let message = Box::new(PeerMessage::Testimony { term, age: Duration::from_secs(3600) });
                world.step(leader, Input::Heard { from: node, message });
            }
            world.host(leader.0).holder.led.gate
        };
        assert_eq!(gate_after(Term(term.0 - 1)), Gate::Closed);
        assert_eq!(gate_after(term), Gate::Lapsed);
        told += 1;
    }
    assert!(told > 0, "somewhere the leader held the lease");
}

/// S8: nobody grants a lease for a released epoch, however late the request comes.
#[test]
fn a_released_epoch_is_granted_no_more() {
    let mut world = World::new(312, 1);
    let node = NodeId(1);
    world.start(node);
    world.run_until(3, "it holds a lease", |world| world.lease_holder().is_some());
    world.host_mut(1).holder.passive = true;
    let grants = world.granted;
    let request = LeaseRequest { node, epoch: Epoch(1), boot: Boot(5), seq: 1 };
    world.order(node, Order::RequestLease(request));
    world.run(Duration::from_secs(1));
    assert!(world.granted > grants, "while it is held it is granted");
    world.host_mut(1).holder.stopping = true;
    world.run_until(1, "the gate is open", |world| world.host(1).holder.led.gate == Gate::Released);
    let grants = world.granted;
    world.order(node, Order::RequestLease(request));
    world.run(Duration::from_secs(1));
    assert_eq!(world.granted, grants);
}

#[test]
fn a_leader_is_not_ready_before_an_entry_of_its_own_term_is_applied() {
    let mut world = World::new(313, 1);
    world.start(NodeId(1));
    world.run_until(3, "it leads", |world| world.leader().is_some());
    world.run(Duration::from_secs(1));
    world.crash(NodeId(1));
    world.host_mut(1).disk_delay = (300_000, 300_000);
    world.start(NodeId(1));
    world.run_until(10, "it is elected again", |world| world.host(1).holder.led.leader == Some(NodeId(1)));
    assert!(!world.host(1).holder.led.ready, "its first entry is still on its way to disk");
    world.run_until(3, "it is ready", |world| world.host(1).holder.led.ready);
}
