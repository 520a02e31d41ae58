//! S13: how clusters are born, how a lost log comes back, and what never becomes a second cluster.

use super::world::World;
use crate::machine::Timestamp;
use crate::model::{Member, NodeId, RaftId};
use crate::raft::{Input, Machine, PeerMessage, Stored, Unusable};
use alloc::boxed::Box;
use alloc::string::ToString;
use core::time::Duration;

fn born(world: &World, node: u64) -> bool {
    world.host(node).stored.identity.as_ref().is_some_and(|identity| identity.born)
}

fn notes(world: &World, word: &str) -> bool {
    world.hosts.values().any(|host| host.notes.iter().any(|note| note.contains(word)))
}

#[test]
fn a_lone_node_is_born_at_once() {
    let mut world = World::new(1, 1);
    world.start(NodeId(1));
    world.run_until(3, "it leads", |world| world.leader() == Some(NodeId(1)));
    world.run_until(3, "it holds a lease", |world| world.lease_holder() == Some(NodeId(1)));
}

#[test]
fn nobody_is_born_while_somebody_is_missing() {
    let mut world = World::new(2, 3);
    world.start(NodeId(1));
    world.start(NodeId(2));
    world.run(Duration::from_secs(30));
    assert!(world.hosts.values().all(|host| host.stored.identity.is_none()), "nobody even prepares");
    world.start(NodeId(3));
    world.run_until(10, "a cluster is there", |world| world.leader().is_some() && world.is_whole());
}

#[test]
fn every_founder_begins_with_the_same_log() {
    let world = World::founded(3, 5);
    let first = world.host(1).stored.identity.clone().map(|identity| identity.birth);
    for node in 1..=5 {
        assert_eq!(world.host(node).stored.identity.clone().map(|identity| identity.birth), first);
    }
}

/// The power fails for one node, and then for another, at every moment of a birth; each time, everybody ends up in one cluster, and no
/// prepared Raft id is lost.
#[test]
fn a_crash_in_the_middle_of_a_birth_goes_on() {
    for moment in 0..60 {
        let mut world = World::new(100 + moment, 3);
        for node in world.nodes() {
            world.start(node);
            world.host_mut(node.0).disk_delay = (100, 30_000);
        }
        world.run(Duration::from_millis(moment * 4));
        let victim = NodeId(1 + moment % 3);
        world.crash(victim);
        let kept = world.raft_id(victim.0);
        world.run(Duration::from_millis(700 * (moment % 5)));
        let second = NodeId(1 + (moment / 3) % 3);
        world.crash(second);
        world.start(second);
        if victim != second {
            world.start(victim);
        }
        world.run_until(20, "a cluster is there", |world| world.leader().is_some() && world.is_whole());
        if kept.is_some() {
            assert_eq!(world.raft_id(victim.0), kept, "a prepared id stays");
        }
        assert_eq!(world.history.keys().next(), Some(&1), "everybody began with the same first state, or the world had said so");
    }
}

#[test]
fn files_that_disagree_are_named_and_nobody_is_born() {
    let mut world = World::new(4, 3);
    world.host_mut(2).config.members[2].witch.port = 7777;
    for node in world.nodes() {
        world.start(node);
    }
    world.run(Duration::from_secs(5));
    assert!(!(1..=3).any(|node| born(&world, node)));
    assert!(
        notes(&world, "the address of node 3 is h3:7000 in the file of this node but h3:7777 in that of node 2"),
        "{}",
        world.describe()
    );
    let repeated = world.host(1).notes.iter().filter(|note| note.contains("7777")).count();
    assert_eq!(repeated, 1, "and not with every introduction");
}

