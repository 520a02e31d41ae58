//! What the machine knows: the last word of everybody, folded.

use crate::machine::Timestamp;
use crate::model::{ClusterState, Epoch, Health, Lsn, NodeId, Promotion, Report, Server};
use crate::pg::Reported;
use crate::raft::Leadership;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A node that has just started may hold an old log. It believes what the log says of others only after it has known a leader for so long:
/// by then it has caught up.
const SETTLING: Duration = Duration::from_millis(500);

/// From the moment at which it learns of a switchover a node looks at its database many times a second, so what it reports after this time was
/// seen since.
const SEEN_ANEW: Duration = Duration::from_millis(100);

/// Everything that was told, newest of each kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) state: Option<ClusterState>,
    pub(super) leadership: Leadership,
    pub(super) own: Option<Reported>,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// How far the primary of that epoch is known to have written.
    pub(super) written: Option<(Epoch, Lsn)>,
    /// The guard was asked what it holds.
    pub(super) guard_found: bool,
    /// The last epoch that the guard remembers as released.
    pub(super) remembered: Option<Epoch>,
    pub(super) stopping: bool,
    led_since: Option<Timestamp>,
    leaderless_since: Option<Timestamp>,
    settled: bool,
    /// The primary of that epoch told itself how far it is.
    heard_from: Option<Epoch>,
    /// The history that the primary of that epoch told its peers, with its own promotion as the end, which is not committed.
    untold: Option<(Epoch, Vec<Promotion>)>,
    /// Since when this node leads and may decide.
    ready_since: Option<Timestamp>,
    /// When the state first showed this epoch.
    appointed: Option<(Epoch, Timestamp)>,
    /// So many appointments in a row came to nothing.
    unpromoted: u32,
    /// When the state first showed the primary of this epoch as released.
    released: Option<(Epoch, Timestamp)>,
    /// When the switchover of this epoch was first seen.
    switching: Option<(Epoch, Timestamp)>,
}

/// A peer as its probe sees it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) health: Health,
    pub(super) report: Option<Box<Report>>,
    pub(super) heard_at: Timestamp,
}

/// Whether the log does not name the promotion of the present primary yet.
fn is_untold(state: &ClusterState) -> bool {
    state.primary.as_ref().is_some_and(|primary| primary.promoted.is_none())
}

impl Facts {
    pub(super) fn committed(&mut self, now: Timestamp, state: ClusterState) {
        if self.appointed.is_none_or(|(epoch, _)| epoch != state.epoch) {
            self.appointed = Some((state.epoch, now));
            let in_vain = self.state.as_ref().is_some_and(|before| before.system_identifier.is_some() && is_untold(before));
            self.unpromoted = if in_vain { self.unpromoted.saturating_add(1) } else { 0 };
        }
        // Raft may have died and come back with less than it had told before. What is known stays known.
        if self.state.as_ref().is_none_or(|before| before.epoch <= state.epoch) {
            self.reckon(&state);
        }
        if let Some(primary) = &state.primary
            && primary.released.is_some()
            && self.released.is_none_or(|(epoch, _)| epoch != primary.epoch)
        {
            self.released = Some((primary.epoch, now));
        }
        match &state.switchover {
            Some(switchover) if self.switching.is_none_or(|(epoch, _)| epoch != switchover.epoch) => {
                self.switching = Some((switchover.epoch, now));
            }
            Some(_) => {}
            None => self.switching = None,
        }
        self.state = Some(state);
    }

    /// What a new state says of what was told before it.
    fn reckon(&mut self, state: &ClusterState) {
        // Another primary told its promotion in an epoch that this node did not see: whatever was told before it is in the committed history.
        let retold = self.state.as_ref().is_some_and(|before| before.epoch < state.epoch && before.lineage != state.lineage);
        if retold || !is_untold(state) {
            self.untold = None;
        }
        let Some(primary) = &state.primary else { return };
        if is_untold(state) && !retold {
            // What the primaries before had written counts until the new one writes its own.
            self.written = self.written.map(|(_, lsn)| (primary.epoch, lsn));
        } else if self.heard_from != Some(primary.epoch) {
            self.written = None;
        }
        if let Some(lsn) = primary.released.and_then(|release| release.final_lsn) {
            self.wrote(primary.epoch, lsn);
        }
    }

    pub(super) fn led(&mut self, now: Timestamp, leadership: Leadership) {
        match (leadership.leader, self.led_since) {
            (Some(_), None) => self.led_since = Some(now),
            (None, _) => self.led_since = None,
            (Some(_), Some(_)) => {}
        }
        self.ready_since = leadership.ready.then(|| self.ready_since.unwrap_or(now));
        self.leaderless_since = if leadership.leader.is_none() { self.leaderless_since.or(Some(now)) } else { None };
        self.leadership = leadership;
    }

