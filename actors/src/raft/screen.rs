//! The guard in front of raft-rs, which asserts where others return an error: a message that could not come from an honest peer never
//! reaches it.

use super::log::Log;
use super::{RaftMessage, SnapshotImage, wire};
use alloc::collections::BTreeSet;
use alloc::string::String;
use raft::Raft;
use raft::eraftpb::MessageType;

/// No honest term or index comes near this; far beyond it, raft-rs's sums could overflow.
const NUMBER_MAX: u64 = 1 << 48;
/// No honest term is this far above that of a node which has one: a million elections. A term is adopted for good by whoever hears it, so one
/// message must not take it to where nobody can follow.
const LEAP_MAX: u64 = 1 << 20;
/// What an election by order of the leader is marked with: raft-rs's own word.
const FORCED: &[u8] = b"CampaignTransfer";
/// More entries than any leader of ours packs into a message.
const ENTRIES_MAX: usize = 1 << 16;
/// More bytes than any leader of ours packs into a message.
const BYTES_MAX: usize = 64 << 20;
/// More than any context of ours.
const CONTEXT_MAX: usize = 64;

/// Why a message is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Improper {
    #[error("it is of a kind that no peer sends")]
    Kind,
    #[error("it is addressed to another life of this node's log")]
    Addressee,
    #[error("it claims to come from this node itself")]
    Echo,
    #[error("its term or an index is out of all bounds")]
    Bounds,
    #[error(
        "its term is more than a million above ours, which no election leads to. If the cluster really is there, stop this node, move raft.redb out \
         of its cluster.data_dir, and start it again: it joins anew"
    )]
    Leap,
    #[error("it is too large")]
    Size,
    #[error("it speaks for a leader, but its term has another")]
    Leader,
    #[error("its commit index lies beyond our log, which means that we have lost what its sender was promised")]
    Commit,
    #[error("its entries do not follow upon each other")]
    Entries,
    #[error("an entry of it cannot be understood. If a newer version of witch wrote it, upgrade this node")]
    Unreadable,
    #[error("it contradicts what is committed")]
    Contradiction,
    #[error("its snapshot has an impossible membership or position")]
    Snapshot,
    #[error("it acknowledges what the log does not hold")]
    Acknowledgement,
}

/// Lets a message through, or says why not.
pub(super) fn screen(raft: &Raft<Log>, message: &RaftMessage) -> Result<MessageType, Improper> {
    let kind = wire::kind(message).ok_or(Improper::Kind)?;
    if message.to.0 != raft.id {
        return Err(Improper::Addressee);
    }
    if message.from.0 == raft.id || message.from.0 == 0 {
        return Err(Improper::Echo);
    }
    bounded(raft, message)?;
    let last = raft.raft_log.last_index();
    match kind {
        MessageType::MsgAppend => {
            from_the_leader(raft, message)?;
            appendable(raft, message)?;
        }
        MessageType::MsgHeartbeat => {
            from_the_leader(raft, message)?;
            if message.commit > last {
                return Err(Improper::Commit);
            }
        }
        MessageType::MsgSnapshot => {
            from_the_leader(raft, message)?;
            let image = message.snapshot.as_ref().ok_or(Improper::Snapshot)?;
            if image.term > message.term || image.term == 0 || !is_possible(image) {
                return Err(Improper::Snapshot);
            }
        }
        MessageType::MsgTimeoutNow => from_the_leader(raft, message)?,
        MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
            // Of a request for a snapshot we make none.
            if message.index.max(message.reject_hint).max(message.commit) > last || message.request_snapshot != 0 {
                return Err(Improper::Acknowledgement);
            }
        }
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse => {}
        // Proposals, transfers and reads travel as messages of our own, with an authority that can be checked; the rest is local.
        _ => return Err(Improper::Kind),
    }
    let carries = matches!(kind, MessageType::MsgAppend) || message.entries.is_empty();
    let shows = matches!(kind, MessageType::MsgSnapshot) || message.snapshot.is_none();
    if carries && shows { Ok(kind) } else { Err(Improper::Kind) }
}

fn bounded(raft: &Raft<Log>, message: &RaftMessage) -> Result<(), Improper> {
    // A cluster that was led to the bound has to be able to elect somebody still, so its own next term is always a term.
    let term_max = NUMBER_MAX.max(raft.term.saturating_add(1));
    let terms = [message.term, message.log_term, message.commit_term];
    let indexes = [message.index, message.commit, message.reject_hint, message.request_snapshot];
    if message.term == 0 || terms.iter().any(|term| *term > term_max) || indexes.iter().any(|index| *index > NUMBER_MAX) {
        return Err(Improper::Bounds);
    }
    // One that has no term yet takes that of the cluster which it joins.
    if raft.term != 0 && message.term > raft.term.saturating_add(LEAP_MAX) {
        return Err(Improper::Leap);
    }
    let bytes: usize = message.entries.iter().map(|entry| entry.data.len() + entry.context.len()).sum();
    if message.entries.len() > ENTRIES_MAX || bytes > BYTES_MAX || message.context.len() > CONTEXT_MAX {
        return Err(Improper::Size);
    }
    Ok(())
}

/// Whether it asks for a vote although there is a leader, as only the one may whom that leader has told everybody to be its heir.
pub(super) fn is_forced(message: &RaftMessage) -> bool {
    message.context == FORCED
}

/// A term has one leader. raft-rs believes the last who says so.
fn from_the_leader(raft: &Raft<Log>, message: &RaftMessage) -> Result<(), Improper> {
    let known = raft.leader_id != 0 && raft.leader_id != message.from.0;
    if message.term == raft.term && known { Err(Improper::Leader) } else { Ok(()) }
}

fn appendable(raft: &Raft<Log>, message: &RaftMessage) -> Result<(), Improper> {
    if (message.index == 0) != (message.log_term == 0) || message.log_term > message.term {
        return Err(Improper::Entries);
    }
    let (mut index, mut term) = (message.index, message.log_term);
    for entry in &message.entries {
        if entry.index != index + 1 || entry.term < term || entry.term == 0 || entry.term > message.term || entry.kind > 2 {
            return Err(Improper::Entries);
        }
        // What is committed and cannot be read halts every node at every start, so it never comes into a log.
        if !wire::is_readable(entry) {
            return Err(Improper::Unreadable);
        }
        (index, term) = (entry.index, entry.term);
        let committed = index <= raft.raft_log.committed && index >= raft.raft_log.first_index();
        if committed && !raft.raft_log.match_term(index, term) {
            return Err(Improper::Contradiction);
        }
    }
    Ok(())
}

fn is_possible(image: &SnapshotImage) -> bool {
    let unique = |ids: &[u64]| {
        let set: BTreeSet<u64> = ids.iter().copied().collect();
        (set.len() == ids.len() && !set.contains(&0)).then_some(set)
    };
    let (Some(voters), Some(learners), Some(outgoing), Some(next)) =
        (unique(&image.voters), unique(&image.learners), unique(&image.voters_outgoing), unique(&image.learners_next))
    else {
        return false;
    };
    let joint = !outgoing.is_empty();
    (1..=NUMBER_MAX).contains(&image.index)
        && !voters.is_empty()
        && learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && next.is_disjoint(&learners)
        && (joint || !image.auto_leave)
}

/// In words, for the log of the daemon.
pub(super) fn describe(message: &RaftMessage, improper: Improper) -> String {
    let kind = wire::kind(message).map_or_else(|| alloc::format!("kind {}", message.kind), |kind| alloc::format!("{kind:?}"));
    alloc::format!("a Raft message ({kind}, term {}) was dropped: {improper}", message.term)
}
