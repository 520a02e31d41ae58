//! A process of the server is killed, and the postmaster is not.

use crate::a_primary_and_its_standby;
use crate::node::{Node, signal, until};
use actors::model::Server;
use actors::pg::{Order, Reported};
use nix::sys::signal::Signal;
use std::fs;

/// A process of the server by the end of its title.
fn process(node: &Node, what: &str) -> Option<u32> {
    let title =
        |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).map(|title| String::from_utf8_lossy(&title).into_owned()).unwrap_or_default();
    node.residents().into_iter().find(|pid| title(*pid).trim_end_matches(['\0', ' ']).ends_with(what))
}

/// Some are there a moment after the server answers.
async fn process_of(node: &Node, what: &str) -> u32 {
    let mut found = None;
    until(what, async || {
        found = process(node, what);
        found.is_some()
    })
    .await;
    found.expect("it was waited for")
}

fn is_at_it(report: &Reported) -> bool {
    let named = |text: &str| text.contains("signal 9") && text.contains("dmesg");
    report.database.server == Server::StartingPrimary
        && report.database.conditions.iter().any(|condition| condition.id == "recovers-in-place" && named(&condition.text))
}

/// A server that was promoted is killed a process of. Another one is frozen, so the postmaster waits five seconds for it: `pg_control` goes on to say
/// "in production" and `postmaster.pid` says "ready", and it is no primary all the same. One that is quicker than any look has died as well, and so has one that
/// ends instead, once.
pub(crate) async fn a_primary_that_recovers_in_place_is_none_meanwhile_and_has_died() {
    let (one, two, _) = a_primary_and_its_standby().await;
    one.order(Order::Fence);
    one.until("one is fenced", |report| report.stopped.is_some()).await;
    one.drop_lease(1).await;
    two.lead(2).await;
    two.until("two leads", |report| report.promotion().is_some()).await;
    two.sql("CREATE TABLE kept (n int)").await;
    let postmaster = two.postmaster();

    signal(process_of(&two, "autovacuum launcher").await, Signal::SIGKILL);
    two.until("it was at it, however short that was", |report| report.database.deaths == 1).await;
    let again = two.until("it leads again", |report| report.promotion().is_some()).await;
    assert_eq!(again.promotion().map(|promotion| promotion.timeline.0), Some(2), "no new timeline");

    for deaths in 2..=3 {
        signal(process_of(&two, "walwriter").await, Signal::SIGSTOP);
        signal(process_of(&two, "autovacuum launcher").await, Signal::SIGKILL);
        let at_it = two.until("it recovers in place", is_at_it).await;
        assert_eq!((at_it.database.deaths, at_it.promotion()), (deaths, None));
        assert_eq!(two.postmaster(), postmaster);
        if deaths == 3 {
            signal(postmaster, Signal::SIGKILL);
        }
        let again = two.until("it leads again", |report| report.promotion().is_some()).await;
        assert_eq!(again.database.deaths, deaths, "one incident is one death");
        assert!(again.database.conditions.iter().all(|condition| condition.id != "recovers-in-place"));
    }
    assert_ne!(two.postmaster(), postmaster, "it was started anew");
    two.has("SELECT count(*) FROM kept", "0").await;
}
