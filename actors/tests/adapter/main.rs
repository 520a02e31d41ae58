//! The adapter with a real guard and real PostgreSQL: orders in, reports out, as the FSM gives and hears them.
//!
//! PostgreSQL refuses root, and the guard serves only its own user, so root runs all of this as `postgres`. The guard is this very binary,
//! executed again with the command line of `witch guard`.
//!
//! Usage: as every test binary, with parts of names as arguments.

mod crashes;
mod guards;
mod node;
#[path = "../common/ports.rs"]
mod ports;
mod refusals;
#[path = "../common/shared_memory.rs"]
mod shared_memory;
mod standing;

use actors::guard::{Arguments, run};
use actors::machine::Timestamp;
use actors::model::{Directory, Server};
use actors::pg::{Order, Upstream};
use crashes::a_primary_that_recovers_in_place_is_none_meanwhile_and_has_died;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use guards::{
    a_daemon_that_finds_a_stopped_guard_says_so_and_can_fence, a_fence_spares_the_guard_and_whoever_only_visits,
    a_guard_that_is_dismissed_is_replaced_by_nobody, a_primary_whose_guard_is_stopped_stays_one_until_it_is_fenced,
    a_standby_is_not_promoted_by_a_late_word_of_the_guard, whoever_comes_to_the_guards_door_costs_no_lease,
};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use node::{Node, signal, until};
use refusals::{
    a_locked_superuser_costs_nobody_the_primary, a_standby_that_dies_of_its_settings_keeps_its_database,
    a_standby_whose_primary_refuses_the_login_streams_on, what_a_start_would_refuse_is_said_while_the_server_runs,
    what_strangers_put_into_the_log_costs_a_standby_nothing,
};
use standing::{
    a_restarted_standby_tells_all_that_is_on_its_disk, a_standby_that_is_not_open_is_promoted,
    a_standby_that_is_not_open_is_told_whom_to_follow, a_standby_whose_sessions_are_all_taken_is_told_whom_to_follow_and_can_be_promoted,
};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic::AssertUnwindSafe;
use std::process::{Command, ExitCode};
use std::time::Duration;

type Test = (&'static str, fn() -> LocalBoxFuture<'static, ()>);

macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        const TESTS: &[Test] = &[$((stringify!($name), || Box::pin($name()))),+];
    };
}

tests! {
    a_cluster_of_two_lives_through_a_crash_a_failover_and_a_return,
    a_step_down_hands_the_whole_log_over,
    a_restarted_actor_takes_the_running_server_over,
    a_standby_whose_port_is_taken_keeps_its_database,
    a_primary_whose_guard_dies_is_swept_and_restarted,
    a_hanging_server_is_reported_and_fenced,
    a_primary_whose_guard_is_stopped_stays_one_until_it_is_fenced,
    a_daemon_that_finds_a_stopped_guard_says_so_and_can_fence,
    whoever_comes_to_the_guards_door_costs_no_lease,
    a_guard_that_is_dismissed_is_replaced_by_nobody,
    a_fence_spares_the_guard_and_whoever_only_visits,
    a_standby_is_not_promoted_by_a_late_word_of_the_guard,
    a_standby_whose_primary_refuses_the_login_streams_on,
    a_standby_that_dies_of_its_settings_keeps_its_database,
    what_strangers_put_into_the_log_costs_a_standby_nothing,
    a_restarted_standby_tells_all_that_is_on_its_disk,
    a_standby_that_is_not_open_is_told_whom_to_follow,
    a_standby_that_is_not_open_is_promoted,
    a_standby_whose_sessions_are_all_taken_is_told_whom_to_follow_and_can_be_promoted,
    a_locked_superuser_costs_nobody_the_primary,
    what_a_start_would_refuse_is_said_while_the_server_runs,
    a_primary_that_recovers_in_place_is_none_meanwhile_and_has_died,
}

