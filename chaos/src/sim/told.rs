//! What one life of an FSM was told, from which the judge tells what it may decide.

use actors::fsm::Input;
use actors::machine::Timestamp;
use actors::model::{
    Bar, Boot, ClusterState, Database, Directory, Epoch, Health, LeaseGrant, Lsn, NodeId, Position, Promotion, Report, Server,
    SystemIdentifier,
};
use actors::raft::Fact;
use std::collections::BTreeMap;

/// What one life of an FSM was told, and what it asked for.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What its guard said last that it holds.
    pub(super) guarded: Option<(Epoch, Timestamp)>,
    pub(super) released: Epoch,
    pub(super) asked: BTreeMap<(Boot, u64), Timestamp>,
    /// How the others look.
    pub(super) seen: BTreeMap<NodeId, (Health, Option<Report>)>,
    /// How far the primary of an epoch said that it is.
    pub(super) heard: BTreeMap<Epoch, u64>,
    /// The history that the primary of that epoch told, and that is not committed.
    untold: Option<(Epoch, Vec<Promotion>)>,
    /// The state that it was told last.
    state: Option<ClusterState>,
    /// The grant that is being looked at.
    pub(super) grant: Option<LeaseGrant>,
    /// The order in force lets the server of this epoch write.
    pub(super) leads: Option<Epoch>,
    /// It had this release recorded.
    pub(super) recorded: Epoch,
}

impl Told {
    pub(super) fn learn(&mut self, input: &Input) {
        self.grant = None;
        match input {
            // The first thing that a life is told.
            Input::Recalled(facts) => {
                *self = Self::default();
                for fact in facts {
                    self.learn(fact);
                }
            }
            Input::GuardFound { lease } => self.guarded = *lease,
            Input::LeaseGuarded { epoch, end } => self.guarded = self.guarded.max(Some((*epoch, *end))),
            Input::ReleaseRecorded { epoch } => self.released = self.released.max(*epoch),
            Input::Observed { peer, health, report } => {
                if let Some(report) = report {
                    self.hear(report);
                }
                self.seen.insert(*peer, (*health, report.as_deref().cloned()));
            }
            Input::Raft(Fact::Committed { state, .. }) => self.apply(state),
            Input::Raft(Fact::Leased(grant)) => self.grant = Some(*grant),
            _ => {}
        }
        self.guarded = self.guarded.filter(|(epoch, _)| *epoch > self.released);
    }

    /// A report, perhaps its own: the primary's tells how far it has written, and where it goes on from.
    pub(super) fn hear(&mut self, report: &Report) {
        let database = report.database.as_ref().filter(|database| database.server == Server::Primary);
        let Some(state) = self.state.as_ref().filter(|state| state.leaseholder() == Some((report.node, report.epoch))) else { return };
        let Some(database) = database else { return };
        if let Some(position) = database.position {
            let heard = self.heard.entry(report.epoch).or_default();
            *heard = position.lsn.0.max(*heard);
        }
        if promotion(state).is_none() && !database.lineage.is_empty() {
            self.untold = Some((report.epoch, database.lineage.clone()));
        }
    }

    fn apply(&mut self, state: &ClusterState) {
        if let Some(promotion) = promotion(state) {
            let heard = self.heard.entry(state.epoch).or_default();
            *heard = promotion.lsn.0.max(*heard);
        }
        let before = self.state.as_ref().map(|before| (before.epoch, &before.lineage));
        let older = before.is_some_and(|(epoch, _)| state.epoch < epoch);
        let retold = before.is_some_and(|(epoch, lineage)| epoch < state.epoch && *lineage != state.lineage);
        if retold || promotion(state).is_some() && !older {
            self.untold = None;
        }
        if retold {
            // Somebody was promoted in an epoch that was not seen: how far the ones before it had written tells nothing of its timeline.
            self.heard.retain(|epoch, _| *epoch >= state.epoch);
        }
        self.state = Some(state.clone());
    }

    /// The history that counts: with a promotion that was told and not committed yet, also by a primary before the present one.
    pub(super) fn history(&self, state: &ClusterState) -> ClusterState {
        let mut history = state.clone();
        match &self.untold {
            Some((epoch, lineage)) if promotion(state).is_none() && *epoch == state.epoch => history.learn_promotion(lineage),
            Some((_, lineage)) if promotion(state).is_none() => history.learn_lineage(lineage),
            _ => {}
        }
        history
    }

