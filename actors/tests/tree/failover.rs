//! Three nodes, of which some are taken away. That no two servers are ever writable at once is asserted by the model all the time.

use super::founding::three;
use super::illness::Illness;
use super::node::{Node, World, timing};
use super::wait::{pass, until};
use actors::machine::Timestamp;
use actors::model::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What a failover may take beyond W: an election, the commits, the promotion.
const BEYOND_W: Duration = Duration::from_secs(2);
/// A node that is back streams after this.
const REJOIN_MAX: Duration = Duration::from_secs(8);

fn failover_max() -> Duration {
    timing().wait() + BEYOND_W
}

fn one_leads(nodes: &[Node], since: Timestamp) -> bool {
    nodes.iter().any(|node| node.leads_since(since))
}

#[tokio::test(start_paused = true)]
async fn a_standby_leads_soon_after_the_primarys_host_loses_power() {
    let (world, mut nodes) = three().await;
    let since = world.now();
    nodes.remove(0).lose_power();
    let took = until(failover_max(), "a standby leads", || one_leads(&nodes, since)).await;
    assert!(took > Duration::from_secs(1), "nobody could know so soon that the lease is over: {took:?}");
    let since = world.now();
    let back = Node::start(&world, NodeId(1)).await;
    until(REJOIN_MAX, "the old primary streams", || back.streams_since(since)).await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_leads_soon_after_the_primarys_daemon_dies_and_its_guard_ends_the_server_first() {
    let (world, mut nodes) = three().await;
    let since = world.now();
    nodes.remove(0).crash();
    until(failover_max(), "a standby leads", || one_leads(&nodes, since)).await;
    assert_eq!(world.databases.ended(NodeId(1)).len(), 1, "the guard ended the old primary");
    let since = world.now();
    let back = Node::start(&world, NodeId(1)).await;
    until(REJOIN_MAX, "the old primary streams", || back.streams_since(since)).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_restarted_within_its_lease_interrupts_nothing() {
    let (world, mut nodes) = three().await;
    let life = world.databases.life(NodeId(1));
    nodes.remove(0).crash();
    pass(Duration::from_millis(500)).await;
    let since = world.now();
    let back = Node::start(&world, NodeId(1)).await;
    until(Duration::from_secs(2), "it leads again", || back.leads_since(since)).await;
    pass(Duration::from_secs(10)).await;
    assert_eq!(world.databases.ended(NodeId(1)), [], "{}", super::log::end());
    assert_eq!(world.databases.life(NodeId(1)), life);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_cut_off_is_fenced_before_a_standby_leads() {
    let (world, nodes) = three().await;
    let since = world.now();
    cut(&world, NodeId(1), true);
    until(failover_max(), "a standby leads", || one_leads(&nodes[1..], since)).await;
    assert_eq!(world.databases.ended(NodeId(1)).len(), 1, "the old primary is fenced");
    let since = world.now();
    cut(&world, NodeId(1), false);
    until(REJOIN_MAX, "the old primary streams", || nodes[0].streams_since(since)).await;
}

fn cut(world: &World, node: NodeId, cut: bool) {
    world.links.cut(node, cut);
    world.databases.cut(node, cut);
}

/// A generator that repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let count = u64::try_from(of.len()).expect("a short list");
        of[usize::try_from(self.below(count)).expect("an index into a short list")]
    }
}

/// What befalls a node as a whole, until then.
enum Away {
    Down(Instant),
    Cut(Instant, Node),
}

/// Anything dies at any time, one host at a time is down or cut off, and once all is well again there are a primary and two standbys.
async fn chaos(seed: u64) {
    let (world, started) = three().await;
    let mut nodes: BTreeMap<NodeId, Node> = started.into_iter().map(|node| (node.node, node)).collect();
    let mut away: Option<(NodeId, Away)> = None;
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let end = Instant::now() + Duration::from_secs(120);
    while Instant::now() < end {
        pass(Duration::from_millis(100 + dice.below(3000))).await;
        match away.take() {
            Some((node, Away::Down(until))) if Instant::now() >= until => {
                nodes.insert(node, Node::start(&world, node).await);
            }
            Some((node, Away::Cut(until, cut_off))) if Instant::now() >= until => {
                cut(&world, node, false);
                nodes.insert(node, cut_off);
            }
            still => away = still,
        }
        let victim = dice.pick(&nodes.keys().copied().collect::<Vec<_>>());
        let until = Instant::now() + Duration::from_millis(dice.below(8000));
        match dice.below(8) {
            0..=3 => nodes[&victim].tree.kill(dice.pick(&["raft", "fsm", "pg", "probe", "api"])),
            4 => nodes[&victim].ward.infect(dice.pick(&["raft", "fsm", "pg"]), Illness::Panics),
            lot if away.is_none() => {
                let node = nodes.remove(&victim).expect("it was picked from them");
                away = Some((
                    victim,
                    match lot {
                        5 => {
                            node.crash();
                            Away::Down(until)
                        }
                        6 => {
                            node.lose_power();
                            Away::Down(until)
                        }
                        _ => {
                            cut(&world, victim, true);
                            Away::Cut(until, node)
                        }
                    },
                ));
            }
            _ => {}
        }
    }
    match away {
        Some((node, Away::Down(_))) => drop(nodes.insert(node, Node::start(&world, node).await)),
        Some((node, Away::Cut(_, cut_off))) => {
            cut(&world, node, false);
            nodes.insert(node, cut_off);
        }
        None => {}
    }
    let healed = world.now();
    let recently = || healed.max(world.now() - Duration::from_secs(1));
    let (mut leads, mut streams) = (0, 0);
    until(Duration::from_secs(30), &format!("in seed {seed} one leads and two stream"), || {
        leads = nodes.values().filter(|node| node.leads_since(recently())).count();
        streams = nodes.values().filter(|node| node.streams_since(recently())).count();
        (leads, streams) == (1, 2)
    })
    .await;
}

#[test]
fn whatever_dies_there_is_one_primary_at_most_and_in_the_end_one() {
    for seed in 1..=5 {
        // A runtime of its own, so that nothing of one story lives on in the next.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(chaos(seed));
    }
}
