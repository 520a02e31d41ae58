//! What must hold in every world, each named after its rule. Checked where it could break: in the very step that would break it.

use super::decisions::Leases;
use super::promises::Votes;
use super::told::Told;
use super::wiring::timing;
use super::world::{World, id};
use crate::invariants::at_most_one_writer;
use actors::machine::Timestamp;
use actors::model::{ClusterState, Epoch, LeaseGrant, NodeId, Position, Promotion};
use actors::pg::Operation;
use actors::raft::Leadership;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Every rule that is checked, and what is checked of it.
pub const RULES: &[(&str, &str)] = &[
    ("S1", "every node that applied an index holds the same state there, and an epoch has one primary for ever"),
    ("S2", "a commit is accepted only under a lease of its server's epoch, and never by two servers at once"),
    ("S3", "a lease counts from the sending of a request of this life, and only for the epoch that the node's applied state names"),
    ("S4", "a leader grants only what nobody has replaced, and what is granted overlaps with nobody's lease"),
    ("S5", "a replacing appointment is committed only when no lease of another node could still be valid"),
    (
        "S6",
        "a server that may write lives only while its guard, or the sweep after it, can end it before the lease ends; one that Witch did not start is \
         never taken for its own, and nothing is done to it or beside it unless its node gives its epoch up",
    ),
    (
        "S8",
        "a release is committed only when no server of that epoch can write, it is on the node's disk, and no lease of it is held or comes again",
    ),
    ("S9", "a server is started or promoted to write only for the epoch that the newest committed state names, under its lease"),
    ("S11", "a database of another cluster is never started as a member, rewound or wiped"),
    ("S12", "a leader that began to hand over grants no lease again in that term"),
    ("S13", "a Raft id whose log was lost is never used again, votes once in a term, and promises nothing that is not on its disk"),
    (
        "D1",
        "who is appointed is no further behind than max_replication_lag from what the leader was told, is no diverged database, and replaces nobody \
         who is back with more; no failover loses a commit that is older than that lag, and nothing else loses any",
    ),
    ("D4", "a switchover that succeeds loses no acknowledged commit"),
    ("D5", "nobody starts to write with a copy from before its promotion, or with less than what it was appointed for"),
    ("D6", "nobody is appointed who told that its log is not the primary's"),
    (
        "L1",
        "after the faults a healed majority with an eligible database accepts writes within the bound; and nobody says that a server does which recovers in place",
    ),
    ("L2", "after that every node of the core streams; and no standby ever streams what only looks like its continuation"),
    ("L3", "an actor that dies lives again, and no daemon ends for a reason that no fault gave"),
];

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub rule: &'static str,
    /// The true time in microseconds.
    pub at: u64,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {}.{:06} s: {}", self.rule, self.at / 1_000_000, self.at % 1_000_000, self.text)
    }
}

/// What one life of a daemon has said, as the judge heard it.
#[derive(Debug, Default)]
pub(super) struct Belief {
    pub(super) led: Leadership,
    /// The newest state that it applied.
    pub(super) state: Option<ClusterState>,
    /// The index of that state.
    pub(super) index: u64,
    /// What the present life of its FSM was told.
    pub(super) told: Told,
    /// How far the databases are, as they reported it.
    pub(super) positions: BTreeMap<usize, Position>,
    /// When the others reported last.
    pub(super) heard_at: BTreeMap<usize, u64>,
    /// It began to hand over in that term.
    pub(super) handing_over: Option<u64>,
}

/// What the judge remembers of the whole story.
#[derive(Debug, Default)]
pub(super) struct Judge {
    digests: BTreeMap<u64, u64>,
    pub(super) newest: Option<(u64, ClusterState)>,
    primaries: BTreeMap<Epoch, NodeId>,
    pub(super) released: BTreeSet<Epoch>,
    pub(super) leases: Leases,
    pub(super) votes: Votes,
    /// Questions to a guard that hand a lease on: the guard's node, the number, the epoch.
    handed: BTreeMap<(usize, u64), Epoch>,
    /// The epoch whose primary was put back to an older copy: a position of it names two histories.
    pub(super) two_histories: Option<Epoch>,
    /// Up to where the one that was appointed by failover in that epoch has everything that was acknowledged.
    pub(super) bounds: BTreeMap<(Epoch, usize), u64>,
    /// The epochs in which a failover was decided.
    pub(super) failovers: BTreeSet<Epoch>,
    /// The last epoch whose primary was promoted.
    pub(super) promoted: Epoch,
    /// How far the primary of an epoch wrote.
    pub(super) written: BTreeMap<Epoch, u64>,
    /// Who votes, as of the newest state.
    pub(super) voters: [Vec<u64>; 2],
    pub(super) violation: Option<Violation>,
    /// Beyond the promises: how often each rule broke.
    pub(super) beyond: BTreeMap<&'static str, u64>,
}

