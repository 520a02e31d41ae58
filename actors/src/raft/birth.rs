//! How a cluster is born, and how a node that lost its log is told from one that never had one (S13).
//!
//! A birth takes three looks around. A node that sees every node of its file, none of them born and all of its own opinion, *prepares*: it
//! draws a Raft id and keeps it durably. A prepared node that sees everybody's id agrees, durably and for good, to the birth which these ids
//! make, and names it by its digest. And once everybody names the same birth, it is born. So two nodes are never born into different clusters,
//! not even if all but one of them lose their disks in between; and after a crash in the middle the nodes look around again and go on.

use super::draw::digest;
use super::{Introduction, Phase, SnapshotImage, wire};
use crate::model::{ClusterState, Member, NodeId, RaftId, Settings};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The log of every founder begins with this entry, in place of one that told the first membership: raft-rs cannot replay that.
const FIRST_INDEX: u64 = 1;
const FIRST_TERM: u64 = 1;

/// The members that a file names, as an introduction before birth shows them: without Raft ids and in order.
pub(super) fn opinion(members: &[Member]) -> Vec<Member> {
    let mut members: Vec<Member> = members.iter().map(|member| Member { raft_id: RaftId(0), ..member.clone() }).collect();
    members.sort_by_key(|member| member.node);
    members
}

/// In which point the file of that node differs from ours, if it does: which node, which field, both values. Of its name and of the address
/// of its database each node is its own authority, so files that leave them out for their peers agree all the same.
pub(super) fn disagreement(ours: &[Member], settings: &Settings, from: NodeId, theirs: &Introduction) -> Option<String> {
    let found = |what: String, here: &dyn ToString, there: &dyn ToString| {
        let (here, there) = (here.to_string(), there.to_string());
        Some(format!("{what} is {here} in the file of this node but {there} in that of node {from}: make the files agree"))
    };
    let names = |members: &[Member]| members.iter().map(|member| member.node.to_string()).collect::<Vec<_>>().join(", ");
    if names(ours) != names(&theirs.members) {
        return found("the set of nodes".to_string(), &names(ours), &names(&theirs.members));
    }
    for (here, there) in ours.iter().zip(&theirs.members) {
        let node = here.node;
        if here.witch != there.witch {
            return found(format!("the address of node {node}"), &here.witch, &there.witch);
        }
        if here.witness != there.witness {
            return found(format!("`witness` of node {node}"), &here.witness, &there.witness);
        }
    }
    if settings.max_replication_lag != theirs.settings.max_replication_lag {
        let what = "failover.maximum_lag_on_failover".to_string();
        return found(what, &settings.max_replication_lag, &theirs.settings.max_replication_lag);
    }
    if settings != &theirs.settings {
        return found("a setting of the cluster".to_string(), &format!("{settings:?}"), &format!("{:?}", theirs.settings));
    }
    None
}

/// The first state of a cluster of these members, whose Raft ids are known by now. The same on every node.
pub(super) fn image(cluster: &str, members: &[Member], settings: &Settings) -> SnapshotImage {
    let members: BTreeMap<NodeId, Member> = members.iter().map(|member| (member.node, member.clone())).collect();
    SnapshotImage {
        index: FIRST_INDEX,
        term: FIRST_TERM,
        voters: members.values().map(|member| member.raft_id.0).collect(),
        learners: Vec::new(),
        voters_outgoing: Vec::new(),
        learners_next: Vec::new(),
        auto_leave: false,
        state: ClusterState::born(cluster.to_string(), members, settings.clone()),
    }
}

/// What tells this birth from every other one: the whole first state, with the cluster's name and who was born into it under which Raft id.
/// So whoever agrees on the digest begins with the same state.
pub(super) fn digest_of(image: &SnapshotImage) -> u64 {
    digest(&wire::encode(image))
}

/// What a node without a log sees around it.
#[derive(Debug, PartialEq)]
pub(super) enum Prospect {
    /// Somebody is missing, or is of another opinion.
    Wait {
        /// The node that stands in the way, and how.
        because: Option<(NodeId, String)>,
    },
    /// Everybody is there and nobody is born: a Raft id may be drawn.
    Prepare,
    /// Everybody's Raft id is known: this is the birth they make.
    Named(SnapshotImage),
    /// And everybody names it.
    Born(SnapshotImage),
}