#[test]
fn a_node_that_lost_its_log_joins_anew_under_another_id() {
    let mut world = World::founded(5, 3);
    let old = world.raft_id(3);
    world.crash(NodeId(3));
    world.wipe(NodeId(3));
    world.run(Duration::from_secs(3));
    world.start(NodeId(3));
    world.run_until(15, "node 3 is a voter again", |world| {
        let id = world.raft_id(3);
        id != old && born(world, 3) && world.is_whole() && world.votes(1).contains(&id.map_or(0, |id| id.0))
    });
    assert_eq!(world.votes(1).len(), 3);
    let recorded = world.host(1).holder.state.as_ref().and_then(|state| state.members.get(&NodeId(3)).map(|member| member.raft_id));
    assert_eq!(recorded, world.raft_id(3));
    // Its vote counts: the other two need it when one of them dies.
    world.crash(NodeId(1));
    world.run_until(5, "two of three suffice", |world| world.leader().is_some_and(|node| node != NodeId(1)));
}

#[test]
fn a_leader_that_lost_its_log_comes_back_as_well() {
    let mut world = World::founded(6, 3);
    let leader = world.leader().expect("there is one");
    world.crash(leader);
    world.wipe(leader);
    world.start(leader);
    world.run_until(20, "it is back", |world| born(world, leader.0) && world.leader().is_some() && world.is_whole());
}

/// Somebody else begins with an empty disk in the name of a node that is well: its membership stays its own.
#[test]
fn a_raft_id_that_still_speaks_is_not_replaced() {
    let mut world = World::founded(13, 3);
    world.run(Duration::from_secs(5));
    let leader = world.leader().expect("there is one");
    let node = world.nodes().into_iter().find(|node| *node != leader).expect("there are two");
    let votes = world.votes(leader.0);
    let raft_id = RaftId(4242);
    let member = Member { raft_id, ..world.host(node.0).config.own().cloned().expect("a member") };
    for _ in 0..10 {
        let message = Box::new(PeerMessage::Join { raft_id, member: member.clone() });
        world.step(leader, Input::Heard { from: node, message });
        world.run(Duration::from_millis(200));
    }
    assert_eq!(world.votes(leader.0), votes);
}

#[test]
fn two_of_three_lost_logs_found_no_second_cluster() {
    let mut world = World::founded(7, 3);
    for node in [2, 3] {
        world.crash(NodeId(node));
        world.wipe(NodeId(node));
        world.start(NodeId(node));
    }
    world.run(Duration::from_secs(30));
    assert!(!born(&world, 2) && !born(&world, 3));
    assert_eq!(world.leader(), None, "and the first has no quorum any more");
    // Nor do they without the third.
    world.crash(NodeId(1));
    for node in [2, 3] {
        world.crash(NodeId(node));
        world.wipe(NodeId(node));
        world.start(NodeId(node));
    }
    world.run(Duration::from_secs(30));
    assert!(!born(&world, 2) && !born(&world, 3));
}

/// Two nodes are born, the third has only agreed to it, and the two lose their disks before it learns more.
#[test]
fn two_of_three_lost_logs_found_no_second_cluster_even_in_the_middle_of_a_birth() {
    let mut told = 0;
    for seed in 0..16 {
        let mut world = World::new(700 + seed, 3);
        world.host_mut(3).disk_delay = (30_000, 30_000);
        for node in world.nodes() {
            world.start(node);
        }
        world.run_until(5, "two are born", |world| born(world, 1) && born(world, 2));
        for node in [1, 2, 3] {
            world.crash(NodeId(node));
        }
        if born(&world, 3) {
            continue;
        }
        for node in [1, 2] {
            world.wipe(NodeId(node));
        }
        for node in world.nodes() {
            world.start(node);
        }
        world.run(Duration::from_secs(30));
        assert!(!(1..=3).any(|node| born(&world, node)));
        assert!(notes(&world, "has agreed to the birth of a cluster"));
        told += 1;
    }
    assert!(told > 0, "somewhere the third disk was too slow");
}