impl World {
    /// A rule is broken. Beyond the promises that is only counted.
    pub(super) fn violate(&mut self, rule: &'static str, text: String) {
        if self.story.beyond {
            *self.judge.beyond.entry(rule).or_default() += 1;
            return;
        }
        if self.judge.violation.is_none() {
            self.tell_story(|| format!("*** {rule} is broken: {text}"));
            self.judge.violation = Some(Violation { rule, at: self.now, text });
        }
    }

    /// The true instant at which what a guard holds ends.
    fn lease_ends(&self, node: usize) -> Option<(Epoch, u64)> {
        self.hosts[node].lease.map(|(epoch, end)| (epoch, self.hosts[node].clock.when(end)))
    }

    /// Daemon and guard are both unable to end a server that writes: S6 ends here, and the hardware watchdog's duty (S7) begins.
    pub(super) fn note_exposure(&mut self, node: usize) {
        let now = self.now;
        let host = &mut self.hosts[node];
        let writes = host.server.as_ref().is_some_and(super::postgres::Server::is_writable);
        if writes && host.daemon_cannot_fence(now) && host.guard_is_away(now) {
            host.exposed = true;
        }
    }

    /// The daemon or the guard of that node acts again. If it does so in time, it is as if nothing had been.
    pub(super) fn end_exposure(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let away = host.daemon_cannot_fence(self.now) && host.guard_is_away(self.now);
        if host.exposed && !away && host.lease.is_some_and(|(_, end)| host.clock.at(self.now) < end - timing().kill_margin) {
            host.exposed = false;
        }
    }

    /// Nobody could have ended that server before its lease was over.
    fn is_beyond_us(&self, node: usize) -> bool {
        self.hosts[node].exposed && self.lease_ends(node).is_none_or(|(_, end)| end <= self.now)
    }

