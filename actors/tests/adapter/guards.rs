//! What becomes of a primary whose guard is stopped, or visited (S6).

use crate::node::{Node, signal, until};
use actors::guard::Client;
use actors::model::{Directory, Epoch, Server};
use actors::pg::{Order, Reported};
use actors::tree::clock::boottime;
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::Duration;
use tokio::net::UnixStream;

const SOON: Duration = Duration::from_secs(20);

/// A node that leads.
async fn leader() -> Node {
    let one = Node::new(1).await;
    one.order(Order::Found);
    one.until("the database is founded", |report| report.founded.is_some()).await;
    one.lead(1).await;
    one.until("one leads", |report| report.promotion().is_some()).await;
    one
}

/// Whoever decides must go on seeing a primary, or nobody fences it; and the fence waits for no stopped guard.
pub(crate) async fn a_primary_whose_guard_is_stopped_stays_one_until_it_is_fenced() {
    let one = leader().await;
    let guard = one.guard().await;
    signal(guard, Signal::SIGSTOP);
    one.stays("a primary", Duration::from_secs(3), |report| report.database.server == Server::Primary).await;
    let ordered = boottime();
    one.order(Order::Fence);
    until("no process is left", async || one.residents().is_empty()).await;
    println!("    gone {:?} after the order", boottime().since(ordered));
    one.until("it is gone for certain", |report| report.stopped.is_some()).await;
    assert_ne!(one.guard().await, guard, "only another guard can be certain");
    assert!(!std::fs::exists(format!("/proc/{guard}/exe")).unwrap_or(false), "nobody is left who wakes up and starts something");
}

/// The guard was stopped while the daemon was away. That its lease is not known must be told soon, and what runs is not called harmless.
pub(crate) async fn a_daemon_that_finds_a_stopped_guard_says_so_and_can_fence() {
    let one = leader().await;
    let guard = one.guard().await;
    signal(guard, Signal::SIGSTOP);
    let again = one.begin_anew().await;
    let began = boottime();
    until("it is told that no lease is known", async || !again.found().is_empty()).await;
    let told = boottime().since(began);
    assert_eq!(again.found(), [None]);
    assert!(told < Duration::from_secs(4), "only after {told:?}");
    assert!(!again.last().database.server.is_harmless(), "{:?}", again.last());
    again.order(Order::Fence);
    again.until("it is gone for certain", |report| report.stopped.is_some()).await;
    assert!(again.residents().is_empty());
    assert_ne!(again.guard().await, guard);
}

/// A daemon that ends dismisses its guard, and may live on for a moment: in which no other guard may take the place.
pub(crate) async fn a_guard_that_is_dismissed_is_replaced_by_nobody() {
    let one = Node::new(1).await;
    let guard = one.guard().await;
    one.tether.dismiss(SOON).await.expect("it has no server");
    until("it is gone", async || !std::fs::exists(format!("/proc/{guard}/exe")).unwrap_or(false)).await;
    let socket = one.tether.options().arguments.socket.clone();
    let end = boottime() + Duration::from_secs(1);
    while boottime() < end {
        assert!(UnixStream::connect(&socket).await.is_err(), "another guard is there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// S9: by the time at which the word of the guard arrives the lease that it was given for may be over. Nothing is promoted by such a word, but by
/// the next one.
pub(crate) async fn a_standby_is_not_promoted_by_a_late_word_of_the_guard() {
    let (one, two) = (leader().await, Node::new(2).await);
    let leads = one.until("one leads", |report| report.promotion().is_some()).await;
    let Directory::Database { system_identifier, .. } = leads.database.directory else { panic!("there is a database") };
    two.order(Order::Follow(one.as_upstream(1, system_identifier, leads.promotion())));
    two.until("two streams", |report| report.database.streaming).await;
    one.order(Order::Fence);
    one.until("one is fenced", |report| report.stopped.is_some()).await;
    two.lease(2).await;
    let client = two.tether.client().expect("a guard");
    client.lease(Epoch(2), boottime() + Duration::from_secs(60), SOON).await.expect("a lease that outlives the stop");
    let guard = two.guard().await;
    signal(guard, Signal::SIGSTOP);
    two.order_to_lead(2);
    two.until("the guard is asked", |report| report.database.operation.as_ref().is_some_and(|operation| operation.name == "promote")).await;
    two.stays("one that does not lead", Duration::from_secs(2), |report| report.promotion().is_none()).await;
    signal(guard, Signal::SIGCONT);
    let late = |report: &Reported| report.database.trouble.as_ref().is_some_and(|trouble| trouble.contains("agreed to a promotion"));
    two.until("the word came late", |report| late(report) && report.promotion().is_none()).await;
    two.until("two leads", |report| report.promotion().is_some()).await;
}

/// Somebody connects and says nothing, many times; then somebody speaks as a daemon does and takes the place. The primary goes on under the
/// lease that it has.
pub(crate) async fn whoever_comes_to_the_guards_door_costs_no_lease() {
    let one = leader().await;
    let (guard, postmaster, told) = (one.guard().await, one.postmaster(), one.found().len());
    let mut visitors = Vec::new();
    for _ in 0..20 {
        visitors.push(UnixStream::connect(&one.guard_options().arguments.socket).await.expect("the guard listens"));
    }
    let (other, _events) = Client::spawn_or_connect(one.guard_options(), SOON).await.expect("the guard answers");
    assert_eq!(other.identity().pid, guard);
    until("the daemon has its place back", async || other.status(SOON).await.is_err()).await;
    one.stays("a primary", Duration::from_secs(4), |report| report.database.server == Server::Primary).await;
    assert_eq!((one.guard().await, one.postmaster()), (guard, postmaster));
    assert_eq!(one.found().len(), told, "nobody was told that the lease is gone");
}

/// A shell that stands in the data directory is none of the server's processes, and a guard that answers does its work itself.
pub(crate) async fn a_fence_spares_the_guard_and_whoever_only_visits() {
    let one = leader().await;
    let guard = one.guard().await;
    let mut visitor = Command::new("sleep").arg("600").current_dir(one.data_dir()).spawn().expect("sleep can be started");
    one.order(Order::Fence);
    one.until("it is gone for certain", |report| report.stopped.is_some()).await;
    let still_there = visitor.try_wait().expect("it is our child").is_none();
    visitor.kill().expect("it is our child");
    visitor.wait().expect("it is our child");
    assert!(still_there, "the visitor was killed");
    assert_eq!(one.guard().await, guard, "the guard was killed");
}