#[test]
fn an_old_log_of_the_same_id_is_not_listened_to() {
    let mut world = World::founded(8, 3);
    let follower = world.nodes().into_iter().find(|node| Some(*node) != world.leader()).expect("there are two");
    let old = world.host(follower.0).stored.clone();
    for _ in 0..4 {
        world.run(Duration::from_secs(2));
        let holder = world.lease_holder();
        if let Some(holder) = holder {
            world.host_mut(holder.0).holder.stopping = true;
        }
    }
    world.run(Duration::from_secs(2));
    world.crash(follower);
    world.host_mut(follower.0).stored = old;
    world.start(follower);
    world.run(Duration::from_secs(5));
    assert!(notes(&world, "older than what it promised"), "{}", world.describe());
    let leader = world.leader().expect("the two others suffice");
    // Nor does it count: the leader and it are no quorum.
    let other = world.nodes().into_iter().find(|node| *node != follower && *node != leader).expect("three nodes");
    world.crash(other);
    world.run(Duration::from_secs(10));
    assert_eq!(world.leader(), None, "{}", world.describe());
}

#[test]
fn an_old_disk_that_comes_back_after_its_replacement_begins_anew() {
    let mut world = World::founded(9, 3);
    world.crash(NodeId(3));
    let old = world.host(3).stored.clone();
    world.wipe(NodeId(3));
    world.start(NodeId(3));
    world.run_until(20, "it has joined", |world| born(world, 3) && world.is_whole() && world.votes(1).len() == 3);
    let replacement = world.raft_id(3);
    world.crash(NodeId(3));
    world.host_mut(3).stored = old.clone();
    world.start(NodeId(3));
    world.run_until(30, "it has joined again", |world| {
        born(world, 3)
            && world.is_whole()
            && world.raft_id(3) != replacement
            && world.raft_id(3) != old.identity.as_ref().map(|id| id.raft_id)
    });
}

#[test]
fn two_clusters_of_one_name_exchange_nothing() {
    let mut world = World::founded(10, 3);
    let other = World::founded(11, 3);
    let follower = world.nodes().into_iter().find(|node| Some(*node) != world.leader()).expect("there are two");
    world.crash(follower);
    world.foreign = Some(follower);
    world.host_mut(follower.0).stored = other.host(follower.0).stored.clone();
    world.start(follower);
    world.run(Duration::from_secs(20));
    assert!(notes(&world, "belongs to another cluster that is also called `c`"), "{}", world.describe());
    assert_eq!(world.raft_id(follower.0), other.raft_id(follower.0), "neither takes the other in");
    assert!(world.host(follower.0).holder.led.leader.is_none());
}

fn open(world: &World, change: impl Fn(&mut Stored)) -> Result<Machine, Unusable> {
    let mut stored = world.host(1).stored.clone();
    change(&mut stored);
    Machine::new(world.host(1).config.clone(), &stored, Timestamp::default())
}

#[test]
fn a_damaged_log_is_refused_and_says_what_is_wrong() {
    let mut world = World::founded(12, 3);
    world.run(Duration::from_secs(5));
    let world = world;
    let refusal = |change: fn(&mut Stored)| open(&world, change).expect_err("a damaged log").to_string();
    assert!(open(&world, |_| {}).is_ok());
    assert!(world.host(1).stored.entries.len() >= 2, "there is something to damage");
    assert!(refusal(|stored| drop(stored.entries.remove(0))).contains("entry 1 is followed by entry 3"));
    assert!(refusal(|stored| stored.entries[1].term = 1).contains("of term 1, the one before it of term"));
    assert!(refusal(|stored| stored.hard_state.commit = 999).contains("committed up to index 999"));
    assert!(refusal(|stored| stored.hard_state.commit = 0).contains("applied up to index 1 but committed only up to 0"));
    assert!(refusal(|stored| stored.hard_state.term = 0).contains("its own term is 0"));
    assert!(refusal(|stored| stored.snapshot = None).contains("its beginning is missing"));
    assert!(refusal(|stored| stored.entries[0].kind = 9).contains("unknown kind 9"));
    assert!(refusal(|stored| stored.identity = None).contains("whose log it is"));
    assert!(refusal(|stored| stored.identity.as_mut().expect("born").node = NodeId(2)).contains("belongs to node 2"));
    assert!(refusal(|stored| stored.identity.as_mut().expect("born").cluster = "x".into()).contains("cluster `x`"));
}
