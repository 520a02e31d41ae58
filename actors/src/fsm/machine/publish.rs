//! What others are told of this node: the report for its peers, the status for everybody who looks, the pulse for the watchdog.

use super::{BUSY, Machine, REPORT, STAMP};
use crate::fsm::addresses::differences_of_files;
use crate::fsm::candidates::{is_ours, name, written};
use crate::fsm::founding::{Founding, founder};
use crate::fsm::io::Effect;
use crate::machine::Timestamp;
use crate::model::{ClusterState, Database, Directory, Health, LeaseStatus, MemberStatus, NodeId, Report, Role, Server, Status};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Machine {
    pub(super) fn publish(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.news || self.stamped_at.is_none_or(|at| now.since(at) >= STAMP) {
            self.news = false;
            self.stamped_at = Some(now);
            effects.push(Effect::Publish(Box::new(self.status(now))));
            effects.push(Effect::Pulse);
        }
    }

    /// Peers are told of every change, and now and then that nothing has changed; the probes see to it that a burst becomes one message.
    pub(super) fn report(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let report = Report {
            node: self.config.node,
            boot: self.config.boot,
            seq: self.report_seq,
            epoch: self.facts.state.as_ref().map(|state| state.epoch).unwrap_or_default(),
            stopping: self.facts.stopping,
            tags: self.config.tags.clone(),
            database: self.own_database(),
        };
        let switching = self.facts.state.as_ref().is_some_and(|state| state.switchover.is_some());
        let interval = if switching { BUSY } else { REPORT };
        let told_lately = self.reported_at.is_some_and(|at| now.since(at) < interval);
        if told_lately && self.report.as_ref().is_some_and(|before| *before == report) {
            return;
        }
        self.reported_at = Some(now);
        let report = Report { seq: self.report_seq + 1, ..report };
        self.report_seq = report.seq;
        self.facts.observed(now, self.config.node, Health::Green, Some(Box::new(report.clone())));
        self.report = Some(report.clone());
        effects.push(Effect::Report(Box::new(report)));
    }

    fn status(&self, now: Timestamp) -> Status {
        let facts = &self.facts;
        let state = facts.state.as_ref();
        let held = self.keeper.held();
        let leads = self.keeper.held_until(now, facts.holder()).is_some();
        let database = self.own_database();
        let server = database.as_ref().map(|database| database.server);
        let streaming = database.as_ref().is_some_and(|database| database.server == Server::Standby && database.streaming);
        Status {
            at: now,
            node: self.config.node,
            name: self.config.name.clone(),
            role: self.role_here(leads, database.as_ref()),
            writable: leads && server == Some(Server::Primary),
            readable: streaming && !self.config.tags.noloadbalance,
            database,
            lease: LeaseStatus { epoch: held.map(|(epoch, _)| epoch), end: held.map(|(_, end)| end) },
            term: facts.leadership.term,
            leader: facts.leadership.leader,
            members: state.map(|state| self.members(now, state)).unwrap_or_default(),
            state: facts.state.clone(),
            decisions: self.decisions.iter().cloned().collect(),
            waiting_for: self.waiting_for(),
        }
    }

    /// This node's database as others shall see it: where it may not be touched, with the reason.
    fn own_database(&self) -> Option<Database> {
        let mut database = self.facts.own.as_ref()?.database.clone();
        if database.trouble.is_none() {
            database.trouble = self.facts.state.as_ref().and_then(|state| untouchable(state, &database.directory));
        }
        if let Some(state) = &self.facts.state {
            database.conditions.extend(differences_of_files(&self.config.members, self.config.node, state));
        }
        Some(database)
    }

    fn role_here(&self, leads: bool, database: Option<&Database>) -> Role {
        match database {
            _ if self.config.witness => Role::Witness,
            Some(database) if leads && database.server == Server::Primary => Role::Primary,
            Some(database) => self.facts.state.as_ref().map_or(Role::Unknown, |state| role(state, database)),
            None => Role::Unknown,
        }
    }

    fn members(&self, now: Timestamp, state: &ClusterState) -> Vec<MemberStatus> {
        let furthest = written(&self.facts, state);
        state
            .members
            .values()
            .map(|member| {
                let peer = self.facts.peers.get(&member.node);
                let report = peer.and_then(|peer| peer.report.as_deref().cloned());
                let database = report.as_ref().and_then(|report| report.database.as_ref());
                let leads = state.leaseholder().is_some_and(|(node, _)| node == member.node);
                let role = match database {
                    _ if member.witness => Role::Witness,
                    Some(database) if leads && database.server == Server::Primary => Role::Primary,
                    Some(database) => role(state, database),
                    None => Role::Unknown,
                };
                let position = database.and_then(|database| database.position);
                MemberStatus {
                    node: member.node,
                    name: member.name.clone(),
                    health: peer.map_or(Health::Red, |peer| peer.health),
                    role,
                    report_age_ms: peer.map(|peer| self.age_ms(now, member.node, peer.heard_at)),
                    lag_bytes: furthest.zip(position).map(|(furthest, position)| furthest.ahead_of(position.lsn)),
                    report,
                }
            })
            .collect()
    }

    fn age_ms(&self, now: Timestamp, node: NodeId, heard_at: Timestamp) -> u64 {
        if node == self.config.node { 0 } else { u64::try_from(now.since(heard_at).as_millis()).unwrap_or(u64::MAX) }
    }

    /// Why the node is not doing what a user would expect.
    fn waiting_for(&self) -> Option<String> {
        let facts = &self.facts;
        let Some(state) = facts.state.as_ref() else {
            return Some(String::from("the cluster to be born: every node of the file must be reachable for that, once"));
        };
        if facts.leadership.leader.is_none() {
            return Some(String::from("a Raft leader: a majority of the nodes must reach each other"));
        }
        if let Some(trouble) = self.own_database().and_then(|database| database.trouble) {
            return Some(trouble);
        }
        if state.system_identifier.is_none() {
            return match founder(facts, state) {
                Founding::Waiting(text) | Founding::Refused(text) => Some(text),
                Founding::Chosen(node) => Some(format!("{} to make the database", name(state, node))),
            };
        }
        (state.paused && state.leaseholder().is_none()).then(|| "failover is paused; `witch resume` lets it go on".to_string())
    }
}

fn untouchable(state: &ClusterState, directory: &Directory) -> Option<String> {
    match directory {
        Directory::Unusable { reason } => Some(reason.clone()),
        Directory::Database { system_identifier, .. } => {
            let ours = state.system_identifier.filter(|ours| ours != system_identifier)?;
            Some(format!(
                "the data directory holds a database of another cluster: its system identifier is {system_identifier}, and {} has {ours}. It \
                 is left untouched; move it away, and this node clones the right one",
                state.cluster
            ))
        }
        Directory::Empty | Directory::Unfinished => None,
    }
}

fn role(state: &ClusterState, database: &Database) -> Role {
    if is_ours(state, database) || state.system_identifier.is_none() { Role::Standby } else { Role::Unknown }
}