    /// How far the primary of that epoch said that it is; while it has said nothing, how far the ones before it did; and at least as far as where
    /// the history's last timeline began.
    pub(super) fn heard(&self, state: &ClusterState) -> u64 {
        let own = self.heard.get(&state.epoch).copied();
        let before = || self.heard.range(..state.epoch).next_back().map(|(_, heard)| *heard).filter(|_| promotion(state).is_none());
        let began = self.history(state).lineage.back().map_or(0, |promotion| promotion.lsn.0);
        own.or_else(before).unwrap_or(0).max(began)
    }

    /// What that node said last of its database, if it looks alive.
    pub(super) fn database(&self, node: NodeId) -> Option<&Database> {
        let (health, report) = self.seen.get(&node)?;
        let report = report.as_ref().filter(|report| *health != Health::Red && !report.stopping)?;
        report.database.as_ref()
    }

    /// Who could be appointed as well and as soon, and told that it has all that the chosen one has, and more. Of two that went different ways neither
    /// is better; nor is one whose promotion something is known to delay (decision 7).
    pub(super) fn better(&self, state: &ClusterState, chosen: NodeId) -> Option<NodeId> {
        let old = state.primary.as_ref().map(|primary| primary.node);
        let state = &self.history(state);
        let standby = |node: NodeId| {
            let database = self.database(node).filter(|database| database.server == Server::Standby);
            let may = |database: &Database| database.conditions.iter().all(|condition| condition.bars != Bar::Promotion);
            let database = database.filter(|database| identifier(database) == state.system_identifier && may(database))?;
            let position = database.position.filter(|position| state.is_in_line(*position, &database.lineage))?;
            let prompt = database.conditions.iter().all(|condition| condition.bars != Bar::LastChoice);
            Some((position, &database.lineage, prompt))
        };
        let (best, line, soon) = standby(chosen)?;
        let has_all_and_more = |(position, lineage, prompt): (Position, &Vec<Promotion>, bool)| {
            let went_the_same_way = line.iter().all(|ours| lineage.iter().any(|theirs| theirs.may_be(*ours)));
            let left_later = lineage.iter().filter(|next| next.timeline > best.timeline).all(|next| best.lsn <= next.lsn);
            prompt >= soon && went_the_same_way && left_later && (position.timeline, position.lsn) > (best.timeline, best.lsn)
        };
        let tagged =
            |node: &NodeId| self.seen.get(node).and_then(|(_, report)| report.as_ref()).is_some_and(|report| report.tags.nofailover);
        let mut others = self.seen.keys().filter(|node| Some(**node) != old && !tagged(node));
        others.find(|node| standby(**node).is_some_and(has_all_and_more)).copied()
    }

    /// Whether that node said that its server is down or read-only, with everything up to there.
    pub(super) fn has_everything(&self, state: &ClusterState, node: NodeId, up_to: Lsn) -> bool {
        self.database(node).is_some_and(|database| {
            let complete = database.position.is_some_and(|position| position.lsn >= up_to && state.is_prefix(position));
            matches!(database.server, Server::Stopped | Server::Standby) && complete && identifier(database) == state.system_identifier
        })
    }
}

/// Of the present primary, once it is committed.
fn promotion(state: &ClusterState) -> Option<Promotion> {
    state.primary.as_ref()?.promoted
}

pub(super) fn identifier(database: &Database) -> Option<SystemIdentifier> {
    match &database.directory {
        Directory::Database { system_identifier, .. } => Some(*system_identifier),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::model::{Primary, Settings, Timeline, WallClock};

    fn state(epoch: u64, lineage: &[(u32, u64)]) -> ClusterState {
        let mut state = ClusterState::born("sim".into(), BTreeMap::new(), Settings::default());
        state.epoch = Epoch(epoch);
        state.primary = Some(Primary {
            node: NodeId(1),
            epoch: Epoch(epoch),
            appointed_at: WallClock(0),
            was_at: None,
            promoted: None,
            released: None,
        });
        state.lineage =
            lineage.iter().map(|(timeline, lsn)| Promotion { timeline: Timeline(*timeline), lsn: Lsn(*lsn), mark: None }).collect();
        state
    }

    /// Seed 4071385.
    #[test]
    fn what_was_written_before_a_promotion_that_was_not_seen_does_not_count() {
        for (now, counts) in [(state(3, &[(1, 0)]), 100), (state(3, &[(1, 0), (2, 50)]), 50)] {
            let mut told = Told { heard: BTreeMap::from([(Epoch(1), 100)]), state: Some(state(1, &[(1, 0)])), ..Told::default() };
            told.apply(&now);
            assert_eq!(told.heard(&now), counts);
        }
    }
}
