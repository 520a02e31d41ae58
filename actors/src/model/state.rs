//! The replicated state and its one transition.
//!
//! `apply` is deterministic: every node that applies the same entries holds the same state. It checks the ground of each proposal again,
//! because between the decision and the commit the world may have moved (S1); a proposal whose ground has moved is ignored, with a reason.

use super::{
    Command, Endpoint, Epoch, Event, EventKind, Lsn, Member, NodeId, Position, Promotion, Proposal, RaftId, RequestId, Settings,
    SystemIdentifier, Term, Timeline, WallClock,
};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How many lines of history the log keeps.
const HISTORY_MAX: usize = 200;
/// How many ended requests are remembered, so that their askers learn how they ended.
const ENDINGS_MAX: usize = 32;

/// What every member agrees on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// The cluster's name.
    pub cluster: String,
    /// Who is in it.
    pub members: BTreeMap<NodeId, Member>,
    /// The identity of its database, once there is one (S11).
    pub system_identifier: Option<SystemIdentifier>,
    /// The last epoch that was appointed.
    pub epoch: Epoch,
    /// The primary of that epoch.
    pub primary: Option<Primary>,
    /// The promotions of the past, oldest first: where each timeline of this database began.
    pub lineage: VecDeque<Promotion>,
    /// An operator holds everything but the fence.
    pub paused: bool,
    /// The switchover that is under way.
    pub switchover: Option<Switchover>,
    /// Settings of the whole cluster.
    pub settings: Settings,
    /// What happened, oldest first.
    pub history: VecDeque<Event>,
    /// How the last requests ended, oldest first.
    pub endings: VecDeque<Ending>,
}

/// An appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// Who was appointed.
    pub node: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
    /// When that was proposed.
    pub appointed_at: WallClock,
    /// How far it had told that it is when that was decided.
    #[serde(default)]
    pub was_at: Option<Lsn>,
    /// Set when its database accepts writes.
    pub promoted: Option<Promotion>,
    /// Set when it will never again accept writes in this epoch.
    pub released: Option<Release>,
}

/// The primary of an epoch stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The timeline it was on.
    pub timeline: Timeline,
    /// The end of its log after a clean stop.
    pub final_lsn: Option<Lsn>,
}

/// A planned change of primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// The request.
    pub id: RequestId,
    /// The primary that steps down.
    pub from: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Who takes over.
    pub to: NodeId,
    /// When it was proposed.
    pub begun_at: WallClock,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The request.
    pub id: RequestId,
    /// The primary before.
    pub from: NodeId,
    /// The primary after.
    pub to: NodeId,
    /// The epoch after.
    pub epoch: Epoch,
    /// The timeline after.
    pub timeline: Timeline,
    /// From the proposal that began it to the one that ended it.
    pub duration_ms: u64,
    /// None: it succeeded.
    pub failure: Option<String>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the state.
    Done,
    /// Its ground had moved, or it said nothing new.
    Ignored {
        /// In words, for the log.
        reason: String,
    },
}

fn ignored(reason: &str) -> Applied {
    Applied::Ignored { reason: reason.to_string() }
}

impl ClusterState {
    /// The state at a cluster's birth.
    #[must_use]
    pub fn born(cluster: String, members: BTreeMap<NodeId, Member>, settings: Settings) -> Self {
        Self {
            cluster,
            members,
            system_identifier: None,
            epoch: Epoch(0),
            primary: None,
            lineage: VecDeque::new(),
            paused: false,
            switchover: None,
            settings,
            history: VecDeque::new(),
            endings: VecDeque::new(),
        }
    }

    /// The node that may hold a lease: the primary of the current epoch, unless it is released.
    #[must_use]
    pub fn leaseholder(&self) -> Option<(NodeId, Epoch)> {
        self.primary.as_ref().filter(|primary| primary.released.is_none()).map(|primary| (primary.node, primary.epoch))
    }

