//! One life of the log: raft-rs's node, the state that its entries lead to, and, while it leads, its tenure.

use super::tenure::Tenure;
use crate::machine::Timestamp;
use crate::model::{Applied, ClusterState, NodeId, RaftId, Term, WallClock};
use crate::raft::disk::{Disk, Durable, Settled};
use crate::raft::log::{Log, Unusable};
use crate::raft::{Config, Identity, SnapshotImage, Stored, wire};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use raft::eraftpb::{Entry, EntryType};
use raft::{RawNode, ReadOnlyOption, SnapshotStatus, StateRole};
use serde::{Deserialize, Serialize};

/// Followers that lag by fewer entries are served from memory after the log was cut.
const TAIL_MAX: u64 = 1000;

pub(super) struct Replica {
    pub(super) identity: Identity,
    pub(super) raw: RawNode<Log>,
    pub(super) tenure: Option<Tenure>,
    /// When each Raft id was heard last.
    pub(super) heard: BTreeMap<RaftId, Timestamp>,
    /// When a snapshot was sent to whom: raft-rs sends that peer nothing more until it hears what became of it.
    pub(super) sending: BTreeMap<RaftId, Timestamp>,
    /// Whom the leader of that term has named to be the next one.
    pub(super) named: Option<(u64, RaftId)>,
    /// The log on disk begins after this index.
    cut_at: u64,
}

/// What a configuration change means to the membership. Travels in the entry's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replacement {
    /// This node lost its log
    pub(super) node: NodeId,
    /// and comes back under this Raft id.
    pub(super) raft_id: RaftId,
    /// When, for the history.
    pub(super) at: WallClock,
}

impl Replica {
    pub(super) fn new(config: &Config, identity: Identity, stored: &Stored) -> Result<Self, Unusable> {
        let log = Log::restore(stored)?;
        let cut_at = log.image().map_or(0, |image| image.index);
        // By rank in the membership, so that no two stand for election at once; one who joins goes by its file.
        let nodes: BTreeSet<NodeId> = match log.state() {
            Some(state) => state.members.keys().copied().collect(),
            None => config.members.iter().map(|member| member.node).collect(),
        };
        let rank = nodes.iter().position(|node| *node == config.node).unwrap_or(nodes.len());
        let window = config.election_window(rank, nodes.len());
        let raft_config = raft::Config {
            id: identity.raft_id.0,
            election_tick: config.election_ticks(),
            heartbeat_tick: config.heartbeat_ticks(),
            min_election_tick: window,
            max_election_tick: window + 1,
            applied: cut_at,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            max_uncommitted_size: 16 << 20,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            batch_append: true,
            ..raft::Config::default()
        };
        let raw = RawNode::new(&raft_config, log, &config.logger).map_err(|error| Unusable::Damaged(error.to_string()))?;
        Ok(Self { identity, raw, tenure: None, heard: BTreeMap::new(), sending: BTreeMap::new(), named: None, cut_at })
    }

    pub(super) fn raft_id(&self) -> RaftId {
        self.identity.raft_id
    }

    pub(super) fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    pub(super) fn image(&self) -> Option<&SnapshotImage> {
        self.raw.store().image()
    }

    pub(super) fn state(&self) -> Option<&ClusterState> {
        self.raw.store().state()
    }

    pub(super) fn applied(&self) -> u64 {
        self.image().map_or(0, |image| image.index)
    }

    pub(super) fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Leads, has applied an entry of its own term, and means to stay.
    pub(super) fn is_ready(&self) -> bool {
        let stays = self.tenure.as_ref().is_some_and(|tenure| tenure.leaving.is_none());
        self.leads() && stays && self.raw.raft.apply_to_current_term()
    }

    /// Whether nobody else has a vote.
    pub(super) fn votes_alone(&self) -> bool {
        self.raw.raft.prs().is_singleton()
    }

    /// Whether raft-rs may stand for election. It panics if it does so before a snapshot is on disk that it has handed out, and if a lone voter
    /// does so before everything is: that one elects itself on the spot, while everybody else's requests for votes wait for the disk.
    pub(super) fn may_stand(&self, disk: &Disk) -> bool {
        if self.votes_alone() { disk.is_idle() } else { !disk.is_installing() }
    }

    /// How many ticks from now on do nothing but count.
    pub(super) fn idle_ticks(&self) -> usize {
        let raft = &self.raw.raft;
        let until_due = if self.leads() {
            let heartbeat = raft.heartbeat_timeout().saturating_sub(raft.heartbeat_elapsed());
            heartbeat.min(raft.election_timeout().saturating_sub(raft.election_elapsed))
        } else {
            raft.randomized_election_timeout().saturating_sub(raft.election_elapsed)
        };
        until_due.saturating_sub(1)
    }

