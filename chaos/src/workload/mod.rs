//! The clients of a chaos run. Each does one simple thing all the time, behaves as a client of its kind would, and writes down every answer.
//!
//! `inserts` adds rows of its own, `appends` adds to lists and reads them, `bank` moves money and counts it, `observer` asks the daemons. Nothing is
//! judged here: that is for the checkers, who see only the history.

mod appends;
mod bank;
mod client;
mod inserts;
mod observer;
mod tables;

use crate::history::Recorder;
use crate::live::Door;
use actors::model::Epoch;
use anyhow::{Context, Result};
use client::Leases;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use tables::{ACCOUNTS, TOTAL, create, read_end};

/// The client that follows the primary, as one with a URI of all hosts, and does nothing but insert.
pub(crate) const FAITHFUL: u32 = 1;
/// Those that stay with one database, whatever it is: one for each node.
pub(crate) const STUBBORN: Range<u32> = 10..20;
/// Those that append to lists.
pub(crate) const LISTS: [u32; 2] = [20, 21];
/// The one that moves money.
pub(crate) const BANK: u32 = 30;
/// Longer than any statement may take.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// What every client needs.
#[derive(Clone, Debug)]
struct Desk {
    doors: Vec<Door>,
    recorder: Arc<Recorder>,
    leases: Leases,
    stop: watch::Receiver<bool>,
}

impl Desk {
    fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    fn epoch_of(&self, node: usize) -> Option<Epoch> {
        self.leases.of(node)
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Workload {
    /// Sets all of them to work. The tables exist.
    #[must_use]
    pub fn start(doors: &[Door], recorder: &Arc<Recorder>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let desk = Desk { doors: doors.to_vec(), recorder: Arc::clone(recorder), leases: Leases::of_nodes(doors.len()), stop: stopped };
        let mut clients = JoinSet::new();
        clients.spawn(observer::run(desk.clone()));
        clients.spawn(inserts::faithful(desk.clone(), FAITHFUL));
        for (node, client) in (0..doors.len()).zip(STUBBORN) {
            clients.spawn(inserts::stubborn(desk.clone(), node, client));
            clients.spawn(bank::count(desk.clone(), node));
        }
        for client in LISTS {
            clients.spawn(appends::run(desk.clone(), client));
        }
        clients.spawn(bank::transfer(desk, BANK));
        Self { stop, clients }
    }

    /// Lets each finish what it has begun, so that nothing is tried that is not in the history. An error if one of them broke off.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let all = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.context("a client of the run broke off, so the history lacks what it would have seen")?;
            }
            Ok(())
        };
        // Whoever is still at it after this is ended by the drop.
        timeout(STOP_DEADLINE, all).await.unwrap_or(Ok(()))
    }
}
