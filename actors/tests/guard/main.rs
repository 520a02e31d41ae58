//! The guard with real processes and real PostgreSQL.
//!
//! PostgreSQL refuses root, and the guard serves only its own user, so root runs all of this as `postgres`. The guard is this very binary,
//! executed again with the command line of `witch guard`; so is the daemon of the tests that stop one.
//!
//! Usage: as every test binary, with parts of names as arguments.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod fence;
mod host;
mod manners;
#[path = "../common/shared_memory.rs"]
mod shared_memory;
mod survive;

use actors::guard::{Arguments, run};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use host::Host;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::unistd::{User, geteuid};
use std::os::unix::process::CommandExt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// A test gets a host of its own, and whatever runs there afterwards is swept away.
type Test = (&'static str, fn(&Host) -> LocalBoxFuture<'_, ()>);

macro_rules! tests {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        const TESTS: &[Test] = &[$($((concat!(stringify!($module), "::", stringify!($name)), |host| Box::pin($module::$name(host)))),+),+];
    };
}

tests! {
    fence:
        a_primary_without_renewals_is_dead_with_all_its_backends_before_the_lease_ends,
        a_promotion_by_hand_without_a_lease_is_ended,
        an_announced_promotion_ends_with_the_lease,
        a_dropped_lease_ends_the_primary_at_once,
        a_stopped_daemon_is_not_needed,
        a_daemon_that_does_not_read_is_not_waited_for,
        the_death_of_the_guard_ends_the_server,
        a_sweep_ends_what_a_stopped_guard_does_not,
        a_guard_under_which_its_folder_was_emptied_goes_with_its_server,
        a_sweep_spares_whoever_only_visits_the_directory,
        a_sweep_spares_whoever_has_the_number_of_a_dead_guard,
        a_dead_postmaster_is_announced_only_when_no_backend_is_left;
    survive:
        renewals_keep_a_primary_alive,
        a_standby_outlives_its_lease,
        a_crashed_primary_may_come_back_as_a_standby,
        a_new_daemon_takes_the_running_server_over,
        a_stray_signal_does_not_end_the_guard;
    manners:
        the_control_file_reads_as_pg_controldata_reads_it,
        a_server_stops_when_told_to,
        nothing_becomes_writable_without_a_lease,
        there_is_one_guard_for_a_data_directory,
        a_guard_quits_when_it_is_told_to,
        a_guard_with_an_old_margin_or_directory_is_replaced_unless_it_has_a_server,
        nonsense_closes_its_own_connection_and_harms_nothing,
        whoever_says_nothing_takes_no_place_and_is_sent_away,
        only_a_daemon_takes_the_place_of_the_daemon,
        the_guard_is_small;
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
        ["daemon", directory] => {
            block_on(host::renew_for_ever(&PathBuf::from(directory)));
            ExitCode::SUCCESS
        }
        _ if geteuid().is_root() => as_postgres(&words),
        _ => run_tests(&words),
    }
}

fn as_postgres(words: &[&str]) -> ExitCode {
    // Only root can lift the limit, and without it the guard cannot lock its memory.
    let lifted = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    lifted.unwrap_or_else(|error| eprintln!("the limit of locked memory stays, so its use is not tested: {error}"));
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
    let template = host::template();
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| matching(name)) {
        let host = Host::new(&template);
        let passed = block_on(async {
            let passed = AssertUnwindSafe(test(&host)).catch_unwind().await.is_ok();
            if !passed {
                host.explain();
            }
            host.sweep().await;
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

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
