//! `witch health`.

use super::{Does, client, or_tell_as_json, print, print_json};
use crate::cli::HealthArgs;
use crate::client::{As, Door, Request};
use crate::config::Source;
use crate::exit::Failure;
use actors::api::health::Serving;

/// Asks one node whether it is well.
pub(crate) async fn health(args: &HealthArgs, source: &Source) -> Result<(), Failure> {
    let mut client = client(&args.reach, source, Does::Look)?;
    // Another node's health says nothing about this one.
    let own = client.nodes.iter().position(|door| matches!(door, Door::Network(_))).map_or(1, |first| first + 1);
    client.nodes.truncate(own);
    let well_as = match (args.primary, args.replica) {
        (true, _) => As::Primary,
        (false, true) => As::Replica,
        (false, false) => As::Member,
    };
    let reply = or_tell_as_json(client.ask(&Request::Health(well_as)).await, args.reach.json)?;
    let serving = reply.parse::<Serving>()?;
    if args.reach.json { print_json(&serving) } else { print(&format!("{} is well: {}\n", serving.name, serving.reason)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Address, Reach};
    use crate::client::tests::node;
    use crate::exit::Exit;

    fn args(nodes: Vec<actors::model::Endpoint>) -> HealthArgs {
        let nodes = nodes.into_iter().map(Address).collect();
        HealthArgs { primary: false, replica: false, reach: Reach { nodes, token_file: None, json: false } }
    }

    #[tokio::test]
    async fn a_sick_node_is_told_from_an_absent_one_and_no_other_is_asked() {
        let (sick, _) = node(503, r#"{"error": "unhealthy", "reason": "its server is stopped"}"#).await;
        let (well, heard) = node(200, r#"{"node": 2, "name": "db2", "role": "standby", "reason": "its standby answers"}"#).await;
        let failure = health(&args(vec![sick, well.clone()]), &Source::new(None)).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.cause.to_string().contains("unhealthy: its server is stopped"), "{}", failure.cause);
        assert!(heard.lock().unwrap().is_empty());
        assert!(health(&args(vec![well]), &Source::new(None)).await.is_ok());
        assert_eq!(heard.lock().unwrap()[0].0, "GET /health");
    }
}
