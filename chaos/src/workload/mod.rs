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
use client::Leases;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use tables::{ACCOUNTS, TOTAL, create, read_end};

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
        clients.spawn(inserts::faithful(desk.clone(), 1));
        for node in 0..doors.len() {
            clients.spawn(inserts::stubborn(desk.clone(), node, 10 + u32::try_from(node).unwrap_or(0)));
            clients.spawn(bank::count(desk.clone(), node));
        }
        for client in [20, 21] {
            clients.spawn(appends::run(desk.clone(), client));
        }
        clients.spawn(bank::transfer(desk, 30));
        Self { stop, clients }
    }

    /// Lets each finish what it has begun, so that nothing is tried that is not in the history.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.clients.join_next().await.is_some() {} };
        // Whoever is still at it after this is ended by the drop.
        drop(timeout(STOP_DEADLINE, all).await);
    }
}
