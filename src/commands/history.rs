//! `witch history`.

use super::{Does, client, names, or_tell_as_json, print, print_json};
use crate::cli::HistoryArgs;
use crate::client::Request;
use crate::config::Source;
use crate::exit::Failure;
use crate::view;
use actors::model::Event;
use jiff::tz::TimeZone;

/// The answer to `GET /history`.
#[derive(Debug, serde::Deserialize)]
struct Events {
    events: Vec<Event>,
}

/// Tells what happened.
pub(crate) async fn history(args: &HistoryArgs, source: &Source) -> Result<(), Failure> {
    let client = client(&args.reach, source, Does::Look)?;
    let reply = or_tell_as_json(client.ask(&Request::History).await, args.reach.json)?;
    if args.reach.json {
        return print_json(&reply.parse::<serde_json::Value>()?);
    }
    let events = reply.parse::<Events>()?.events;
    let names = names(client, reply.node).await;
    let zone = if args.utc { TimeZone::UTC } else { TimeZone::system() };
    print(&view::history::render(&events, &names, &zone))
}