    /// What the database of the appointed node holds according to the committed history (D5): its promotion in this epoch; before that, the end of the
    /// primary before if the appointment lost nothing; else, on whichever timeline (0), the least that D1 lets a successor have, by that history and by
    /// the position upon which it was decided. None: nothing is known, as of a new database.
    #[must_use]
    pub fn least_to_lead(&self) -> Option<Position> {
        let primary = self.primary.as_ref()?;
        if let Some(promotion) = primary.promoted {
            // The first timeline began with the database.
            return Some(Position { timeline: promotion.timeline, lsn: promotion.lsn }).filter(|began| began.lsn > Lsn(0));
        }
        let mut before = self.history.iter().rev().skip_while(|event| !matches!(event.kind, EventKind::Appointed { .. }));
        let lost = before.next().and_then(|event| match event.kind {
            EventKind::Appointed { node, lost_at_least, .. } if event.epoch == primary.epoch && node == primary.node => lost_at_least,
            _ => None,
        });
        if primary.was_at.is_none() && lost.is_none() {
            return None;
        }
        let released = before.take_while(|event| !matches!(event.kind, EventKind::Appointed { .. })).find_map(|event| match event.kind {
            EventKind::Released { timeline, final_lsn: Some(lsn), .. } => Some(Position { timeline, lsn }),
            _ => None,
        });
        if let (Some(end), Some(0)) = (released, lost) {
            return Some(end);
        }
        let lost = lost.unwrap_or_default();
        // On the timeline on which it was chosen, the history may not say how much it had then.
        let told = primary.was_at.map(|at| Lsn(at.0.saturating_add(lost)));
        let furthest =
            [released.map(|end| end.lsn), self.lineage.back().map(|promotion| promotion.lsn), told].into_iter().max().flatten()?;
        let lsn = Lsn(furthest.0.saturating_sub(lost.max(self.settings.max_replication_lag)));
        (lsn > Lsn(0)).then_some(Position { timeline: Timeline(0), lsn })
    }

    /// The node that a Raft id belongs to.
    #[must_use]
    pub fn node_of(&self, raft_id: RaftId) -> Option<NodeId> {
        self.members.values().find(|member| member.raft_id == raft_id).map(|member| member.node)
    }

