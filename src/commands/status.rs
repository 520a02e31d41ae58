//! `witch status`.

use super::{Does, client, or_tell_as_json, plain_json, print, print_json, write};
use crate::cli::StatusArgs;
use crate::client::{Client, Door, Error, Request};
use crate::config::Source;
use crate::exit::Failure;
use crate::view;
use actors::model::{NodeId, Status};
use actors::printable::printable_lines;
use std::io::IsTerminal;
use std::time::Duration;

/// How often `--watch` looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Moves to the upper left corner and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows the members, once or for ever.
pub(crate) async fn status(args: &StatusArgs, source: &Source) -> Result<(), Failure> {
    let client = client(&args.reach, source, Does::Look)?;
    if !args.watch {
        return show(&client, args.reach.json).await;
    }
    let redraw = std::io::stdout().is_terminal() && !args.reach.json;
    loop {
        match picture(&client, args.reach.json).await {
            Ok(text) if redraw => write(CLEAR).and_then(|()| print(&text))?,
            Ok(text) => print(&format!("{text}\n"))?,
            // While one watches, a cluster that does not answer is a sight like any other.
            Err(error) if redraw => write(CLEAR).and_then(|()| print(&format!("{error}\n")))?,
            Err(error) => eprintln!("witch: {}", printable_lines(&error.to_string())),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn show(client: &Client, json: bool) -> Result<(), Failure> {
    if json {
        let reply = or_tell_as_json(client.ask(&Request::Cluster).await, json)?;
        return print_json(&reply.parse::<serde_json::Value>()?);
    }
    print(&picture(client, json).await?)
}

async fn picture(client: &Client, json: bool) -> Result<String, Error> {
    if json {
        return Ok(plain_json(&client.ask(&Request::Cluster).await?.parse::<serde_json::Value>()?.to_string()));
    }
    let status = client.ask(&Request::Node).await?.parse::<Status>()?;
    let lease_left = lease_left(&status).await;
    Ok(view::members::render(&status, lease_left))
}

/// Only the primary knows how long its lease lasts, because it is told on its own clock.
async fn lease_left(status: &Status) -> Option<Duration> {
    let state = status.state.as_ref()?;
    let primary = state.primary.as_ref()?.node;
    if primary == status.node {
        return left(status, primary);
    }
    let client = Client { nodes: vec![Door::Network(state.members.get(&primary)?.witch.clone())], token: None };
    let its_own = client.ask(&Request::Node).await.ok()?.parse::<Status>().ok()?;
    left(&its_own, primary)
}

fn left(status: &Status, primary: NodeId) -> Option<Duration> {
    status.lease.end.filter(|_| status.node == primary).map(|end| end.since(status.at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{nobody, node};
    use crate::view::tests::healthy;
    use actors::model::Role;

    #[tokio::test]
    async fn the_lease_is_asked_of_the_primary_itself() {
        let mut primary = healthy();
        primary.node = NodeId(1);
        primary.role = Role::Primary;
        primary.lease.end = Some(primary.at + Duration::from_millis(2440));
        let (endpoint, _) = node(200, serde_json::to_string(&primary).unwrap().leak()).await;
        assert_eq!(lease_left(&primary).await, Some(Duration::from_millis(2440)), "it knows by itself");

        for (witch, left) in [(endpoint, Some(Duration::from_millis(2440))), (nobody().await, None)] {
            let mut standby = healthy();
            standby.state.as_mut().unwrap().members.get_mut(&NodeId(1)).unwrap().witch = witch;
            assert_eq!(lease_left(&standby).await, left);
        }
    }

    #[tokio::test]
    async fn a_picture_names_the_primary_and_its_lease() {
        let mut status = healthy();
        status.node = NodeId(1);
        status.lease.end = Some(status.at + Duration::from_secs(2));
        let (endpoint, _) = node(200, serde_json::to_string(&status).unwrap().leak()).await;
        let client = Client { nodes: vec![Door::Network(nobody().await), Door::Network(endpoint)], token: None };
        let text = picture(&client, false).await.unwrap();
        assert!(text.contains("a accepts writes") && text.contains("2.0 s"), "{text}");
    }
}
