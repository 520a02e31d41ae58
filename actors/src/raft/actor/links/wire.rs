//! How a message lies in a frame.
//!
//! MessagePack, structs positional and enum variants by name. That is compact and fast, and it is rigid: a field more or less, or a variant that
//! the reader does not know, is no message to it. So the shape of [`PeerMessage`] *is* the protocol version that the handshake negotiates:
//! who changes the shape raises [`VERSIONS`](super::super::handshake::VERSIONS), and for as long as an older peer may be linked keeps the older
//! shape to speak to it. Nodes one release apart then understand each other, and nodes too far apart say so instead of guessing.

use crate::raft::PeerMessage;
use ::raft::eraftpb::MessageType;
use bytes::Bytes;

/// Of a frame between nodes that have proved who they are. The largest honest one is a snapshot of the state: some hundred KiB.
pub(super) const FRAME_MAX: usize = 8 << 20;

/// Why something is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("a message of {0} bytes does not fit a frame of {FRAME_MAX}")]
    TooLarge(usize),
    #[error("a frame is no message of the negotiated version: {0}")]
    Malformed(String),
    #[error("{0} bytes are left over after a message")]
    Trailing(usize),
}

pub(super) fn encode(message: &PeerMessage) -> Result<Bytes, WireError> {
    let frame = rmp_serde::to_vec(message).expect("messages are plain data");
    if frame.len() > FRAME_MAX { Err(WireError::TooLarge(frame.len())) } else { Ok(frame.into()) }
}

pub(super) fn decode(frame: &[u8]) -> Result<PeerMessage, WireError> {
    let mut rest = frame;
    let message = rmp_serde::from_read(&mut rest).map_err(|error| WireError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(WireError::Trailing(rest.len())) }
}

/// Appends and snapshots may be long, and must stay in order among themselves. Everything else is short, and much of it is a matter of
/// milliseconds: heartbeats and leases never queue behind megabytes of a follower that catches up.
pub(super) fn is_bulk(message: &PeerMessage) -> bool {
    const BULK: [u8; 2] = [MessageType::MsgAppend as u8, MessageType::MsgSnapshot as u8];
    matches!(message, PeerMessage::Raft(raft) if BULK.contains(&raft.kind))
}

#[cfg(test)]
mod tests {
    use super::super::super::handshake::VERSIONS;
    use super::*;
    use crate::fsm::{Refusal, Request};
    use crate::golden;
    use crate::model::*;
    use crate::raft::{Introduction, LogEntry, Phase, RaftMessage, SnapshotImage};
    use std::collections::BTreeMap;

    pub(super) fn raft(kind: MessageType, snapshot: Option<SnapshotImage>) -> PeerMessage {
        let entries = vec![LogEntry { kind: 0, term: 3, index: 9, data: vec![1, 2, 3], context: Vec::new() }];
        PeerMessage::Raft(Box::new(RaftMessage {
            kind: kind as u8,
            from: RaftId(u64::MAX),
            to: RaftId(2),
            term: 3,
            log_term: 3,
            index: 8,
            commit: 7,
            commit_term: 3,
            reject: false,
            reject_hint: 0,
            request_snapshot: 0,
            priority: -1,
            context: b"read".to_vec(),
            entries,
            snapshot,
        }))
    }

    fn report(directory: Directory) -> PeerMessage {
        let database = Database {
            directory,
            server: Server::Standby,
            position: None,
            lineage: vec![Promotion { timeline: Timeline(2), lsn: Lsn(70), mark: Some(5) }],
            replayed: Some(Lsn(77)),
            streaming: true,
            operation: Some(Operation { name: "clone".to_owned(), percent: Some(3), detail: String::new() }),
            trouble: None,
            conditions: Vec::new(),
            deaths: 0,
            overdue: false,
        };
        let tags = Tags { nofailover: true, ..Tags::default() };
        PeerMessage::Report(Report {
            node: NodeId(2),
            boot: Boot(5),
            seq: 1,
            epoch: Epoch(4),
            stopping: false,
            tags,
            database: Some(database),
        })
    }

    fn state() -> ClusterState {
        let why = Why { rule: "r".to_owned(), because: "b".to_owned() };
        let kinds = [
            EventKind::Appointed { node: NodeId(1), replaces: None, why: why.clone(), lost_at_least: Some(3) },
            EventKind::Released { node: NodeId(1), timeline: Timeline(2), final_lsn: Some(Lsn(9)), why },
            EventKind::SwitchoverEnded { id: RequestId(7), failure: None },
            EventKind::Paused { paused: true },
        ];
        let mut state = ClusterState::born("prod".to_owned(), BTreeMap::new(), Settings::default());
        let event = |kind| Event { index: 4, at: WallClock(99), epoch: Epoch(2), kind };
        state.history = kinds.into_iter().map(event).collect();
        state
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let snapshot = SnapshotImage {
            index: 9,
            term: 3,
            voters: vec![1, 2],
            learners: vec![3],
            voters_outgoing: Vec::new(),
            learners_next: Vec::new(),
            auto_leave: true,
            state: state(),
        };
        let database = Directory::Database { system_identifier: SystemIdentifier(7), timeline: Timeline(2) };
        let messages = [
            raft(MessageType::MsgHeartbeat, None),
            raft(MessageType::MsgSnapshot, Some(snapshot)),
            report(Directory::Empty),
            report(Directory::Unfinished),
            report(database),
            report(Directory::Unusable { reason: "a picture".to_owned() }),
            PeerMessage::AskTestimony { term: Term(3) },
            PeerMessage::Testimony { term: Term(3), age: std::time::Duration::from_micros(1_234_567) },
        ];
        for message in messages {
            assert_eq!(decode(&encode(&message).unwrap()), Ok(message));
        }
    }