    /// Nodes that run a database.
    pub fn data_nodes(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.witness)
    }

    /// Applies the entry at `index` of `term`.
    pub fn apply(&mut self, index: u64, term: Term, proposal: &Proposal) -> Applied {
        if proposal.term.is_some_and(|decided_in| decided_in != term) {
            return ignored("decided in an earlier term");
        }
        if proposal.basis != self.epoch && !matches!(proposal.command, Command::Pause { .. } | Command::Handover | Command::Describe { .. })
        {
            return ignored("decided upon an earlier epoch");
        }
        match self.transition(proposal) {
            Ok(events) => {
                for kind in events {
                    self.remember(Event { index, at: proposal.at, epoch: self.epoch, kind });
                }
                Applied::Done
            }
            Err(applied) => applied,
        }
    }

    /// A node that lost its log is a member again under a new Raft id. Travels with the configuration change itself.
    pub fn replace_member(&mut self, index: u64, at: WallClock, node: NodeId, raft_id: RaftId) {
        // Consensus knows no time of day: an event without a date happened after the one before it.
        let at = self.history.back().map_or(at, |before| at.max(before.at));
        if let Some(member) = self.members.get_mut(&node) {
            member.raft_id = raft_id;
            self.remember(Event { index, at, epoch: self.epoch, kind: EventKind::MemberReplaced { node } });
        }
    }

    fn transition(&mut self, proposal: &Proposal) -> Result<Vec<EventKind>, Applied> {
        let mut events = Vec::new();
        match &proposal.command {
            Command::Appoint { node, why, lost_at_least, at } => {
                let may = self.members.get(node).is_some_and(|member| !member.witness);
                if !may {
                    return Err(ignored("the node has no database in this cluster"));
                }
                let replaces = self.primary.as_ref().map(|primary| primary.node);
                // A switchover goes on only if the old primary stopped in good order and the target has all of it (D4). Whoever is appointed
                // otherwise is appointed by a failover, which may lose something, and nobody may be told that it was a switchover.
                let in_order =
                    self.primary.as_ref().is_some_and(|primary| primary.released.is_some_and(|release| release.final_lsn.is_some()))
                        && *lost_at_least == Some(0);
                self.epoch = self.epoch.next();
                self.primary = Some(Primary {
                    node: *node,
                    epoch: self.epoch,
                    appointed_at: proposal.at,
                    was_at: *at,
                    promoted: None,
                    released: None,
                });
                events.push(EventKind::Appointed { node: *node, replaces, why: why.clone(), lost_at_least: *lost_at_least });
                if let Some(switchover) = self.switchover.clone()
                    && (switchover.to != *node || !in_order)
                {
                    let failure = alloc::format!("{}: {}", why.rule, why.because);
                    events.push(self.end_switchover(&switchover, *node, Timeline(0), proposal.at, Some(failure)));
                }
            }
            Command::Founded { node, system_identifier } => {
                self.require_holder(*node)?;
                if self.system_identifier.is_some() {
                    return Err(ignored("the cluster has its database already"));
                }
                self.system_identifier = Some(*system_identifier);
                events.push(EventKind::Founded { node: *node, system_identifier: *system_identifier });
            }
            Command::Promoted { node, lineage } => {
                self.require_holder(*node)?;
                let Some(promotion) = lineage.last().copied() else { return Err(ignored("it names no timeline")) };
                let Some(primary) = self.primary.as_ref() else { return Err(ignored("there is no primary")) };
                if primary.promoted.is_some_and(|known| known.may_be(promotion)) {
                    return Err(ignored("already known"));
                }
                self.learn_promotion(lineage);
                events.push(EventKind::Promoted { node: *node, timeline: promotion.timeline, lsn: promotion.lsn });
                if let Some(switchover) = self.switchover.clone()
                    && switchover.to == *node
                {
                    events.push(self.end_switchover(&switchover, *node, promotion.timeline, proposal.at, None));
                }
            }
            Command::Release { node, timeline, final_lsn, why } => {
                self.require_holder(*node)?;
                let Some(primary) = self.primary.as_mut() else { return Err(ignored("there is no primary")) };
                primary.released = Some(Release { timeline: *timeline, final_lsn: *final_lsn });
                events.push(EventKind::Released { node: *node, timeline: *timeline, final_lsn: *final_lsn, why: why.clone() });
            }
            Command::Pause { id, paused } => {
                if self.endings.iter().any(|ending| ending.id == *id) {
                    return Err(ignored("the request was carried out before"));
                }
                self.paused = *paused;
                let (node, timeline) = self.primary.as_ref().map_or((proposal.by, Timeline(0)), |primary| {
                    (primary.node, primary.promoted.map_or(Timeline(0), |promotion| promotion.timeline))
                });
                self.end(Ending { id: *id, from: node, to: node, epoch: self.epoch, timeline, duration_ms: 0, failure: None });
                events.push(EventKind::Paused { paused: *paused });
            }
            Command::BeginSwitchover { id, to } => {
                if self.endings.iter().any(|ending| ending.id == *id) {
                    return Err(ignored("the request was carried out before"));
                }
                let Some((from, epoch)) = self.leaseholder() else { return Err(ignored("there is no primary to step down")) };
                if self.switchover.is_some() {
                    return Err(ignored("another switchover is under way"));
                }
                if from == *to || self.members.get(to).is_none_or(|member| member.witness) {
                    return Err(ignored("the target cannot take over"));
                }
                self.switchover = Some(Switchover { id: *id, from, epoch, to: *to, begun_at: proposal.at });
                events.push(EventKind::SwitchoverBegun { id: *id, from, to: *to });
            }
            Command::AbortSwitchover { id, reason } => {
                let Some(switchover) = self.switchover.clone().filter(|switchover| switchover.id == *id) else {
                    return Err(ignored("no such switchover is under way"));
                };
                let stays = self.primary.as_ref().map_or(switchover.from, |primary| primary.node);
                events.push(self.end_switchover(&switchover, stays, Timeline(0), proposal.at, Some(reason.clone())));
            }
            Command::Handover => {}
            Command::Describe { node, name, witch, database } => self.describe(*node, name, witch, database)?,
        }
        Ok(events)
    }

    fn describe(&mut self, node: NodeId, name: &str, witch: &Endpoint, database: &Endpoint) -> Result<(), Applied> {
        // An operator names nodes; two of one name could not be told apart. Addresses may collide for a while: two nodes may have changed places.
        if self.members.values().any(|other| other.node != node && other.name == name) {
            return Err(ignored("another member has that name"));
        }
        let Some(member) = self.members.get_mut(&node) else { return Err(ignored("no such member")) };
        if member.name == name && member.witch == *witch && member.database == *database {
            return Err(ignored("already known"));
        }
        member.name = name.to_string();
        member.witch = witch.clone();
        member.database = database.clone();
        Ok(())
    }

    fn require_holder(&self, node: NodeId) -> Result<(), Applied> {
        match self.leaseholder() {
            Some((holder, _)) if holder == node => Ok(()),
            _ => Err(ignored("the node is not the unreleased primary")),
        }
    }

    fn end_switchover(
        &mut self,
        switchover: &Switchover,
        to: NodeId,
        timeline: Timeline,
        at: WallClock,
        failure: Option<String>,
    ) -> EventKind {
        self.switchover = None;
        let duration_ms = u64::try_from(at.since(switchover.begun_at).as_millis()).unwrap_or(u64::MAX);
        self.end(Ending {
            id: switchover.id,
            from: switchover.from,
            to,
            epoch: self.epoch,
            timeline,
            duration_ms,
            failure: failure.clone(),
        });
        EventKind::SwitchoverEnded { id: switchover.id, failure }
    }

    fn end(&mut self, ending: Ending) {
        push_bounded(&mut self.endings, ending, ENDINGS_MAX);
    }

    fn remember(&mut self, event: Event) {
        push_bounded(&mut self.history, event, HISTORY_MAX);
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Why;

    fn member(node: u64, witness: bool) -> (NodeId, Member) {
        let endpoint = Endpoint { host: "h".into(), port: 1 };
        let member =
            Member { node: NodeId(node), raft_id: RaftId(node), name: "n".into(), witch: endpoint.clone(), database: endpoint, witness };
        (NodeId(node), member)
    }

    fn state() -> ClusterState {
        ClusterState::born("c".into(), [member(1, false), member(2, false), member(3, true)].into(), Settings::default())
    }

    fn propose(term: Option<u64>, basis: u64, command: Command) -> Proposal {
        Proposal { by: NodeId(1), term: term.map(Term), basis: Epoch(basis), at: WallClock(7), command }
    }

    fn lineage(line: &[(u32, u64)]) -> Vec<Promotion> {
        line.iter().map(|(timeline, lsn)| Promotion { timeline: Timeline(*timeline), lsn: Lsn(*lsn), mark: None }).collect()
    }

    fn appoint(node: u64) -> Command {
        Command::Appoint { node: NodeId(node), why: Why::default(), lost_at_least: None, at: None }
    }

    fn release(node: u64) -> Command {
        Command::Release { node: NodeId(node), timeline: Timeline(1), final_lsn: Some(Lsn(9)), why: Why::default() }
    }

    fn is_ignored(applied: &Applied) -> bool {
        matches!(applied, Applied::Ignored { .. })
    }

    #[test]
    fn epochs_strictly_increase_and_a_stale_ground_is_ignored() {
        let mut state = state();
        assert_eq!(state.apply(1, Term(2), &propose(Some(2), 0, appoint(1))), Applied::Done);
        assert_eq!(state.leaseholder(), Some((NodeId(1), Epoch(1))));
        assert!(is_ignored(&state.apply(2, Term(2), &propose(Some(2), 0, appoint(2)))), "an earlier epoch");
        assert!(is_ignored(&state.apply(3, Term(3), &propose(Some(2), 1, appoint(2)))), "an earlier term");
        assert_eq!(state.apply(4, Term(3), &propose(Some(3), 1, appoint(2))), Applied::Done);
        assert_eq!(state.leaseholder(), Some((NodeId(2), Epoch(2))));
    }

    #[test]
    fn a_witness_or_a_stranger_is_never_appointed() {
        let mut state = state();
        for node in [3, 4] {
            assert!(is_ignored(&state.apply(1, Term(1), &propose(Some(1), 0, appoint(node)))));
        }
        assert_eq!(state.epoch, Epoch(0));
    }

    #[test]
    fn only_the_holder_releases_and_only_once() {
        let mut state = state();
        state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
        assert!(is_ignored(&state.apply(2, Term(1), &propose(None, 1, release(2)))));
        assert_eq!(state.apply(3, Term(1), &propose(None, 1, release(1))), Applied::Done);
        assert_eq!(state.leaseholder(), None);
        assert!(is_ignored(&state.apply(4, Term(1), &propose(None, 1, release(1)))));
    }

    #[test]
    fn a_switchover_ends_when_its_target_is_promoted() {
        let mut state = state();
        state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
        state.apply(2, Term(1), &propose(Some(1), 1, Command::BeginSwitchover { id: RequestId(5), to: NodeId(2) }));
        assert!(state.switchover.is_some());
        state.apply(3, Term(1), &propose(None, 1, release(1)));
        state.apply(
            4,
            Term(1),
            &propose(Some(1), 1, Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: Some(0), at: None }),
        );
        assert!(state.switchover.is_some(), "appointed is not yet promoted");
        state.apply(5, Term(1), &propose(None, 2, Command::Promoted { node: NodeId(2), lineage: lineage(&[(2, 9)]) }));
        assert_eq!(state.switchover, None);
        assert_eq!(state.endings.back().map(|ending| (ending.to, ending.failure.clone())), Some((NodeId(2), None)));
    }

    #[test]
    fn a_failover_to_the_target_ends_a_switchover_as_failed_since_it_may_have_lost_something() {
        for (released, lost_at_least) in [(false, Some(0)), (true, Some(1)), (true, None)] {
            let mut state = state();
            state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
            state.apply(2, Term(1), &propose(Some(1), 1, Command::BeginSwitchover { id: RequestId(5), to: NodeId(2) }));
            if released {
                state.apply(3, Term(1), &propose(None, 1, release(1)));
            }
            state.apply(
                4,
                Term(1),
                &propose(Some(1), 1, Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least, at: None }),
            );
            assert!(state.endings.back().is_some_and(|ending| ending.failure.is_some()), "{released} {lost_at_least:?}");
        }
    }

    #[test]
    fn who_is_appointed_holds_what_the_history_says() {
        let at = |timeline, lsn| Some(Position { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        let appoint = |lost| Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least: lost, at: None };
        let after = |release: Option<u64>, lost: Option<u64>| {
            let mut state = state();
            state.settings.max_replication_lag = 10;
            state.apply(1, Term(1), &propose(Some(1), 0, self::appoint(1)));
            assert_eq!(state.least_to_lead(), None, "nothing was ever written");
            state.apply(2, Term(1), &propose(None, 1, Command::Promoted { node: NodeId(1), lineage: lineage(&[(1, 0), (3, 100)]) }));
            assert_eq!(state.least_to_lead(), at(3, 100), "its own promotion");
            if let Some(lsn) = release {
                let command = Command::Release { node: NodeId(1), timeline: Timeline(3), final_lsn: Some(Lsn(lsn)), why: Why::default() };
                state.apply(3, Term(1), &propose(None, 1, command));
            }
            state.apply(4, Term(1), &propose(Some(1), 1, appoint(lost)));
            state
        };
        assert_eq!(after(Some(200), Some(0)).least_to_lead(), at(3, 200), "nothing was lost");
        assert_eq!(after(Some(200), Some(3)).least_to_lead(), at(0, 190), "as much as D1 lets be missing");
        assert_eq!(after(Some(200), Some(50)).least_to_lead(), at(0, 150), "or as is known to be");
        assert_eq!(after(None, Some(0)).least_to_lead(), at(0, 90), "at least the beginning of the last timeline");
        assert_eq!(after(None, None).least_to_lead(), None, "nobody knew where it was");
        let mut promoted = after(Some(200), Some(0));
        promoted.apply(
            5,
            Term(1),
            &propose(None, 2, Command::Promoted { node: NodeId(2), lineage: lineage(&[(1, 0), (3, 100), (4, 200)]) }),
        );
        assert_eq!(promoted.least_to_lead(), at(4, 200));
    }

    /// Seed 5034639: put back between its appointment and its promotion.
    #[test]
    fn an_appointment_says_how_much_the_chosen_one_had() {
        let least = |lost_at_least, at: Option<u64>| {
            let mut state = state();
            state.settings.max_replication_lag = 10;
            state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
            state.apply(2, Term(1), &propose(None, 1, Command::Promoted { node: NodeId(1), lineage: lineage(&[(1, 0)]) }));
            let command = Command::Appoint { node: NodeId(2), why: Why::default(), lost_at_least, at: at.map(Lsn) };
            state.apply(3, Term(1), &propose(Some(1), 1, command));
            state.least_to_lead().map(|least| (least.timeline.0, least.lsn.0))
        };
        assert_eq!(least(Some(0), Some(200)), Some((0, 190)), "as much as D1 lets be missing");
        assert_eq!(least(Some(4), Some(200)), Some((0, 194)), "of what was known to be written");
        assert_eq!(least(Some(50), Some(200)), Some((0, 200)));
        assert_eq!(least(None, Some(200)), Some((0, 190)), "nobody knew how far the primary before was");
        assert_eq!((least(Some(0), None), least(None, None)), (None, None));
    }

    #[test]
    fn who_follows_the_present_primary_is_not_judged_by_a_branch_that_was_given_up() {
        let mut state = state();
        let reigns: [(u64, &[(u32, u64)]); 4] =
            [(1, &[(1, 0)]), (2, &[(1, 0), (2, 100)]), (1, &[(1, 0), (2, 100), (3, 150)]), (2, &[(1, 0), (2, 120)])];
        for (epoch, (node, line)) in reigns.into_iter().enumerate() {
            state.apply(1, Term(1), &propose(Some(1), epoch as u64, appoint(node)));
            state.apply(2, Term(1), &propose(None, epoch as u64 + 1, Command::Promoted { node: NodeId(node), lineage: lineage(line) }));
        }
        // Node 2 never heard of timeline 3, and began another timeline 2.
        let at = |timeline, lsn| Position { timeline: Timeline(timeline), lsn: Lsn(lsn) };
        assert!(state.is_prefix(at(2, 500)), "it streams from the primary");
        assert!(state.is_prefix(at(1, 120)));
        assert!(!state.is_prefix(at(1, 121)));
    }

    #[test]
    fn a_promotion_that_was_never_committed_by_itself_is_part_of_the_history_too() {
        let mut state = state();
        state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
        let line = lineage(&[(1, 0), (2, 100), (3, 200)]);
        state.apply(2, Term(1), &propose(None, 1, Command::Promoted { node: NodeId(1), lineage: line }));
        let at = |lsn| Position { timeline: Timeline(1), lsn: Lsn(lsn) };
        assert!(state.is_prefix(at(100)));
        assert!(!state.is_prefix(at(150)), "timeline 2 left it before");
    }

    #[test]
    fn appointing_anybody_else_ends_a_switchover_as_failed() {
        let mut state = state();
        state.apply(1, Term(1), &propose(Some(1), 0, appoint(1)));
        state.apply(2, Term(1), &propose(Some(1), 1, Command::BeginSwitchover { id: RequestId(5), to: NodeId(2) }));
        state.apply(3, Term(1), &propose(None, 1, release(1)));
        state.apply(4, Term(1), &propose(Some(1), 1, appoint(1)));
        assert!(state.endings.back().is_some_and(|ending| ending.failure.is_some()));
    }
}
