//! The daemon of a node: everything is opened, wired, supervised, and in the end closed. It decides nothing.
//!
//! What outlives an actor is made here and handed to each of its lives: the log on disk, the links, the tether to the guard, the listener,
//! and the board on which the newest facts for the FSM stand.

mod parts;
mod signals;
mod start;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use actors::tree::GaveUp;
use anyhow::{Context, anyhow};
use signals::{Signal, Signals};
use start::Node;
use std::path::Path;
use std::time::Duration;

/// The supervisor's children get so long to hear that the node ends.
const FAREWELL: Duration = Duration::from_millis(50);

/// Runs this node until it is told to end.
///
/// # Errors
/// It could not start, or could not go on; the exit code tells which.
pub(crate) fn run(config: Config, path: &Path) -> Result<(), Failure> {
    refuse_root()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    // All tasks run on this thread, so every line of theirs names the node: the logs of several can be read as one.
    let _whose = tracing::error_span!("node", name = config.cluster.node_name).entered();
    let outcome = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen for signals")?;
        tracing::info!(node = %config.cluster.node, file = %path.display(), "starting");
        let stop_timeout = config.failover.stop_timeout;
        live(Node::start(config).await?, signals, stop_timeout).await
    });
    // A task that hangs in the kernel must not keep the process from ending.
    runtime.shutdown_timeout(FAREWELL);
    outcome
}

fn refuse_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        let fix = "run witch as the owner of the data directory, for example with `User=postgres` in its systemd unit";
        return Err(Failure { exit: Exit::Usage, cause: anyhow!("PostgreSQL refuses to run as root, and Witch runs it: {fix}") });
    }
    Ok(())
}

/// What ends the life of a node.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything that had to be done before is done.
    Done,
    /// It was told to leave and to let the guard keep the database.
    Leave,
    /// It took too long.
    Overdue,
    /// A part cannot go on.
    Halted(String),
    /// An actor died too often.
    GaveUp(GaveUp),
}

async fn live(mut node: Node, mut signals: Signals, stop_timeout: Duration) -> Result<(), Failure> {
    let mut deadline = None;
    let end = loop {
        let overdue = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => {
                    tracing::info!("told to end: handing over, stopping the database, releasing");
                    node.stop();
                    // The adapter kills a server that outlasts stop_timeout; a release that finds no quorum is not waited for any longer.
                    deadline.get_or_insert(tokio::time::Instant::now() + stop_timeout + Duration::from_secs(2));
                }
                Signal::Leave => break End::Leave,
                Signal::Reload => tracing::warn!("told to reload: this version reads its file only at the start; restart it, which interrupts no client"),
            },
            () = overdue => break End::Overdue,
            end = node.end() => break end,
        }
    };
    match end {
        End::Done => {
            node.dismiss_guard().await;
            tracing::info!("the database is stopped; goodbye");
            Ok(())
        }
        End::Leave => {
            tracing::info!("leaving; the guard keeps the database until the lease ends or a new daemon takes over");
            Ok(())
        }
        End::Overdue => {
            node.kill_server().await;
            let cause = anyhow!(
                "not everything was done within stop_timeout_ms; the server is killed, and its successor waits for the lease to end"
            );
            Err(Failure { exit: Exit::TimedOut, cause })
        }
        End::Halted(reason) => Err(Failure { exit: Exit::LogLost, cause: anyhow!(reason) }),
        End::GaveUp(gave_up) => Err(Failure { exit: Exit::RestartIntensity, cause: gave_up.into() }),
    }
}