    /// The shape *is* the version: a changed byte needs a higher one in `VERSIONS`, which has a file of its own here.
    #[test]
    fn the_frames_of_this_version_are_as_they_were() {
        let snapshot = SnapshotImage {
            index: 9,
            term: 3,
            voters: vec![1, 2],
            learners: vec![3],
            voters_outgoing: Vec::new(),
            learners_next: Vec::new(),
            auto_leave: true,
            state: state(),
        };
        let endpoint = || Endpoint { host: "h".to_owned(), port: 7000 };
        let member =
            Member { node: NodeId(2), raft_id: RaftId(9), name: "n2".to_owned(), witch: endpoint(), database: endpoint(), witness: false };
        let introduction = Introduction {
            phase: Phase::Born,
            raft_id: Some(RaftId(9)),
            members: vec![member.clone()],
            cluster: "prod".to_owned(),
            settings: Settings::default(),
            term: Term(3),
            last_index: 9,
            applied: 8,
            leader: None,
            birth: Some(7),
        };
        let (node, epoch, boot) = (NodeId(2), Epoch(4), Boot(5));
        let proposal = Proposal { by: node, term: Some(Term(3)), basis: epoch, at: WallClock(99), command: Command::Handover };
        let refusal = Refusal { rule: "r".to_owned(), reason: "b".to_owned() };
        let database = Directory::Database { system_identifier: SystemIdentifier(7), timeline: Timeline(2) };
        let messages = [
            ("append", raft(MessageType::MsgAppend, None)),
            ("snapshot", raft(MessageType::MsgSnapshot, Some(snapshot))),
            ("introduction", PeerMessage::Introduction(introduction)),
            ("join", PeerMessage::Join { raft_id: RaftId(9), member }),
            ("propose", PeerMessage::Propose(proposal)),
            ("lease-request", PeerMessage::LeaseRequest(LeaseRequest { node, epoch, boot, seq: 1 })),
            ("lease-grant", PeerMessage::LeaseGrant(LeaseGrant { node, epoch, boot, seq: 1 })),
            ("ask-testimony", PeerMessage::AskTestimony { term: Term(3) }),
            ("testimony", PeerMessage::Testimony { term: Term(3), age: std::time::Duration::from_micros(1_234_567) }),
            ("heir", PeerMessage::Heir { term: Term(3), raft_id: RaftId(9) }),
            ("report", report(database)),
            ("ask", PeerMessage::Ask { id: RequestId(7), request: Request::Switchover { to: Some(node) } }),
            ("refused", PeerMessage::Refused { id: RequestId(7), refusal }),
        ];
        let frames = golden::frames(messages.iter().map(|(name, message)| (*name, encode(message).unwrap().to_vec())));
        golden::must_be(&format!("raft/actor/links/testdata/frames-{}.txt", VERSIONS.max), &frames);
    }

    #[test]
    fn what_is_cut_lengthened_or_garbage_is_no_message() {
        let frame = encode(&raft(MessageType::MsgAppend, None)).unwrap();
        for end in 0..frame.len() {
            assert!(matches!(decode(&frame[..end]), Err(WireError::Malformed(_))), "{end}");
        }
        assert_eq!(decode(&[&frame[..], b"x"].concat()), Err(WireError::Trailing(1)));
        assert!(matches!(decode(&rmp_serde::to_vec(&("Nonsense", 1)).unwrap()), Err(WireError::Malformed(_))));
        // Claims of four GiB, and nesting without an end, cost nothing.
        assert!(matches!(
            decode(&[0x81, 0xa6, b'R', b'e', b'p', b'o', b'r', b't', 0xdd, 0xff, 0xff, 0xff, 0xff]),
            Err(WireError::Malformed(_))
        ));
        assert!(matches!(decode(&vec![0x91; 1 << 20]), Err(WireError::Malformed(_))));
    }

    #[test]
    fn only_what_carries_the_log_waits_for_its_turn() {
        assert!(is_bulk(&raft(MessageType::MsgAppend, None)) && is_bulk(&raft(MessageType::MsgSnapshot, None)));
        for kind in
            [MessageType::MsgHeartbeat, MessageType::MsgHeartbeatResponse, MessageType::MsgAppendResponse, MessageType::MsgRequestVote]
        {
            assert!(!is_bulk(&raft(kind, None)));
        }
        assert!(!is_bulk(&PeerMessage::AskTestimony { term: Term(3) }));
    }

    #[test]
    fn a_message_too_large_for_a_frame_is_not_sent() {
        let PeerMessage::Raft(mut large) = raft(MessageType::MsgAppend, None) else { unreachable!() };
        large.entries[0].data = vec![0; FRAME_MAX];
        assert!(matches!(encode(&PeerMessage::Raft(large)), Err(WireError::TooLarge(_))));
    }
}
