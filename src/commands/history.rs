//! `witch history`.

use super::{client, or_tell_as_json, print, print_json};
use crate::cli::HistoryArgs;
use crate::client::Request;
use crate::config::Source;
use crate::exit::Failure;
use crate::view;
use actors::model::{Event, NodeId, Status};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// The answer to `GET /history`.
#[derive(Debug, serde::Deserialize)]
struct Events {
    events: Vec<Event>,
}

/// Tells what happened.
pub(crate) async fn history(args: &HistoryArgs, source: &Source) -> Result<(), Failure> {
    let mut client = client(&args.reach, source, false)?;
    let reply = or_tell_as_json(client.ask(&Request::History).await, args.reach.json)?;
    if args.reach.json {
        return print_json(&reply.parse::<serde_json::Value>()?);
    }
    let events = reply.parse::<Events>()?.events;
    // The events have numbers; the names are a courtesy, and their absence is no failure.
    client.nodes = vec![reply.node];
    let names = match client.ask(&Request::Node).await.and_then(|reply| reply.parse::<Status>()) {
        Ok(status) => names(&status),
        Err(_) => BTreeMap::new(),
    };
    let zone = if args.utc { TimeZone::UTC } else { TimeZone::system() };
    print(&view::history::render(&events, &names, &zone))
}

fn names(status: &Status) -> BTreeMap<NodeId, String> {
    status.state.iter().flat_map(|state| &state.members).map(|(node, member)| (*node, member.name.clone())).collect()
}
