//! A promotion that makes no progress is given up within seconds, if somebody else is ready: to wait for the end of `start_timeout_ms` is for servers
//! that come up, which may rightly take long.

use super::{Machine, Office, Progress};
use crate::fsm::candidates::best;
use crate::machine::Timestamp;
use crate::model::{Bar, ClusterState, Database, Server};
use crate::pg::conditions::replay::STANDS_STILL;
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

/// A promotion that has something left to replay and replays nothing for so long stands still.
const REPLAY_MAX: Duration = Duration::from_millis(1500);
/// One that has replayed everything has a file or two to write. A disk may take its time with them.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// After appointments that came to nothing each one gets twice the time of the one before, up to so many times: if all are slow, somebody must be let
/// finish (L1).
const DOUBLED_MAX: u32 = 5;

/// The account, brought up to date. None: no standby that answers is being promoted, as while a server comes up.
pub(super) fn of(now: Timestamp, database: Option<&Database>, before: Option<(Progress, Timestamp)>) -> Option<(Progress, Timestamp)> {
    let database = database.filter(|database| database.server == Server::StartingPrimary)?;
    let progress = Progress { replayed: database.replayed?, position: database.position? };
    Some(before.filter(|(last, _)| *last == progress).unwrap_or((progress, now)))
}

impl Machine {
    /// Why the promotion of this node is given up, if that is so. Nothing that is acknowledged is lost by it: it has not accepted a write.
    pub(super) fn promotion_stands_still(
        &self,
        now: Timestamp,
        state: &ClusterState,
        database: &Database,
        office: &Office,
    ) -> Option<String> {
        let (Progress { replayed, position }, since) = office.progress?;
        let successor = best(&self.facts, state, Some(self.config.node)).filter(|candidate| candidate.prompt)?;
        let is_known = |condition: &&crate::model::Condition| condition.bars == Bar::LastChoice && condition.id == STANDS_STILL.id;
        if let Some(condition) = database.conditions.iter().find(is_known) {
            return Some(condition.text.to_string());
        }
        let patience = if replayed < position.lsn { REPLAY_MAX } else { FINISH_MAX };
        let patience = patience * 2_u32.pow(self.facts.appointed_in_vain().min(DOUBLED_MAX));
        let stands = now.since(since);
        (stands > patience).then(|| {
            let left = position.lsn.ahead_of(replayed);
            format!(
                "the promotion has made no progress for {} ms, with {left} bytes left to replay, and node {} is ready",
                stands.as_millis(),
                successor.node
            )
        })
    }
}
