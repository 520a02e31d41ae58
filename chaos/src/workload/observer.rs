//! Asks every daemon what it thinks, several times a second, and copies Witch's own history as it grows.

use super::Desk;
use super::client::pause;
use crate::history::{Event, Look};
use crate::nemesis::statuses;
use actors::model::Status;
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(150);

pub(super) async fn run(desk: Desk) {
    // One entry of the log may make two events of the history.
    let mut decided = BTreeSet::new();
    while !desk.is_over() {
        let said = statuses(&desk.doors).await;
        for (place, status) in said.iter().enumerate() {
            let look = status.as_ref().map(look_of);
            desk.leases.set(place, look.as_ref().and_then(|look| look.epoch));
            desk.recorder.record(Event::Looked { node: desk.doors[place].id, look });
        }
        for entry in said.iter().flatten().filter_map(|status| status.state.as_ref()).flat_map(|state| &state.history) {
            // Written again if two nodes do not tell the same: the checkers want to know.
            if decided.insert(serde_json::to_string(entry).unwrap_or_default()) {
                desk.recorder.record(Event::Decided { entry: entry.clone() });
            }
        }
        pause(PAUSE).await;
    }
}

fn look_of(status: &Status) -> Look {
    Look {
        said_at: status.at,
        writable: status.writable,
        readable: status.readable,
        epoch: status.lease.epoch,
        lease_end: status.lease.end,
        term: status.term,
        leader: status.leader,
    }
}