/// Looks around. `fresh` holds what the other nodes of the file said of themselves a moment ago.
pub(super) fn look_around(own: &Introduction, node: NodeId, fresh: &BTreeMap<NodeId, &Introduction>) -> Prospect {
    let mut members = own.members.clone();
    let mut prepared = true;
    let mut unborn = true;
    for member in &mut members {
        let seen = if member.node == node { own } else { fresh.get(&member.node).copied().unwrap_or(own) };
        if member.node != node && !fresh.contains_key(&member.node) {
            return Prospect::Wait { because: None };
        }
        if let Some(record) = seen.members.iter().find(|record| record.node == member.node) {
            member.name.clone_from(&record.name);
            member.database = record.database.clone();
        }
        match (seen.phase, seen.raft_id) {
            (Phase::Prepared | Phase::Born, Some(raft_id)) => member.raft_id = raft_id,
            _ => prepared = false,
        }
        unborn &= seen.phase != Phase::Born;
        // One that is born shows its log's members, which its file need not name any more.
        if seen.phase != Phase::Born
            && let Some(text) = disagreement(&own.members, &own.settings, member.node, seen)
        {
            return Prospect::Wait { because: Some((member.node, text)) };
        }
    }
    if own.phase == Phase::Empty {
        return if unborn { Prospect::Prepare } else { Prospect::Wait { because: None } };
    }
    if !prepared {
        return Prospect::Wait { because: None };
    }
    let image = image(&own.cluster, &members, &own.settings);
    let birth = Some(digest_of(&image));
    let agreed = fresh.iter().all(|(_, introduction)| introduction.birth == birth) && own.birth == birth;
    if agreed { Prospect::Born(image) } else { Prospect::Named(image) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Term;
    use crate::raft::tests::file;

    fn introduction(phase: Phase, raft_id: u64, birth: Option<u64>) -> Introduction {
        Introduction {
            phase,
            raft_id: (raft_id != 0).then_some(RaftId(raft_id)),
            members: opinion(&file(3)),
            cluster: "c".into(),
            settings: Settings::default(),
            term: Term(0),
            last_index: 0,
            applied: 0,
            leader: None,
            birth,
        }
    }

    fn look(own: &Introduction, two: &Introduction, three: &Introduction) -> Prospect {
        look_around(own, NodeId(1), &BTreeMap::from([(NodeId(2), two), (NodeId(3), three)]))
    }

    #[test]
    fn an_empty_node_prepares_only_when_everybody_is_there_and_nobody_is_born() {
        let empty = introduction(Phase::Empty, 0, None);
        let prepared = introduction(Phase::Prepared, 12, None);
        let born = introduction(Phase::Born, 13, Some(1));
        assert_eq!(look(&empty, &empty, &prepared), Prospect::Prepare);
        assert_eq!(look(&empty, &born, &prepared), Prospect::Wait { because: None });
        let alone = look_around(&empty, NodeId(1), &BTreeMap::from([(NodeId(2), &empty)]));
        assert_eq!(alone, Prospect::Wait { because: None });
    }

    #[test]
    fn a_birth_needs_everybody_to_name_the_same_one() {
        let mut own = introduction(Phase::Prepared, 11, None);
        let (mut two, mut three) = (introduction(Phase::Prepared, 12, None), introduction(Phase::Prepared, 13, None));
        let Prospect::Named(image) = look(&own, &two, &three) else { panic!("everybody is prepared") };
        let birth = Some(digest_of(&image));
        own.birth = birth;
        two.birth = birth;
        assert!(matches!(look(&own, &two, &three), Prospect::Named(_)), "node 3 has not said so yet");
        three.birth = birth;
        assert_eq!(look(&own, &two, &three), Prospect::Born(image));
        // Node 3 lost its disk and drew another id: that would be another birth.
        three.raft_id = Some(RaftId(99));
        assert!(matches!(look(&own, &two, &three), Prospect::Named(_)));
    }

    #[test]
    fn a_different_opinion_is_named_with_node_field_and_both_values() {
        let own = introduction(Phase::Empty, 0, None);
        let mut two = introduction(Phase::Empty, 0, None);
        two.members[2].witch.port = 7777;
        let Prospect::Wait { because: Some((node, text)) } = look(&own, &two, &own) else { panic!("the files differ") };
        assert_eq!(node, NodeId(2));
        for word in ["address of node 3", "7777", &own.members[2].witch.to_string()] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn every_difference_between_two_births_shows_in_the_digest() {
        let of = |cluster: &str, raft_id: u64, name: &str| {
            let mut members = file(3);
            for member in &mut members {
                member.raft_id = RaftId(raft_id + member.node.0);
                member.name = name.into();
            }
            digest_of(&image(cluster, &members, &Settings::default()))
        };
        assert_eq!(of("c", 1, "a"), of("c", 1, "a"));
        for other in [of("c", 1, "b"), of("d", 1, "a"), of("c", 2, "a")] {
            assert_ne!(of("c", 1, "a"), other);
        }
    }

    #[test]
    fn each_node_is_the_authority_on_its_own_name() {
        let own = introduction(Phase::Prepared, 11, None);
        let mut two = introduction(Phase::Prepared, 12, None);
        two.members[1].name = "pg-two".into();
        two.members[0].name = "who is this".into();
        let Prospect::Named(image) = look(&own, &two, &introduction(Phase::Prepared, 13, None)) else { panic!("names may differ") };
        let names: Vec<_> = image.state.members.values().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["n1", "pg-two", "n3"]);
    }
}