    pub(super) fn observed(&mut self, now: Timestamp, node: NodeId, health: Health, report: Option<Box<Report>>) {
        let epoch = self.state.as_ref().and_then(ClusterState::leaseholder).filter(|(holder, _)| *holder == node).map(|(_, epoch)| epoch);
        if let (Some(epoch), Some(report)) = (epoch, &report)
            && report.epoch == epoch
            && let Some(database) = &report.database
            && database.server == Server::Primary
            && let Some(position) = database.position
        {
            self.heard(epoch, position.lsn);
            if self.state.as_ref().is_some_and(is_untold) && !database.lineage.is_empty() {
                self.untold = Some((epoch, database.lineage.clone()));
            }
        }
        let news = report.as_ref().map(|report| (report.boot, report.seq));
        let before = self.peers.get(&node);
        let heard_at = match before {
            Some(peer) if peer.report.as_ref().map(|report| (report.boot, report.seq)) == news => peer.heard_at,
            _ => now,
        };
        self.peers.insert(node, Peer { health, report, heard_at });
    }

    /// The primary of that epoch tells itself how far it is. From then on it does not matter any more what the ones before it had written.
    fn heard(&mut self, epoch: Epoch, lsn: Lsn) {
        if self.heard_from != Some(epoch) {
            (self.heard_from, self.written) = (Some(epoch), None);
        }
        self.wrote(epoch, lsn);
    }

    fn wrote(&mut self, epoch: Epoch, lsn: Lsn) {
        match &mut self.written {
            Some((of, furthest)) if *of == epoch => *furthest = lsn.max(*furthest),
            written => *written = Some((epoch, lsn)),
        }
    }

    /// Whether what the log says of others may be acted upon. Once true it stays true.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        self.settled |= self.led_since.is_some_and(|since| now.since(since) >= SETTLING);
        self.settled
    }

    /// For how long Raft has named no leader.
    pub(super) fn leaderless_for(&self, now: Timestamp) -> Duration {
        self.leaderless_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(super) fn holder(&self) -> Option<(NodeId, Epoch)> {
        self.state.as_ref().and_then(ClusterState::leaseholder)
    }

    /// Whether the primary of the present epoch has told how far it is, so that a lag means something (D1).
    pub(super) fn has_heard_from_primary(&self) -> bool {
        self.state.as_ref().is_some_and(|state| self.heard_from == Some(state.epoch))
    }

    /// The history that databases are judged by. A primary's promotion counts from the moment at which its peers hear of it: if it dies before that
    /// is committed, what it wrote must not be measured against the timeline before (D1), nor in the epochs of successors that tell nothing either.
    pub(super) fn history<'a>(&self, state: &'a ClusterState) -> Cow<'a, ClusterState> {
        let Some((epoch, lineage)) = self.untold.as_ref().filter(|_| is_untold(state)) else { return Cow::Borrowed(state) };
        let mut state = state.clone();
        if *epoch == state.epoch {
            state.learn_promotion(lineage);
        } else {
            state.learn_lineage(lineage);
        }
        Cow::Owned(state)
    }

    /// How long this node has been in charge.
    pub(super) fn ready_for(&self, now: Timestamp) -> Duration {
        self.ready_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// How long ago the state first showed the present epoch.
    pub(super) fn appointed_for(&self, now: Timestamp) -> Duration {
        self.appointed.map_or(Duration::ZERO, |(_, at)| now.since(at))
    }

    /// How many appointments before the present one came to nothing, one after the other.
    pub(super) fn appointed_in_vain(&self) -> u32 {
        self.unpromoted
    }

    /// How long ago the state first showed the present primary as released.
    pub(super) fn released_for(&self, now: Timestamp) -> Duration {
        self.released.map_or(Duration::ZERO, |(_, at)| now.since(at))
    }

    /// How long ago the switchover that is under way was first seen.
    pub(super) fn switching_for(&self, now: Timestamp) -> Duration {
        self.switching.map_or(Duration::ZERO, |(_, at)| now.since(at))
    }

    /// Whether that node was seen streaming since the switchover began. What it reported before may be a second old.
    pub(super) fn streams_since_the_switchover(&self, node: NodeId) -> bool {
        let since = self.switching.map(|(_, at)| at + SEEN_ANEW);
        let anew = self.peers.get(&node).is_some_and(|peer| since.is_some_and(|since| peer.heard_at >= since));
        anew && self.fresh(node).and_then(|report| report.database.as_ref()).is_some_and(|database| database.streaming)
    }

    /// The last report of a node, if it is fresh enough to act upon.
    pub(super) fn fresh(&self, node: NodeId) -> Option<&Report> {
        let peer = self.peers.get(&node).filter(|peer| peer.health != Health::Red)?;
        peer.report.as_deref()
    }
}