    pub(super) fn judge_led(&mut self, node: usize, led: Leadership) {
        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
            daemon.belief.led = led;
        }
        self.tell_story(|| format!("node {}: believes {led:?}", node + 1));
        self.judge_leadership(node, led);
    }

    pub(super) fn judge_committed(&mut self, node: usize, index: u64, state: &ClusterState) {
        if let Some(daemon) = self.hosts[node].daemon.as_mut() {
            (daemon.belief.index, daemon.belief.state) = (index, Some(state.clone()));
        }
        let digest = super::trace::digest(&serde_json::to_vec(state).expect("a state is data"));
        let known = *self.judge.digests.entry(index).or_insert(digest);
        if known != digest {
            return self.violate("S1", format!("node {} holds another state at index {index} than somebody before it", node + 1));
        }
        if self.judge.newest.as_ref().is_none_or(|(newest, _)| *newest < index) {
            let raft = self.hosts[node].daemon.as_ref().and_then(|daemon| daemon.raft.as_ref());
            self.judge.voters = raft.map(|raft| raft.machine.voters()).unwrap_or_default();
            let before = self.judge.newest.replace((index, state.clone())).map(|(_, before)| before);
            self.judge_news(before.as_ref(), state);
        }
    }

    /// The committed state has moved on.
    fn judge_news(&mut self, before: Option<&ClusterState>, state: &ClusterState) {
        let Some(primary) = &state.primary else { return };
        let (node, epoch) = (super::network::index(primary.node), primary.epoch);
        if before.is_some_and(|before| before.epoch > epoch) {
            return self.violate("S1", format!("epoch {epoch} came after a later one"));
        }
        let known = *self.judge.primaries.entry(epoch).or_insert(primary.node);
        if known != primary.node {
            return self.violate("S1", format!("epoch {epoch} belongs to node {known} and to node {}", primary.node));
        }
        if before.is_none_or(|before| before.epoch < epoch) {
            self.tally.count("appointments");
            let still =
                (0..self.setting.nodes).find(|other| *other != node && self.lease_ends(*other).is_some_and(|(_, end)| end > self.now));
            if let Some(other) = still {
                return self.violate("S5", format!("node {} is appointed while the lease of node {} is valid", node + 1, other + 1));
            }
            if let Some((other, of)) = self.could_be_leased(epoch, Some(primary.node)) {
                let text = format!("node {} is appointed while a grant to node {other} of epoch {of} could still be used", node + 1);
                return self.violate("S5", text);
            }
        }
        if primary.released.is_some() && self.judge.released.insert(epoch) {
            let host = &self.hosts[node];
            let writes = host.server.as_ref().is_some_and(|server| server.epoch() == Some(epoch));
            let held = host.lease.is_some_and(|(held, _)| held == epoch);
            let unrecorded = host.disk.released < epoch && host.disk.lost.is_empty();
            if writes || held || unrecorded {
                let text = format!(
                    "epoch {epoch} is released by node {}, but a server of it may write: {writes}, a lease is held: {held}, it is not on disk: {unrecorded}",
                    node + 1
                );
                self.violate("S8", text);
            }
        }
    }

    /// A leader grants.
    pub(super) fn judge_granted(&mut self, leader: usize, grant: &LeaseGrant) {
        self.tally.count("grants");
        let Some(term) = self.hosts[leader].daemon.as_ref().map(|daemon| daemon.belief.led.term.0) else { return };
        self.note_granted(grant, term);
        let Some(daemon) = &self.hosts[leader].daemon else { return };
        let belief = &daemon.belief;
        if belief.handing_over.is_some_and(|term| term == belief.led.term.0) {
            return self.violate("S12", format!("node {} grants in the term in which it hands over", leader + 1));
        }
        let named = belief.state.as_ref().and_then(ClusterState::leaseholder);
        if named != Some((grant.node, grant.epoch)) {
            self.violate(
                "S4",
                format!("node {} grants to node {} for epoch {}, but its state names {named:?}", leader + 1, grant.node, grant.epoch),
            );
        }
    }

    pub(super) fn note_asked(&mut self, node: usize, request: &actors::guard::wire::Request, number: u64) {
        use actors::guard::wire::Request;
        match request {
            Request::Lease { epoch, .. } => {
                self.judge.handed.insert((node, number), *epoch);
            }
            Request::DropLease { epoch } => {
                let host = &mut self.hosts[node];
                host.dropped = host.lease.filter(|(held, _)| held <= epoch).or(host.dropped);
                host.lease = host.lease.filter(|(held, _)| held > epoch);
            }
            _ => {}
        }
    }

    /// A guard has acknowledged the end of a lease.
    pub(super) fn judge_leased(&mut self, node: usize, number: u64, end: Timestamp) {
        let Some(epoch) = self.judge.handed.remove(&(node, number)) else { return };
        self.hosts[node].lease = Some((epoch, end));
        let ends = self.hosts[node].clock.when(end);
        if ends <= self.now {
            return;
        }
        self.tally.count("leases");
        if self.judge.released.contains(&epoch) {
            return self.violate("S8", format!("node {} gets a lease for epoch {epoch}, which it released", node + 1));
        }
        let newer = self.judge.newest.as_ref().filter(|(_, state)| state.epoch > epoch).map(|(_, state)| state.epoch);
        if let Some(newer) = newer {
            return self.violate("S5", format!("node {} holds a lease of epoch {epoch} although epoch {newer} is appointed", node + 1));
        }
        let other = (0..self.setting.nodes).find(|other| *other != node && self.lease_ends(*other).is_some_and(|(_, end)| end > self.now));
        if let Some(other) = other {
            self.violate("S4", format!("nodes {} and {} hold leases at once", node + 1, other + 1));
        }
    }

    /// A server is about to be started or promoted to write.
    pub(super) fn judge_start(&mut self, node: usize, epoch: Epoch) {
        let named = self.judge.newest.as_ref().and_then(|(_, state)| state.leaseholder());
        let leased = self.lease_ends(node).is_some_and(|(held, end)| held == epoch && end > self.now);
        // Without a lease the guard refuses, which is what it is for; with one, the state must still name this node.
        if leased && named != Some((id(node), epoch)) {
            self.violate("S9", format!("node {} starts to write for epoch {epoch}, but {named:?} is named", node + 1));
        }
        let promoted = self.judge.newest.as_ref().and_then(|(_, state)| state.primary.as_ref()).filter(|primary| primary.epoch == epoch);
        // What it told when it was chosen may have been a little more than the whole records that it had.
        let lag = self.judge.newest.as_ref().map_or(0, |(_, state)| state.settings.max_replication_lag);
        let told = promoted.filter(|primary| primary.promoted.is_none() && leased).and_then(|primary| primary.was_at);
        let end = self.hosts[node].data.as_ref().map(super::postgres::Data::end);
        if let Some((told, end)) = told.zip(end).filter(|(told, end)| told.ahead_of(*end) > lag) {
            let text = format!(
                "node {} starts to write for epoch {epoch} at {end}, and was appointed since it told that it is at {told}",
                node + 1
            );
            return self.violate("D5", text);
        }
        let promoted = promoted.and_then(|primary| primary.promoted).filter(|_| leased);
        let began_here = |promotion: &Promotion| {
            let data = self.hosts[node].data.as_ref();
            data.is_none_or(|data| data.history.iter().any(|own| (own.timeline, own.lsn) == (promotion.timeline, promotion.lsn)))
        };
        if let Some(promotion) = promoted.filter(|promotion| !began_here(promotion)) {
            let text =
                format!("node {} starts to write for epoch {epoch} with a copy from before its promotion to {promotion:?}", node + 1);
            self.violate("D5", text);
        }
    }

    /// A server has become one that may write.
    pub(super) fn judge_writable(&mut self, node: usize) {
        let may_write =
            |node: usize| self.hosts[node].server.as_ref().is_some_and(super::postgres::Server::is_writable) && !self.is_beyond_us(node);
        if !may_write(node) {
            return;
        }
        let other = (0..self.setting.nodes).find(|other| *other != node && may_write(*other));
        if let Some(other) = other {
            return self.violate("S2", format!("the servers of nodes {} and {} may write at once", node + 1, other + 1));
        }
        let epoch = self.hosts[node].server.as_ref().and_then(super::postgres::Server::epoch);
        if self.lease_ends(node).is_none_or(|(held, end)| Some(held) != epoch || end <= self.now) {
            self.violate("S9", format!("the server of node {} may write, and its guard holds no lease", node + 1));
        }
    }

    /// A commit is acknowledged.
    ///
    /// False: only a hardware watchdog would have prevented it (S7).
    pub(super) fn judge_commit(&mut self, node: usize, epoch: Epoch) -> bool {
        self.tally.count("commits");
        if self.is_beyond_us(node) {
            self.tally.count("S7: commits that only a hardware watchdog would have prevented");
            return false;
        }
        let leased =
            self.lease_ends(node).is_some_and(|(held, end)| held == epoch && end > self.now) || self.is_struck_in_time(node, epoch);
        // A guard that has died takes its memory along; the kernel ends the server sooner than the lease would have ended.
        let orphan = self.hosts[node].guard.as_ref().map(|guard| guard.life) != self.hosts[node].server.as_ref().map(|server| server.guard);
        if !leased && !orphan {
            self.violate("S2", format!("node {} acknowledges a commit of epoch {epoch} without a lease", node + 1));
        }
        let rival = (0..self.setting.nodes)
            .find(|other| *other != node && self.lease_ends(*other).is_some_and(|(held, end)| held > epoch && end > self.now));
        if let Some(rival) = rival {
            self.violate(
                "S6",
                format!("node {} acknowledges a commit of epoch {epoch} while node {} holds a later lease", node + 1, rival + 1),
            );
        }
        true
    }

    /// Its guard kills the server of that epoch, since it was told to drop the lease, which would not be over yet; and nobody else knows.
    fn is_struck_in_time(&self, node: usize, epoch: Epoch) -> bool {
        let host = &self.hosts[node];
        let dropped = host.dropped.is_some_and(|(held, end)| held == epoch && host.clock.when(end) > self.now);
        dropped && host.server.as_ref().is_some_and(|server| server.dying) && !self.judge.released.contains(&epoch)
    }

    /// A record was added to the log of that node's server.
    pub(super) fn note_written(&mut self, node: usize) {
        let host = &self.hosts[node];
        let Some((epoch, data)) = host.server.as_ref().and_then(super::postgres::Server::epoch).zip(host.data.as_ref()) else { return };
        let written = self.judge.written.entry(epoch).or_default();
        *written = data.end().0.max(*written);
    }

    /// A promotion is done: D4, if it was a switchover's; and how much was lost, if it was not.
    pub(super) fn judge_promoted(&mut self, node: usize, epoch: Epoch) {
        let Some((_, state)) = &self.judge.newest else { return };
        let switched = state.switchover.as_ref().is_some_and(|switchover| switchover.to == id(node) && switchover.epoch.next() == epoch);
        let Some(data) = &self.hosts[node].data else { return };
        let here: BTreeSet<u64> = data.log.iter().map(|record| record.number).collect();
        let lost: Vec<_> = self.commits.iter().filter(|commit| !here.contains(&commit.number)).copied().collect();
        self.commits.retain(|commit| here.contains(&commit.number));
        let since = self.judge.promoted.max(epoch);
        let before = std::mem::replace(&mut self.judge.promoted, since);
        let Some(last) = lost.last().filter(|_| before <= epoch) else { return };
        let since = |decided: Epoch| before < decided && decided <= epoch;
        let bounds = self.judge.bounds.iter().filter(|((decided, chosen), _)| since(*decided) && (*decided < epoch || *chosen == node));
        let bound = bounds.map(|(_, bound)| *bound).min().unwrap_or(0);
        let failed_over = self.judge.failovers.iter().any(|decided| since(*decided));
        self.tally.add("commits lost by failovers (asynchronous)", lost.len() as u64);
        if !failed_over {
            let text = format!(
                "node {} is promoted without a commit that ends at {:#x}, and no failover was decided since the promotion before",
                node + 1,
                last.end
            );
            return self.violate(if switched { "D4" } else { "D1" }, text);
        }
        // Its standbys have the one, and it wrote the other: whichever goes on, the other is lost.
        if self.judge.two_histories.is_some_and(|two| before <= two && two < epoch) {
            self.tally.add("commits of a primary that was put back and is lost", lost.len() as u64);
            return;
        }
        if let Some(early) = lost.iter().find(|commit| commit.end <= bound) {
            let text = format!(
                "node {} is promoted without a commit that ends at {:#x}, and the leader that chose it was told so much that all up to {bound:#x} must be there",
                node + 1,
                early.end
            );
            return self.violate("D1", text);
        }
        if switched {
            let text = format!(
                "the switchover to node {} lost {} commits that node {} had acknowledged, up to {:#x}",
                node + 1,
                lost.len(),
                last.node + 1,
                last.end
            );
            self.violate("D4", text);
        }
    }

    /// S11, where it could break.
    pub(super) fn judge_operation(&mut self, node: usize, operation: &Operation) {
        let ours = self.judge.newest.as_ref().and_then(|(_, state)| state.system_identifier);
        let Some(data) = self.hosts[node].data.as_ref().filter(|data| !data.unfinished) else { return };
        let touches = matches!(
            operation,
            Operation::InitDb
                | Operation::StartPrimary(..)
                | Operation::StartStandby(_)
                | Operation::Promote(..)
                | Operation::Rewind(_)
                | Operation::Clone(..)
        );
        // Another node learns of the founding later than it is committed; before that, only a standby of nobody could be started.
        let knows = self.hosts[node].daemon.as_ref().and_then(|daemon| daemon.belief.state.as_ref()?.system_identifier).is_some();
        if touches && knows && ours.is_some_and(|ours| ours != data.identifier) {
            self.violate("S11", format!("node {} begins {:?} on another cluster's database", node + 1, operation.kind()));
        }
    }

    /// At the end: the history of acknowledgements, by the same judge that looks at real ones.
    pub(super) fn judge_history(&mut self) {
        let found = at_most_one_writer(&self.history).first().map(ToString::to_string);
        if let Some(text) = found {
            self.violate("S2", format!("{text} (timelines are epochs here)"));
        }
    }

    /// Who believes what, for people.
    pub(super) fn beliefs(&self) -> String {
        let line = |(node, host): (usize, &super::host::Host)| {
            let belief = host.daemon.as_ref().map(|daemon| &daemon.belief);
            let state = belief.and_then(|belief| belief.state.as_ref());
            let server = host.server.as_ref().map(|server| (server.nature, server.up, server.streams, server.dying, server.stopping));
            format!(
                "  node {}: power {}, daemon {}, leads {:?}, applied epoch {:?} of {:?}, guard {} with {:?} (now {:?}), server {server:?}, data {:?}",
                node + 1,
                host.powered,
                if host.daemon.is_none() {
                    "absent"
                } else if host.daemon_wakes_at > self.now {
                    "stopped"
                } else {
                    "runs"
                },
                belief.map(|belief| (belief.led.term, belief.led.leader, belief.led.gate)),
                state.map(|state| state.epoch),
                state.and_then(|state| state.primary.as_ref()).map(|primary| (
                    primary.node,
                    primary.promoted.is_some(),
                    primary.released.is_some()
                )),
                if host.guard.is_none() {
                    "absent"
                } else if host.guard_wakes_at > self.now {
                    "stopped"
                } else {
                    "runs"
                },
                host.lease,
                host.clock.at(self.now),
                host.data.as_ref().map(|data| (data.position(), data.state, data.unfinished)),
            )
        };
        let newest =
            self.judge.newest.as_ref().map(|(index, state)| (index, &state.primary, &state.lineage, &state.switchover, state.paused));
        let committed = format!("  committed: {newest:?}");
        self.hosts.iter().enumerate().map(line).chain([committed]).collect::<Vec<_>>().join("\n")
    }
}