    /// The disk holds a batch of ours.
    pub(super) fn settle(&mut self, settled: &Settled) {
        if let Some(ready) = settled.ready {
            self.raw.on_persist_ready(ready);
        }
        if let Some(index) = settled.installed {
            self.raw.advance_apply_to(index);
            self.identity.born = true;
            self.identity.joining = false;
        }
    }

    /// What the disk will hold when everything that raft-rs has handed out is on it.
    pub(super) fn handed_out(&self) -> Durable {
        let last_index = raft::Storage::last_index(self.raw.store()).expect("a log in memory knows where it ends");
        Durable { term: self.raw.raft.term, last_index }
    }

    /// Carries out one committed entry. Answers why its proposal was ignored, if it was.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<Option<String>, String> {
        let mut ignored = None;
        match entry.get_entry_type() {
            EntryType::EntryNormal => {
                if !entry.data.is_empty() {
                    let proposal = wire::proposal(&entry.data).map_err(|error| {
                        format!(
                            "entry {} of the Raft log cannot be understood ({error}). It was probably written by a newer version of witch: \
                             upgrade this node",
                            entry.index
                        )
                    })?;
                    if let Some(image) = self.raw.mut_store().image_mut()
                        && let Applied::Ignored { reason } = image.state.apply(entry.index, Term(entry.term), &proposal)
                    {
                        ignored = Some(format!("entry {}: {reason}", entry.index));
                    }
                }
            }
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => ignored = self.change_membership(entry).err(),
        }
        if let Some(image) = self.raw.mut_store().image_mut() {
            image.index = entry.index;
            image.term = entry.term;
        }
        Ok(ignored)
    }

    /// A change that raft-rs refuses was committed all the same; it is then refused on every node alike, and means nothing.
    fn change_membership(&mut self, entry: &Entry) -> Result<(), String> {
        let refused = |error: &dyn ToString| format!("entry {}: the membership was not changed: {}", entry.index, error.to_string());
        if entry.get_entry_type() == EntryType::EntryConfChange {
            return Err(refused(&"changes are of the second kind"));
        }
        let change = wire::conf_change(&entry.data).map_err(|error| refused(&error))?;
        let replacement: Option<Replacement> =
            if entry.context.is_empty() { None } else { Some(rmp_serde::from_slice(&entry.context).map_err(|error| refused(&error))?) };
        let conf = self.raw.apply_conf_change(&change).map_err(|error| refused(&error))?;
        if let Some(image) = self.raw.mut_store().image_mut() {
            wire::set_conf_state(image, conf);
            if let Some(Replacement { node, raft_id, at }) = replacement {
                image.state.replace_member(entry.index, at, node, raft_id);
            }
        }
        Ok(())
    }

    /// The snapshot to cut the log at, if it has grown long.
    pub(super) fn cut(&mut self, entries: u64) -> Option<SnapshotImage> {
        let image = self.image().filter(|image| image.index - self.cut_at >= entries)?.clone();
        self.cut_at = image.index;
        self.raw.mut_store().compact(TAIL_MAX.min(entries));
        Some(image)
    }

    pub(super) fn install(&mut self, image: SnapshotImage) {
        self.cut_at = image.index;
        self.raw.mut_store().install(image);
    }

    /// The link to that peer broke: what was on its way may be lost.
    pub(super) fn lost_touch(&mut self, raft_id: RaftId) {
        self.raw.report_unreachable(raft_id.0);
        if self.sending.remove(&raft_id).is_some() {
            self.raw.report_snapshot(raft_id.0, SnapshotStatus::Failure);
        }
    }

    /// Whether that voter may be voted for in the next term although there is a leader: the one whom we follow has said so, or we are it and did.
    pub(super) fn is_heir(&self, raft_id: RaftId, term: u64) -> bool {
        let raft = &self.raw.raft;
        let chosen = if self.leads() {
            raft.lead_transferee.map(RaftId)
        } else {
            self.named.filter(|(of, _)| *of == raft.term).map(|(_, heir)| heir)
        };
        chosen == Some(raft_id) && term == raft.term + 1
    }

    /// The voter, other than this node, that a leader would best hand over to: alive, and with the longest log.
    pub(super) fn heir(&self) -> Option<u64> {
        let voters = &self.image()?.voters;
        let raft = &self.raw.raft;
        let progress = voters.iter().filter(|voter| **voter != raft.id).filter_map(|voter| Some((*voter, raft.prs().get(*voter)?)));
        let mut alive: Vec<_> = progress.filter(|(_, progress)| progress.recent_active).collect();
        alive.sort_by_key(|(voter, progress)| (core::cmp::Reverse(progress.matched), *voter));
        alive.first().map(|(voter, _)| *voter)
    }
}

impl core::fmt::Debug for Replica {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Replica").field("identity", &self.identity).field("term", &self.term()).field("applied", &self.applied()).finish()
    }
}
