//! Why an order cannot be carried out, in words for a person.

use super::plan::Trouble;
use super::{Observation, Order, Process, Upstream};
use crate::model::Directory;
use alloc::format;
use alloc::string::{String, ToString};

/// What is the matter, why, and what to do.
pub(super) fn text(trouble: Trouble, order: &Order, seen: &Observation) -> String {
    match trouble {
        Trouble::Stranger => {
            let pid = if let Process::Stranger { pid } = seen.process { format!(" (process {pid})") } else { String::new() };
            format!("a server that Witch did not start{pid} runs on the data directory; stop it with `pg_ctl stop`, and Witch goes on")
        }
        Trouble::Unusable => match &seen.directory {
            Directory::Unusable { reason } => reason.clone(),
            _ => "the data directory is of no use".to_string(),
        },
        Trouble::Foreign => match (&seen.directory, order) {
            (
                Directory::Database { system_identifier, .. },
                Order::Follow(Upstream { system_identifier: ours, .. }) | Order::Lead { system_identifier: ours, .. },
            ) => format!(
                "the data directory holds a database of another cluster: its system identifier is {system_identifier}, that of this cluster \
                 is {ours}; it is left untouched; move it away, and this node clones the cluster's"
            ),
            _ => "the data directory holds a database of another cluster; move it away".to_string(),
        },
        Trouble::NothingToLead => {
            "this node is appointed and its data directory holds no database; put it back, or wait until another node is appointed"
                .to_string()
        }
        Trouble::NobodyToClone => "there is no database here yet; it is cloned as soon as there is a primary".to_string(),
        Trouble::Kept => "only a copy of the primary would bring this node back, and none can be made; its conditions say why".to_string(),
        Trouble::Hung => "the server exists and does not answer; it is ended only when another node can take its place".to_string(),
        Trouble::NotStreaming => match order {
            Order::Follow(upstream) => format!(
                "the standby does not stream from {}; see whether that address can be reached from here, and the server's log",
                upstream.database
            ),
            _ => "the standby does not stream".to_string(),
        },
    }
}
