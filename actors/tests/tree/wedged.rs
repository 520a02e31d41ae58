//! An FSM that lives and does nothing any more: supervisors see deaths, not wedges. The pulse and the stamp of the status do.

use super::database::Cause;
use super::founding::alone;
use super::illness::Illness;
use super::node::{Node, World, timing};
use super::wait::{pass, until};
use actors::model::NodeId;
use actors::watchdog::{self, Pulse, may_pet};
use std::time::Duration;

/// Whether a hardware watchdog would be petted now, as far as the pulse and the published lease say.
fn pets(world: &World, node: &Node) -> bool {
    let config = watchdog::Config { mode: watchdog::Mode::Required, ..watchdog::Config::default() };
    let lease_end = node.status().and_then(|status| status.lease.end);
    may_pet(&config, world.now(), Some(&Pulse { at: *node.pulse.borrow(), harmless: false, lease_end }))
}

#[tokio::test(start_paused = true)]
async fn a_living_fsm_keeps_the_pulse_and_the_status_young() {
    let (world, node) = alone().await;
    for _ in 0..10_000 {
        pass(Duration::from_millis(1)).await;
        assert!(world.now().since(*node.pulse.borrow()) <= watchdog::Config::default().pulse_age_max, "at {:?}", world.now());
        assert!(pets(&world, &node), "at {:?}", world.now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wedged_fsm_stops_the_pulse_and_the_guard_ends_the_server_in_time() {
    let (world, mut node) = alone().await;
    until(Duration::from_secs(1), "the watchdog is petted", || pets(&world, &node)).await;
    node.ward.infect("fsm", Illness::Wedged);
    pass(watchdog::Config::default().pulse_age_max + Duration::from_millis(50)).await;
    node.pulse.mark_unchanged();
    assert!(!pets(&world, &node), "the last pulse is too old");

    let (status, end) = (node.status().expect("it is published"), world.databases.lease_end(NodeId(1)).expect("a lease is held"));
    let strike = end - timing().kill_margin;
    pass(strike.since(world.now()) - Duration::from_millis(2)).await;
    assert!(world.databases.life(NodeId(1)).is_some(), "the lease still holds");
    assert_eq!(node.get("/primary").await, 503, "the status says `writable` and is too old to be believed");
    pass(Duration::from_millis(4)).await;
    assert_eq!(world.databases.life(NodeId(1)), None, "the guard has ended the server");
    let ended = world.databases.ended(NodeId(1));
    assert!(matches!(ended[..], [(at, Cause::LeaseOver(of))] if of == end && at.since(strike) <= Duration::from_millis(1)), "{ended:?}");

    pass(Duration::from_secs(20)).await;
    assert_eq!(world.databases.life(NodeId(1)), None, "nobody gives an order");
    assert_eq!(node.status(), Some(status), "nothing was published");
    assert!(!node.pulse.has_changed().expect("the sender lives"), "no pulse");
    assert!(!pets(&world, &node));
    assert_eq!(node.get("/primary").await, 503);

    // Whoever ends the wedged life, its next one goes on.
    let since = world.now();
    node.tree.kill("fsm");
    until(Duration::from_secs(3), "the next life leads again", || node.leads_since(since)).await;
}
