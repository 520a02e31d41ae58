//! `witch switchover`, `witch pause`, `witch resume`.

use super::{Does, client, names, or_tell_as_json, print, print_json};
use crate::cli::{CommandArgs, SwitchoverArgs};
use crate::client::{Paused, Request, Switched};
use crate::config::Source;
use crate::exit::Failure;
use actors::model::NodeId;

/// Makes another node the primary, and waits until that is done.
pub(crate) async fn switchover(args: &SwitchoverArgs, source: &Source) -> Result<(), Failure> {
    let client = client(&args.reach, source, Does::Change)?;
    let reply = or_tell_as_json(client.ask(&Request::Switchover { to: args.to.clone() }).await, args.reach.json)?;
    if args.reach.json {
        return print_json(&reply.parse::<serde_json::Value>()?);
    }
    let done = reply.parse::<Switched>()?;
    let names = names(client, reply.node).await;
    let name = |node: NodeId| names.get(&node).cloned().unwrap_or_else(|| format!("node {node}"));
    print(&format!(
        "{} is the primary now, after {}: epoch {}, timeline {}, {} ms\n",
        name(done.to),
        name(done.from),
        done.epoch,
        done.timeline,
        done.duration_ms
    ))
}

/// Holds automatic failover.
pub(crate) async fn pause(args: &CommandArgs, source: &Source) -> Result<(), Failure> {
    set_paused(args, source, &Request::Pause).await
}

/// Lets automatic failover go on.
pub(crate) async fn resume(args: &CommandArgs, source: &Source) -> Result<(), Failure> {
    set_paused(args, source, &Request::Resume).await
}

async fn set_paused(args: &CommandArgs, source: &Source, request: &Request) -> Result<(), Failure> {
    let client = client(&args.reach, source, Does::Change)?;
    let reply = or_tell_as_json(client.ask(request).await, args.reach.json)?;
    if args.reach.json {
        return print_json(&reply.parse::<serde_json::Value>()?);
    }
    print(match reply.parse::<Paused>()?.paused {
        true => "failover is paused: nobody is promoted until `witch resume`\n",
        false => "failover goes on\n",
    })
}
