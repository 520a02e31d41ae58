//! Who may become primary (D1): every node passes or fails each rule by name, so that the answer to "why not?" is the same everywhere.

use super::Refusal;
use super::facts::Facts;
use crate::model::{Bar, ClusterState, Database, Directory, Lsn, NodeId, Position, Report, Server};
use crate::pg::conditions::copies;
use alloc::format;
use alloc::string::String;
use core::cmp::Reverse;

/// Nobody writes a tebibyte between two reports.
const BEYOND_BELIEF: u64 = 1 << 40;

/// A node that may be appointed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    pub(super) position: Position,
    pub(super) priority: u32,
    /// It may still receive more.
    pub(super) streaming: bool,
    /// Nothing is known that would delay its promotion.
    pub(super) prompt: bool,
    /// Nothing is known that speaks for another one which is as far.
    pub(super) fit: bool,
}

fn refuse<T>(rule: &str, reason: String) -> Result<T, Refusal> {
    Err(Refusal { rule: String::from(rule), reason })
}

/// What a member is called.
pub(super) fn name(state: &ClusterState, node: NodeId) -> String {
    state.members.get(&node).map_or_else(|| format!("node {node}"), |member| member.name.clone())
}

/// Whether `node` may be appointed instead of the present primary.
pub(super) fn judge(facts: &Facts, state: &ClusterState, node: NodeId) -> Result<Candidate, Refusal> {
    let called = name(state, node);
    let Some(member) = state.members.get(&node) else {
        return refuse("candidate-is-a-member", format!("{called} is no member of {}", state.cluster));
    };
    if member.witness {
        return refuse("candidate-has-a-database", format!("{called} is a witness: it votes and has no database"));
    }
    let Some(report) = facts.fresh(node) else {
        return refuse(
            "candidate-is-reachable",
            format!("{called} does not report; see whether its daemon runs and the network to it works"),
        );
    };
    judge_report(facts, state, &called, report)
}

fn judge_report(facts: &Facts, state: &ClusterState, called: &str, report: &Report) -> Result<Candidate, Refusal> {
    if report.stopping {
        return refuse("candidate-stays", format!("{called} is being stopped"));
    }
    if report.tags.nofailover {
        return refuse("candidate-is-not-tagged", format!("{called} is tagged nofailover in its witch.toml"));
    }
    let Some(database) = report.database.as_ref().filter(|database| is_ours(state, database)) else {
        return refuse("candidate-has-our-database", format!("{called} has no usable copy of this cluster's database"));
    };
    if let Some(condition) = database.conditions.iter().find(|condition| condition.bars == Bar::Promotion) {
        return refuse("candidate-can-be-promoted", format!("{called} cannot be promoted now: {}", condition.text));
    }
    if database.server != Server::Standby {
        return refuse("candidate-answers", format!("the database of {called} is no running standby; it is {:?}", database.server));
    }
    let Some(position) = database.position else {
        let why = database.conditions.iter().find(|condition| condition.bars >= Bar::AmongEquals);
        let why = why.map_or_else(String::new, |condition| format!(": {}", condition.text));
        return refuse("candidate-knows-its-position", format!("{called} has not told how far its database is{why}"));
    };
    if state.settings.check_timeline && !facts.history(state).is_in_line(position, &database.lineage) {
        let at = format!("timeline {} at {}", position.timeline, position.lsn);
        return refuse("candidate-did-not-diverge", format!("{called} is on {at}, which is not part of the cluster's history"));
    }
    if !is_credible(facts, state, position) {
        let at = position.lsn;
        return refuse("candidate-is-credible", format!("{called} says that it is at {at}, far beyond all that the primary has told"));
    }
    let lag = written(facts, state).map_or(0, |written| written.ahead_of(position.lsn));
    if lag > state.settings.max_replication_lag {
        let limit = state.settings.max_replication_lag;
        return refuse("candidate-is-close", format!("{called} is {lag} bytes behind, more than max_replication_lag = {limit} allows"));
    }
    let (node, priority, streaming) = (report.node, report.tags.failover_priority, database.streaming);
    let [prompt, fit] = [Bar::LastChoice, Bar::AmongEquals].map(|bars| database.conditions.iter().all(|condition| condition.bars != bars));
    Ok(Candidate { node, position, priority, streaming, prompt, fit })
}

/// How far the primary of the present epoch, or the last one that wrote, is known to have written: as it reported; as its release and the history
/// say, which outlive every restart; or at least as far as anybody has received, whether or not that node may be appointed.
pub(super) fn written(facts: &Facts, state: &ClusterState) -> Option<Lsn> {
    let history = facts.history(state);
    let reported = facts.written.filter(|(epoch, _)| *epoch == state.epoch).map(|(_, lsn)| lsn);
    let received = state.data_nodes().filter_map(|member| {
        let database = facts.fresh(member.node)?.database.as_ref().filter(|database| is_ours(state, database))?;
        let counts = |position: &Position| history.is_in_line(*position, &database.lineage) && is_credible(facts, state, *position);
        database.position.filter(|position| counts(position) && !copies::is_disowned(&database.conditions)).map(|position| position.lsn)
    });
    let began = history.lineage.back().map(|promotion| promotion.lsn);
    [reported, final_lsn(state), began, received.max()].into_iter().max().flatten()
}

/// Whether a standby can be there: not if that is further past all that the primary itself told of its epoch than a server writes between two
/// reports. One node's claim must not put all the others too far behind.
fn is_credible(facts: &Facts, state: &ClusterState, position: Position) -> bool {
    let told = facts.written.filter(|(epoch, _)| *epoch == state.epoch && facts.has_heard_from_primary());
    told.is_none_or(|(_, lsn)| position.lsn.ahead_of(lsn) <= BEYOND_BELIEF)
}

/// Where the log of the released primary ends, if it stopped cleanly.
pub(super) fn final_lsn(state: &ClusterState) -> Option<Lsn> {
    state.primary.as_ref()?.released?.final_lsn
}

/// Whether that is the database of this cluster (S11).
pub(super) fn is_ours(state: &ClusterState, database: &Database) -> bool {
    matches!(&database.directory, Directory::Database { system_identifier, .. } if state.system_identifier == Some(*system_identifier))
}

/// Everybody but `not` who may be appointed. On the latest timeline, for who is on it has what was acknowledged on it: whoever has all that a released
/// primary wrote; then whoever's promotion nothing is known to delay (decision 7); then the best known position wins, then whoever is fit, then
/// the priority, then the lowest node id.
pub(super) fn best(facts: &Facts, state: &ClusterState, not: Option<NodeId>) -> Option<Candidate> {
    all(facts, state, not).max_by_key(|candidate| {
        let Position { timeline, lsn } = candidate.position;
        let complete = final_lsn(state).is_some_and(|end| lsn >= end);
        (timeline, complete, candidate.prompt, lsn, candidate.fit, candidate.priority, Reverse(candidate.node))
    })
}

/// Everybody but `not` who may be appointed.
pub(super) fn all<'a>(facts: &'a Facts, state: &'a ClusterState, not: Option<NodeId>) -> impl Iterator<Item = Candidate> + 'a {
    state.data_nodes().filter(move |member| Some(member.node) != not).filter_map(|member| judge(facts, state, member.node).ok())
}
