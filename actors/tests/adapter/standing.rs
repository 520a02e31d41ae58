//! Standbys that say less than they have, or nothing at all: what their files say counts.

use crate::a_primary_and_its_standby;
use crate::node::Node;
use actors::model::{Lsn, Server};
use actors::pg::{Order, Reported, Upstream};
use std::fs::OpenOptions;
use std::io::Write;

/// Adds lines to what the server reads.
fn set(node: &Node, lines: &str) {
    let settings = node.data_dir().join("postgresql.auto.conf");
    let mut file = OpenOptions::new().append(true).open(settings).expect("every database has this file");
    file.write_all(lines.as_bytes()).expect("there is room");
}

fn position(report: &Reported) -> Option<Lsn> {
    report.database.position.map(|position| position.lsn)
}

/// D1, L2: it lets sessions in once it has replayed what it had replayed before, and takes its time for the rest. The first position that it tells is
/// all that it has.
pub(crate) async fn a_restarted_standby_tells_all_that_is_on_its_disk() {
    let (one, two, _) = a_primary_and_its_standby().await;
    two.sql("SELECT pg_wal_replay_pause()").await;
    one.sql("CREATE TABLE t (n int)").await;
    for _ in 0..3 {
        one.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
        one.sql("SELECT pg_switch_wal()").await;
    }
    one.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    let written = one.until("it tells what it has written", |report| position(report) > position(&two.last())).await;
    let has = position(&written).expect("it was waited for");
    two.until("two has received it", |report| position(report).is_some_and(|lsn| lsn >= has)).await;
    two.order(Order::Stop);
    two.until("two has stopped", |report| report.stopped.is_some()).await;
    // Each segment of the log is first looked for in an archive that has none of them, and takes its time to say so.
    set(&two, "restore_command = 'case %f in *.history) exit 1;; esac; sleep 3; exit 1'\n");
    two.order(Order::StandAlone);
    let told = two
        .until("two lets sessions in", |report| {
            let is_standby = report.database.server == Server::Standby;
            assert!(!is_standby || position(report).is_none_or(|lsn| lsn >= has), "it had {has} before: {report:#?}");
            is_standby && position(report).is_some() && report.database.replayed.is_some()
        })
        .await;
    let replayed = told.database.replayed.expect("a standby says so");
    assert!(replayed < has, "it has replayed all of it, so this shows nothing");
}

fn is_closed(report: &Reported) -> bool {
    report.database.conditions.iter().any(|condition| condition.id == "standby-not-open")
}

/// A standby that begins while a transaction of its primary with more than 64 subtransactions is open lets nobody in before that has ended. The
/// transaction lasts as long as the connection.
async fn a_closed_standby(number: u64, one: &Node, upstream: &Upstream) -> (Node, tokio_postgres::Client) {
    one.sql("CREATE TABLE t (n int)").await;
    let client = one.connect().await.expect("a connection");
    let parts: String = (0..80).map(|n| format!("SAVEPOINT s{n}; INSERT INTO t VALUES ({n});")).collect();
    client.batch_execute(&format!("BEGIN; {parts}")).await.expect("it is begun");
    let closed = Node::new(number).await;
    closed.order(Order::Follow(upstream.clone()));
    let report = closed.until("it says that it is not open", |report| is_closed(report) && position(report).is_some()).await;
    assert_eq!(report.database.server, Server::Standby);
    // It receives all the same.
    one.sql("CREATE TABLE after_it (n int)").await;
    let written = one.until("it tells what it has written", |now| position(now) > position(&report)).await;
    closed.until("it tells what it receives", |report| position(report) >= position(&written)).await;
    (closed, client)
}

/// Its primary dies, and with it the transaction, of whose end nobody hears any more. It is told whom to follow without a session, and opens.
pub(crate) async fn a_standby_that_is_not_open_is_told_whom_to_follow() {
    let (one, two, upstream) = a_primary_and_its_standby().await;
    let (three, client) = a_closed_standby(3, &one, &upstream).await;
    let postmaster = three.postmaster();
    one.order(Order::Fence);
    one.until("one is fenced", |report| report.stopped.is_some()).await;
    one.drop_lease(1).await;
    drop(client);
    two.lead(2).await;
    let second = two.until("two leads", |report| report.promotion().is_some()).await;
    let began = actors::tree::clock::boottime();
    three.order(Order::Follow(two.as_upstream(2, upstream.system_identifier, second.promotion())));
    three.until("three streams from two", |report| report.database.streaming).await;
    println!("    streams from the next primary {:?} after the order", actors::tree::clock::boottime().since(began));
    assert_eq!(three.postmaster(), postmaster, "it was not stopped for that");
}

/// The same without another node: it is promoted.
pub(crate) async fn a_standby_that_is_not_open_is_promoted() {
    let one = Node::new(1).await;
    one.order(Order::Found);
    let founded = one.until("the database is founded", |report| report.founded.is_some()).await.founded.expect("it was asked for");
    one.lead(1).await;
    let first = one.until("one leads", |report| report.promotion().is_some()).await;
    let (two, client) = a_closed_standby(2, &one, &one.as_upstream(1, founded, first.promotion())).await;
    one.order(Order::Fence);
    one.until("one is fenced", |report| report.stopped.is_some()).await;
    one.drop_lease(1).await;
    drop(client);
    let began = actors::tree::clock::boottime();
    two.lead(2).await;
    two.until("two leads", |report| report.promotion().is_some()).await;
    println!("    promoted {:?} after the order", actors::tree::clock::boottime().since(began));
    two.has("SELECT count(*) FROM after_it", "0").await;
}

/// Clients have taken every connection, also those that are kept for superusers, and the actor begins anew: it finds no session.
pub(crate) async fn a_standby_whose_sessions_are_all_taken_is_told_whom_to_follow_and_can_be_promoted() {
    let (one, two, upstream) = a_primary_and_its_standby().await;
    let postmaster = two.postmaster();
    two.kill_the_actor();
    let mut clients = Vec::new();
    while let Some(client) = two.connect().await {
        clients.push(client);
    }
    two.forget();
    two.until("the new actor finds the server full", |report| {
        let full = report.database.conditions.iter().any(|condition| condition.id == "own-server-full");
        full && report.database.server == Server::Standby && position(report).is_some()
    })
    .await;
    // Whoever goes may leave a connection to Witch.
    while let Some(client) = two.connect().await {
        clients.push(client);
    }
    two.order(Order::Follow(upstream));
    one.has("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1").await;
    two.until("it was told", |report| report.database.operation.is_none() && report.database.trouble.is_none()).await;
    assert_eq!(two.postmaster(), postmaster);
    one.order(Order::Fence);
    one.until("one is fenced", |report| report.stopped.is_some()).await;
    one.drop_lease(1).await;
    two.lead(2).await;
    two.until("two leads", |report| report.promotion().is_some()).await;
    assert!(!clients.is_empty());
}
