//! Between raft-rs's types and ours.
//!
//! Messages arrive in serde's terms, are looked at by [`super::screen`], and only then become raft-rs's. The one thing in them that is parsed as
//! protobuf is a change of the membership within an entry: from a leader, which is a peer that has proved the token, and within the bounds of a frame.

use super::{HardState, LogEntry, RaftMessage, SnapshotImage};
use crate::model::{ClusterState, Proposal, RaftId};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use protobuf::{Message as _, ProtobufEnum};
use raft::eraftpb::{self, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType, Snapshot};
use serde::Serialize;

/// MessagePack with the names of fields, so that a later version may add some.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("our own types encode: no map key is a container and memory does not fail to write")
}

/// What an entry proposes.
pub(super) fn proposal(data: &[u8]) -> Result<Proposal, String> {
    rmp_serde::from_slice(data).map_err(|error| error.to_string())
}

/// What a snapshot says.
fn state(data: &[u8]) -> Result<ClusterState, String> {
    rmp_serde::from_slice(data).map_err(|error| error.to_string())
}

/// A change of the membership in raft-rs's own encoding.
pub(super) fn conf_change(data: &[u8]) -> Result<ConfChangeV2, String> {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(data).map_err(|error| error.to_string())?;
    Ok(change)
}

/// Whether this entry could be applied once it is committed.
pub(super) fn is_readable(entry: &LogEntry) -> bool {
    match EntryType::from_i32(i32::from(entry.kind)) {
        Some(EntryType::EntryNormal) => entry.data.is_empty() || proposal(&entry.data).is_ok(),
        Some(EntryType::EntryConfChangeV2) => conf_change(&entry.data).is_ok(),
        // Nobody writes the first kind of change; applied, it means nothing.
        Some(EntryType::EntryConfChange) => true,
        None => false,
    }
}

pub(super) fn entry_out(entry: &Entry) -> LogEntry {
    LogEntry {
        kind: u8::try_from(entry.get_entry_type().value()).expect("raft-rs has three kinds of entries"),
        term: entry.term,
        index: entry.index,
        data: entry.data.to_vec(),
        context: entry.context.to_vec(),
    }
}

/// Fails if the kind is unknown.
pub(super) fn entry_in(entry: &LogEntry) -> Result<Entry, String> {
    let kind = EntryType::from_i32(i32::from(entry.kind)).ok_or_else(|| alloc::format!("unknown kind {}", entry.kind))?;
    let mut out = Entry::default();
    out.set_entry_type(kind);
    out.term = entry.term;
    out.index = entry.index;
    out.data = entry.data.clone().into();
    out.context = entry.context.clone().into();
    Ok(out)
}

pub(super) fn hard_state_in(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState { term: state.term, vote: state.vote, commit: state.commit, ..Default::default() }
}

pub(super) fn hard_state_out(state: &eraftpb::HardState) -> HardState {
    HardState { term: state.term, vote: state.vote, commit: state.commit }
}

pub(super) fn conf_state(image: &SnapshotImage) -> ConfState {
    ConfState {
        voters: image.voters.clone(),
        learners: image.learners.clone(),
        voters_outgoing: image.voters_outgoing.clone(),
        learners_next: image.learners_next.clone(),
        auto_leave: image.auto_leave,
        ..Default::default()
    }
}

/// Notes a membership that raft-rs has switched to.
pub(super) fn set_conf_state(image: &mut SnapshotImage, conf: ConfState) {
    image.voters = conf.voters;
    image.learners = conf.learners;
    image.voters_outgoing = conf.voters_outgoing;
    image.learners_next = conf.learners_next;
    image.auto_leave = conf.auto_leave;
}

pub(super) fn snapshot_in(image: &SnapshotImage) -> Snapshot {
    let mut out = Snapshot { data: encode(&image.state).into(), ..Default::default() };
    let metadata = out.mut_metadata();
    metadata.index = image.index;
    metadata.term = image.term;
    metadata.set_conf_state(conf_state(image));
    out
}

/// Fails if the data is no state of a cluster.
pub(super) fn snapshot_out(snapshot: &Snapshot) -> Result<SnapshotImage, String> {
    let metadata = snapshot.get_metadata();
    let mut image = SnapshotImage {
        index: metadata.index,
        term: metadata.term,
        voters: Vec::new(),
        learners: Vec::new(),
        voters_outgoing: Vec::new(),
        learners_next: Vec::new(),
        auto_leave: false,
        state: state(snapshot.get_data())?,
    };
    set_conf_state(&mut image, metadata.get_conf_state().clone());
    Ok(image)
}

pub(super) fn message_out(message: &Message) -> Result<RaftMessage, String> {
    Ok(RaftMessage {
        kind: u8::try_from(message.get_msg_type().value()).expect("raft-rs has nineteen kinds of messages"),
        from: RaftId(message.from),
        to: RaftId(message.to),
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        request_snapshot: message.request_snapshot,
        priority: message.priority,
        context: message.context.to_vec(),
        entries: message.entries.iter().map(entry_out).collect(),
        snapshot: message.snapshot.as_ref().filter(|snapshot| !snapshot.is_empty()).map(snapshot_out).transpose()?,
    })
}

/// What kind of message this is; None if there is no such kind.
pub(super) fn kind(message: &RaftMessage) -> Option<MessageType> {
    MessageType::from_i32(i32::from(message.kind))
}

/// The message for raft-rs. Only for messages that were screened.
pub(super) fn message_in(message: &RaftMessage, kind: MessageType) -> Result<Message, String> {
    let mut out = Message::default();
    out.set_msg_type(kind);
    out.from = message.from.0;
    out.to = message.to.0;
    out.term = message.term;
    out.log_term = message.log_term;
    out.index = message.index;
    out.commit = message.commit;
    out.commit_term = message.commit_term;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint;
    out.request_snapshot = message.request_snapshot;
    out.priority = message.priority;
    out.context = message.context.clone().into();
    let entries: Result<Vec<Entry>, String> = message.entries.iter().map(entry_in).collect();
    out.entries = entries?.into();
    if let Some(image) = &message.snapshot {
        out.set_snapshot(snapshot_in(image));
    }
    Ok(out)
}
