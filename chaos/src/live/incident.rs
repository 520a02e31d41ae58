//! What happened after a fault, and when: the demo tells it and the bench measures it.
//!
//! Two kinds of sources are kept apart. What clients and the kernel saw (writes acknowledged, processes gone) is the truth; what Witch's
//! history says (appointed, promoted) explains it. All nodes are on this machine, so all clocks are one.

use super::process::{self, Pid};
use super::{Cluster, Fault, Writer, now};
use crate::invariants::Acknowledgement;
use crate::ledger::Outage;
use actors::machine::Timestamp;
use actors::model::{ClusterState, Epoch, EventKind, NodeId, RecentDecision, Status, WallClock};
use anyhow::{Context, Result, bail};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks: the precision of what we see ourselves.
const LOOK: Duration = Duration::from_millis(10);

/// One look at everything.
#[derive(Clone, Debug)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// What each node says; None where nobody answers.
    pub statuses: Vec<Option<Status>>,
    /// Which of each node's processes live: daemon, guard, server.
    pub alive: Vec<(bool, bool, bool)>,
}

impl Look {
    /// What the best informed node knows of the replicated state.
    #[must_use]
    pub fn state(&self) -> Option<&ClusterState> {
        let states = self.statuses.iter().flatten().filter_map(|status| status.state.as_ref());
        states.max_by_key(|state| state.history.back().map(|event| event.index))
    }

    /// The place of the node that accepts writes by its own word.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        self.statuses.iter().position(|status| status.as_ref().is_some_and(|status| status.writable))
    }

    /// Whether one node accepts writes and all others stream, by their own word.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let all = |wanted: fn(&Status) -> bool| self.statuses.iter().filter(|status| status.as_ref().is_some_and(wanted)).count();
        all(|status| status.writable) == 1 && all(|status| status.readable) + 1 == self.statuses.len()
    }
}

impl Cluster {
    /// Looks at everything now.
    pub async fn look(&self) -> Look {
        let statuses = self.statuses().await;
        let lives = |pid: Option<Pid>| pid.is_some();
        let alive = self.nodes().iter().map(|node| (lives(node.daemon_pid()), lives(node.guard_pid()), lives(node.postmaster_pid())));
        Look { at: now(), statuses, alive: alive.collect() }
    }
}

/// A fault and its consequences; each instant counts from the fault.
#[derive(Clone, Debug)]
pub struct Incident {
    /// What was done.
    pub fault: Fault,
    /// To whom: the primary at that instant.
    pub node: NodeId,
    /// When it was done, for clients.
    pub at: Timestamp,
    /// The first decision that any node took after it, with the rule that was cited.
    pub detected: Option<(Duration, RecentDecision)>,
    /// The last process that could have accepted writes for the old primary was gone.
    pub fenced: Option<Duration>,
    /// A successor was appointed. None if there was no need.
    pub appointed: Option<Duration>,
    /// Its database began to accept writes.
    pub promoted: Option<Duration>,
    /// A client's first write was acknowledged again.
    pub first_write: Option<Duration>,
    /// By this node.
    pub successor: Option<NodeId>,
    /// How long the client had to wait in between.
    pub outage: Option<Duration>,
    /// One primary, and all others stream from it.
    pub rejoined: Option<Duration>,
    /// How many acknowledged writes are gone. Counted, once all is well again.
    pub lost: Option<usize>,
    wall: WallClock,
    epoch: Epoch,
    servers: Vec<Pid>,
}

impl Incident {
    /// Does something to the primary, and begins to watch.
    pub async fn cause(cluster: &Cluster, fault: Fault) -> Result<Self> {
        let primary = cluster.primary().await?;
        let node = cluster.node(primary);
        let epoch = node.status().await?.state.context("the primary knows no state")?.epoch;
        let servers = node.server_pids();
        let begun = wall();
        let (at, wall) = (fault.inflict(cluster, primary).await?, begun);
        Ok(Self {
            fault,
            node: node.id(),
            at,
            detected: None,
            fenced: None,
            appointed: None,
            promoted: None,
            first_write: None,
            successor: None,
            outage: None,
            rejoined: None,
            lost: None,
            wall,
            epoch,
            servers,
        })
    }

    /// Looks until all is well again. Once a client can write, the damage is repaired, as an operator or a boot would.
    pub async fn follow(&mut self, cluster: &Cluster, writer: &Writer, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let broken = cluster.index_of(self.node)?;
        let mut repaired = false;
        while !self.is_over() {
            if Instant::now() > end {
                bail!("the cluster did not heal within {deadline:?} after `{}`\n{}", self.fault, cluster.describe().await);
            }
            self.observe(&cluster.look().await, writer);
            if self.first_write.is_some() && !repaired {
                self.fault.repair(cluster, broken)?;
                repaired = true;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Takes in one more look.
    pub fn observe(&mut self, look: &Look, writer: &Writer) {
        self.detect(look);
        if self.fenced.is_none() && self.servers.iter().all(|&pid| !process::is_alive(pid)) {
            self.fenced = Some(look.at.since(self.at));
        }
        if let Some(state) = look.state() {
            self.read_history(state);
        }
        if self.first_write.is_none()
            && let Some(outage) = self.outage(writer)
        {
            self.first_write = Some(outage.until.since(self.at));
            self.successor = Some(outage.after);
            self.outage = Some(outage.duration());
        }
        if self.rejoined.is_none() && self.first_write.is_some() && look.is_settled() {
            self.rejoined = Some(look.at.since(self.at));
        }
    }

    /// Whether there is nothing left to wait for but the count of what was lost.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.rejoined.is_some()
    }

    fn detect(&mut self, look: &Look) {
        if self.detected.is_some() {
            return;
        }
        let decisions = look.statuses.iter().flatten().flat_map(|status| &status.decisions);
        let first = decisions.filter(|decision| decision.at >= self.wall).min_by_key(|decision| decision.at);
        self.detected = first.map(|decision| (decision.at.since(self.wall), decision.clone()));
    }

    fn read_history(&mut self, state: &ClusterState) {
        for event in &state.history {
            let after = event.at.since(self.wall);
            match &event.kind {
                EventKind::Appointed { .. } if event.epoch > self.epoch && self.appointed.is_none() => self.appointed = Some(after),
                EventKind::Promoted { .. } if event.epoch > self.epoch && self.promoted.is_none() => self.promoted = Some(after),
                // Known to the node itself a little before we noticed.
                EventKind::Released { node, .. } if event.epoch == self.epoch && *node == self.node => {
                    self.fenced = Some(self.fenced.map_or(after, |seen| seen.min(after)));
                }
                _ => {}
            }
        }
    }

    /// The client's longest wait from the fault to the first write that only a new server can have acknowledged. Backends outlive a
    /// postmaster that was killed and go on acknowledging, and a switchover takes a while to begin.
    fn outage(&self, writer: &Writer) -> Option<Outage> {
        let fenced = self.fenced.map(|after| self.at + after);
        let by_a_new_server = |write: &Acknowledgement| write.node != self.node || fenced.is_some_and(|fenced| write.began > fenced);
        writer.ledger().longest_outage_until(self.at, by_a_new_server)
    }
}

/// The time of day, which stamps the nodes' decisions and their history.
fn wall() -> WallClock {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).expect("every system has a time of day");
    WallClock(u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX))
}
