//! What load balancers and people read.

use super::world::*;
use crate::model::{Database, LeaseStatus, NodeId, Server, Status};
use crate::pg::conditions::crashes::IN_PLACE;
use serde_json::Value;

async fn codes(world: &World) -> [u16; 3] {
    [world.get("/health").await.code, world.get("/primary").await.code, world.get("/replica").await.code]
}

#[tokio::test]
async fn a_primary_and_a_standby_answer_as_what_they_are() {
    let world = world(config()).await;
    assert_eq!(codes(&world).await, [200, 200, 503]);
    world.publish(standby());
    assert_eq!(codes(&world).await, [200, 503, 200]);
}

#[tokio::test]
async fn a_primary_that_recovers_in_place_is_none_and_says_what_happened() {
    let world = world(config()).await;
    let mut status = Status { writable: false, ..primary() };
    let database = status.database.as_mut().expect("it has one");
    database.server = Server::StartingPrimary;
    database.conditions = vec![IN_PLACE.seen("server process (PID 7) was terminated by signal 9: Killed: for 3 s")];
    world.publish(status);
    assert_eq!(codes(&world).await, [503, 503, 503]);
    for path in ["/primary", "/health"] {
        let reason = world.get(path).await.reason();
        assert!(reason.contains("signal 9") && reason.contains("start_timeout_ms"), "{reason}");
    }
}

#[tokio::test]
async fn a_wedged_fsm_cannot_look_healthy() {
    let world = world(config()).await;
    for status in [primary(), standby()] {
        world.publish(Status { at: ago(61), ..status });
        assert_eq!(codes(&world).await, [503, 503, 503]);
        let reply = world.get("/health").await;
        assert!(reply.reason().starts_with("status is 61"), "{}", reply.reason());
        assert!(reply.reason().ends_with("ms old: the FSM does not answer"), "{}", reply.reason());
        assert_eq!(world.get("/cluster").await.code, 503);
        // For diagnosis the last word is still there, and says its age.
        let node = world.get("/node").await;
        assert_eq!(node.code, 200);
        assert!(node.header("witch-status-age-ms").parse::<u64>().unwrap() >= 61_000);
    }
}

#[tokio::test]
async fn before_the_first_status_nothing_is_claimed() {
    let world = world(config()).await;
    world.status.send_replace(None);
    for path in ["/health", "/primary", "/replica", "/node", "/cluster", "/history"] {
        let reply = world.get(path).await;
        assert_eq!((reply.code, reply.error().as_str()), (503, "starting"), "{path}");
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_since_the_status_was_made_is_no_primary() {
    let world = world(config()).await;
    let mut status = primary();
    status.lease.end = Some(ago(0));
    world.publish(status);
    assert_eq!(codes(&world).await, [503, 503, 503]);
    assert!(world.get("/primary").await.reason().contains("the lease of node 1 (`anna`) ended"));
    world.publish(Status { lease: LeaseStatus::default(), ..primary() });
    assert_eq!(codes(&world).await, [503, 503, 503]);
    world.publish(Status { writable: false, ..primary() });
    assert_eq!(codes(&world).await, [503, 503, 503]);
}

#[tokio::test]
async fn a_standby_that_readers_should_avoid_says_why() {
    let world = world(config()).await;
    world.publish(Status { readable: false, ..standby() });
    assert!(world.get("/replica").await.reason().contains("noloadbalance"));
    let mut status = Status { readable: false, ..standby() };
    status.database = status.database.map(|database| Database { streaming: false, ..database });
    world.publish(status);
    assert!(world.get("/replica").await.reason().contains("does not stream"));
    assert_eq!(world.get("/health").await.code, 200, "it is a standby that runs all the same");
}

#[tokio::test]
async fn a_server_that_is_down_or_a_node_that_is_no_member_is_not_healthy() {
    let world = world(config()).await;
    let mut status = standby();
    status.readable = false;
    status.database =
        status.database.map(|database| Database { server: Server::Stopped, trouble: Some("no space left".into()), ..database });
    world.publish(status);
    let reply = world.get("/health").await;
    assert_eq!(reply.code, 503);
    assert!(reply.reason().contains("stopped; no space left"), "{}", reply.reason());
    world.publish(Status { state: None, waiting_for: Some("two of three nodes".into()), ..standby() });
    let reply = world.get("/health").await;
    assert_eq!((reply.code, reply.error().as_str()), (503, "no_member"));
    assert!(reply.reason().contains("two of three nodes"));
    world.publish(Status { node: NodeId(9), ..standby() });
    assert_eq!(world.get("/health").await.code, 503, "a stranger with the cluster's state is no member");
}

#[tokio::test]
async fn a_witness_is_healthy_without_a_database() {
    let world = world(config()).await;
    world.publish(Status { node: NodeId(3), database: None, readable: false, ..standby() });
    assert_eq!(codes(&world).await, [200, 503, 503]);
}

#[tokio::test]
async fn load_balancers_may_ask_with_head_and_options() {
    let world = world(config()).await;
    for (path, code) in [("/health", 200), ("/primary", 200), ("/replica", 503)] {
        for method in ["HEAD", "OPTIONS"] {
            let reply = call(world.address(), method, path, &[], "").await;
            assert_eq!((reply.code, reply.body.len()), (code, 0), "{method} {path}");
        }
    }
    assert_eq!(call(world.address(), "OPTIONS", "/primary", &[], "").await.header("allow"), "GET, HEAD, OPTIONS");
    assert_eq!(world.get("/primary?lag=1MB").await.code, 200, "a query is no other path");
}

#[tokio::test]
async fn node_is_the_status_exactly() {
    let world = world(config()).await;
    let status = primary();
    world.publish(status.clone());
    let answered: Status = serde_json::from_slice(&world.get("/node").await.body).expect("a status");
    assert_eq!(answered, status);
}

/// Between an update of the package and the daemon's restart, `witch status` is newer than who answers it.
#[test]
fn a_status_of_a_daemon_that_knows_no_conditions_is_read() {
    let status = primary();
    let mut told = serde_json::to_value(&status).expect("a status");
    let database = told.get_mut("database").and_then(Value::as_object_mut).expect("it has one");
    assert!(database.remove("conditions").is_some());
    assert_eq!(serde_json::from_value::<Status>(told).expect("a status"), status);
}

#[tokio::test]
async fn every_error_is_json_and_says_what_would_be_right() {
    let world = world(config()).await;
    let missing = world.get("/nothing").await;
    assert_eq!((missing.code, missing.error().as_str()), (404, "not_found"));
    for (method, path, allow) in [
        ("POST", "/primary", "GET, HEAD, OPTIONS"),
        ("DELETE", "/node", "GET, HEAD"),
        ("GET", "/switchover", "POST"),
        ("OPTIONS", "/failover/pause", "POST"),
        ("PUT", "/requests/1", "GET, HEAD"),
    ] {
        let reply = call(world.address(), method, path, &[], "").await;
        assert_eq!((reply.code, reply.error().as_str(), reply.header("allow")), (405, "wrong_method", allow), "{method} {path}");
    }
    for path in ["/node/x", "/failover", "/failover/pause/x", "/requests", "/requests/1/2", "//", "/%00"] {
        assert_eq!(world.get(path).await.error(), "not_found", "{path}");
    }
}
