//! S1-S5 and S12 under everything at once: clocks at the edge of rho, crashes, cuts, pauses, stragglers, slow disks, handovers, releases.
//! The world checks after every grant that no two leases are valid in the same instant of true time, and for every appointment that none was
//! valid when it was proposed.

use super::world::{Network, World};
use crate::model::NodeId;
use crate::raft::Order;
use core::time::Duration;

#[test]
fn three_nodes_elect_commit_and_grant() {
    let mut world = World::founded(1, 3);
    world.run_until(5, "somebody holds a lease", |world| world.lease_holder().is_some());
    let grants = world.grants;
    world.run(Duration::from_secs(10));
    assert!(world.grants >= grants + 15, "renewed twice a second: {}", world.grants - grants);
    assert_eq!(world.appointments.len(), 1, "a healthy primary is never replaced");
}

fn chaos(seed: u64, nodes: u64, seconds: u64) -> World {
    std::println!("seed {seed}");
    let mut world = World::new(seed, nodes);
    world.drift();
    world.network = match world.dice.below(3) {
        0 => Network { delay: (100, 1000), straggle: (0, 0), loss: 0 },
        1 => Network { delay: (100, 20_000), straggle: (20, 2_000_000), loss: 100 },
        _ => Network { delay: (500, 50_000), straggle: (10, 4_000_000), loss: 20 },
    };
    for node in world.nodes() {
        world.start(node);
        world.host_mut(node.0).disk_delay =
            [(100, 1000), (1000, 200_000), (100, 3_000_000)][usize::try_from(world.dice.below(3)).unwrap_or(0)];
    }
    let end = seconds * 1_000_000;
    while world.now < end {
        let pause = world.dice.between(50, 2500);
        world.run(Duration::from_millis(pause));
        mischief(&mut world, nodes);
    }
    world
}

/// Faults come in bouts: some mischief, and then peace for long enough that somebody is primary again.
fn mischief(world: &mut World, nodes: u64) {
    // Mostly against those who matter.
    let anybody = NodeId(world.dice.between(1, nodes));
    let node = match world.dice.below(3) {
        0 => world.leader().unwrap_or(anybody),
        1 => world.lease_holder().unwrap_or(anybody),
        _ => anybody,
    };
    match world.dice.below(18) {
        0 | 1 => world.crash(node),
        2 | 3 => world.isolate(node),
        4 => {
            let peer = NodeId(world.dice.between(1, nodes));
            world.cuts.insert((node, peer));
        }
        5 => {
            let until = world.now + world.dice.between(100_000, 6_000_000);
            world.freeze(node, until);
        }
        6 => {
            if let Some(leader) = world.leader() {
                world.order(leader, Order::HandOver);
            }
        }
        7 => world.host_mut(node.0).holder.stopping = true,
        8 | 9 => {
            // A daemon that is back before anybody noticed.
            world.crash(node);
            world.start(node);
        }
        10..=13 => world.heal(),
        _ => {
            for node in world.nodes() {
                if world.hosts[&node].machine.is_none() {
                    world.start(node);
                }
            }
        }
    }
}

/// How many stories each test tells; more of them when somebody asks for it.
fn seeds(few: u64) -> u64 {
    std::env::var("RAFT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn no_two_leases(few: u64, nodes: u64) {
    let (mut appointments, mut grants) = (0, 0);
    for seed in 0..seeds(few) {
        let world = chaos(seed, nodes, 40);
        appointments += world.appointments.len();
        grants += world.grants;
    }
    std::println!("{appointments} appointments, {grants} grants");
    assert!(appointments > 3 * usize::try_from(seeds(few)).unwrap_or(0), "the story is worth telling: {appointments} appointments");
    assert!(grants > 15 * seeds(few), "{grants} grants");
}

#[test]
fn no_two_leases_are_ever_valid_at_once_among_three() {
    no_two_leases(60, 3);
}

#[test]
fn no_two_leases_are_ever_valid_at_once_among_five() {
    no_two_leases(20, 5);
}

/// A daemon that comes back within a moment numbers its requests from one again, while grants to its earlier lives are still on their way:
/// only the boot nonce tells them apart.
#[test]
fn a_grant_to_an_earlier_life_is_void() {
    for seed in 0..seeds(20) {
        std::println!("seed {seed}");
        let mut world = World::founded(seed, 3);
        world.network = Network { delay: (100, 400), straggle: (2, 2_500_000), loss: 3 };
        while world.now < 60_000_000 {
            let pause = world.dice.between(100, 700);
            world.run(Duration::from_millis(pause));
            let holder = world.hosts.values().find_map(|host| host.holder.state.as_ref()?.leaseholder()).map(|(node, _)| node);
            if let Some(node) = holder {
                world.crash(node);
                world.start(node);
            }
        }
    }
}