/// Found, lead, crash and restart in place; a second node clones and follows; the first is fenced, the second promoted; the first, which had
/// written on, comes back by a rewind.
async fn a_cluster_of_two_lives_through_a_crash_a_failover_and_a_return() {
    let (one, two) = (Node::new(1).await, Node::new(2).await);
    one.order(Order::Found);
    let founded = one.until("the database is founded", |report| report.founded.is_some()).await.founded.expect("it was asked for");

    one.lead(1).await;
    let first = one.until("one leads", |report| report.promotion().is_some()).await;
    assert_eq!(first.database.server, Server::Primary);
    one.sql("CREATE TABLE t (n int)").await;

    let crashed = actors::tree::clock::boottime();
    signal(one.postmaster(), Signal::SIGKILL);
    one.until("the death is reported", |report| report.database.deaths == 1).await;
    let again = one.until("one leads again", |report| report.promotion().is_some()).await;
    println!("    restarted in place {:?} after the kill", actors::tree::clock::boottime().since(crashed));
    assert_eq!(again.promotion(), first.promotion(), "on the same timeline");

    let began = actors::tree::clock::boottime();
    two.order(Order::Follow(one.as_upstream(1, founded, first.promotion())));
    two.until("two streams", |report| report.database.streaming).await;
    println!("    joined {:?} after the order", actors::tree::clock::boottime().since(began));
    one.sql("INSERT INTO t VALUES (1)").await;
    two.has("SELECT count(*) FROM t", "1").await;

    // While two is away, one writes what two never gets.
    two.order(Order::Stop);
    two.until("two has stopped", |report| report.stopped.is_some()).await;
    one.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    one.order(Order::Fence);
    let fenced = one.until("one is fenced", |report| report.stopped.is_some()).await;
    assert_eq!(fenced.stopped.expect("it was waited for").final_lsn, None, "nobody knows the end of a killed server's log");
    assert!(one.residents().is_empty());
    one.drop_lease(1).await;

    two.lead(2).await;
    let second = two.until("two leads", |report| report.promotion().is_some_and(|promotion| promotion.timeline.0 == 2)).await;
    two.sql("INSERT INTO t VALUES (2002)").await;
    let began = actors::tree::clock::boottime();
    one.order(Order::Follow(two.as_upstream(2, founded, second.promotion())));
    let back = one.until("one streams", |report| report.database.streaming).await;
    println!("    rejoined {:?} after the order", actors::tree::clock::boottime().since(began));
    assert_eq!(back.database.trouble, None);
    one.has("SELECT sum(n) FROM t", "2003").await;
    assert!(one.state_dir().join("diverged").is_dir(), "what two never got is kept");
    for node in [&one, &two] {
        let note = node.data_dir().join("witch.marks");
        until("the mark of the timeline is noted", async || {
            fs::read_to_string(&note).is_ok_and(|text| text.starts_with(r#"[{"timeline":2,"#))
        })
        .await;
    }
}

/// Another directory has another number.
fn directory_of(node: &Node) -> u64 {
    fs::metadata(node.data_dir()).expect("it is there").ino()
}

/// Node 2 streams from node 1, which leads epoch 1 with the database that it founded.
async fn a_primary_and_its_standby() -> (Node, Node, Upstream) {
    let (one, two) = (Node::new(1).await, Node::new(2).await);
    one.order(Order::Found);
    let founded = one.until("the database is founded", |report| report.founded.is_some()).await.founded.expect("it was asked for");
    one.lead(1).await;
    let first = one.until("one leads", |report| report.promotion().is_some()).await;
    let upstream = one.as_upstream(1, founded, first.promotion());
    two.order(Order::Follow(upstream.clone()));
    two.until("two streams", |report| report.database.streaming).await;
    (one, two, upstream)
}

/// A planned handover: the old primary tells where its log ends, and that is exactly where the standby stands.
async fn a_step_down_hands_the_whole_log_over() {
    let (one, two, upstream) = a_primary_and_its_standby().await;

    let began = actors::tree::clock::boottime();
    one.hurry(Order::StepDown);
    two.hurry(Order::Follow(upstream.clone()));
    let stopped = one.until("one has stopped", |report| report.stopped.is_some()).await.stopped.expect("it was waited for");
    let end = stopped.final_lsn.expect("a clean stop has an end");
    println!("    stopped {:?} after the order", actors::tree::clock::boottime().since(began));
    two.until("two has it all", |report| report.database.position.is_some_and(|position| position.lsn >= end)).await;
    two.lead(2).await;
    let second = two.until("two leads", |report| report.promotion().is_some()).await;
    println!("    the other leads {:?} after the order", actors::tree::clock::boottime().since(began));
    assert_eq!(second.promotion().expect("it leads").lsn, end, "not a byte more or less");
    one.order(Order::Follow(two.as_upstream(2, upstream.system_identifier, second.promotion())));
    one.until("one streams", |report| report.database.streaming).await;
    assert!(!one.state_dir().join("diverged").exists(), "nothing diverged");
}

/// L2: a copy is for a directory that is broken, and would not find the port free either.
async fn a_standby_whose_port_is_taken_keeps_its_database() {
    let (_one, two, upstream) = a_primary_and_its_standby().await;
    two.order(Order::Stop);
    two.until("two has stopped", |report| report.stopped.is_some()).await;

    let (port, directory) = (two.port(), || fs::metadata(two.data_dir()).expect("it is there").ino());
    let (taken, before) = (TcpListener::bind(("127.0.0.1", port)).expect("it was stopped"), directory());
    two.order(Order::Follow(upstream));
    let tried = two.until("two has tried often", |report| report.database.deaths >= 3 && report.database.trouble.is_some()).await;
    let trouble = tried.database.trouble.expect("it does not start");
    assert!(trouble.contains("could not create any TCP/IP sockets"), "{trouble}");
    assert_eq!(directory(), before, "a clone would have replaced it");
    drop(taken);
    two.until("two streams again", |report| report.database.streaming && report.database.trouble.is_none()).await;
    assert_eq!(directory(), before);
}

/// The actor dies; its successor finds the server, and nobody who is connected notices.
async fn a_restarted_actor_takes_the_running_server_over() {
    let one = Node::new(1).await;
    one.order(Order::Found);
    one.until("the database is founded", |report| report.founded.is_some()).await;
    one.lead(1).await;
    one.until("one leads", |report| report.promotion().is_some()).await;
    let (postmaster, client) = (one.postmaster(), one.connect().await.expect("a connection"));
    one.kill_the_actor();
    one.forget();
    one.until("the new actor watches", |report| report.order == 0 && report.database.server == Server::Primary).await;
    one.lead(1).await;
    one.until("one leads", |report| report.order > 0 && report.promotion().is_some()).await;
    assert_eq!(one.postmaster(), postmaster);
    client.simple_query("SELECT 1").await.expect("the connection was never interrupted");
    assert_eq!(one.last().database.deaths, 0);
}

/// Without its guard a server has nobody to end it in time, so it is ended, and a new guard starts a new one.
async fn a_primary_whose_guard_dies_is_swept_and_restarted() {
    let one = Node::new(1).await;
    one.order(Order::Found);
    one.until("the database is founded", |report| report.founded.is_some()).await;
    one.lead(1).await;
    one.until("one leads", |report| report.promotion().is_some()).await;
    let postmaster = one.postmaster();
    signal(one.guard().await, Signal::SIGKILL);
    one.forget();
    one.until("another server leads", |report| report.promotion().is_some() && report.database.deaths == 1).await;
    assert_ne!(one.postmaster(), postmaster);
}

/// A stopped server does not answer: that is a hang after three checks, and the order to fence ends it.
async fn a_hanging_server_is_reported_and_fenced() {
    let one = Node::new(1).await;
    one.order(Order::Found);
    one.until("the database is founded", |report| report.founded.is_some()).await;
    one.lead(1).await;
    one.until("one leads", |report| report.promotion().is_some()).await;
    let stopped: Timestamp = actors::tree::clock::boottime();
    for pid in one.residents() {
        signal(pid, Signal::SIGSTOP);
    }
    one.until("it hangs", |report| report.database.server == Server::Hung).await;
    println!("    a hang is known {:?} after it began", actors::tree::clock::boottime().since(stopped));
    one.order(Order::Fence);
    let fenced = one.until("it is gone", |report| report.stopped.is_some()).await;
    assert!(one.residents().is_empty());
    assert!(matches!(fenced.database.directory, Directory::Database { .. }));
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["guard", "--socket", socket, "--pgdata", pgdata, "--kill-margin-ms", margin, "--lock", lock] => {
            let kill_margin = Duration::from_millis(margin.parse().expect("a number of milliseconds"));
            let arguments = Arguments { socket: socket.into(), pgdata: pgdata.into(), kill_margin, lock: lock.into() };
            match run(arguments) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        _ if geteuid().is_root() => as_postgres(&words),
        _ => run_tests(&words),
    }
}

fn as_postgres(words: &[&str]) -> ExitCode {
    let user =
        User::from_name("postgres").expect("the users can be listed").expect("there is a user `postgres`, who comes with PostgreSQL");
    let status = Command::new("/proc/self/exe")
        .args(words)
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .status()
        .expect("this binary can be executed again");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_tests(words: &[&str]) -> ExitCode {
    let wanted: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let matching = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| matching(name)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let passed = runtime.block_on(async {
            let passed = AssertUnwindSafe(test()).catch_unwind().await.is_ok();
            node::sweep_all(!passed).await;
            passed
        });
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("{}", if failed.is_empty() { "all passed".to_owned() } else { format!("failed: {failed:?}") });
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
