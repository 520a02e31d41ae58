//! `witch switchover`, `witch pause`, `witch resume`.

use super::{client, or_tell_as_json, print, print_json};
use crate::cli::{CommandArgs, SwitchoverArgs};
use crate::client::{Paused, Request, Switched};
use crate::config::Source;
use crate::exit::Failure;

/// Makes another node the primary, and waits until that is done.
pub(crate) async fn switchover(args: &SwitchoverArgs, source: &Source) -> Result<(), Failure> {
    let client = client(&args.reach, source, true)?;
    let reply = or_tell_as_json(client.ask(&Request::Switchover { to: args.to.clone() }).await, args.reach.json)?;
    let done = reply.parse::<Switched>()?;
    if args.reach.json {
        return print_json(&done);
    }
    let plain = |name: &serde_json::Value| name.as_str().map_or_else(|| format!("node {name}"), String::from);
    print(&format!(
        "{} is the primary now, after {}: epoch {}, timeline {}, {} ms\n",
        plain(&done.to),
        plain(&done.from),
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
    let client = client(&args.reach, source, true)?;
    let reply = or_tell_as_json(client.ask(request).await, args.reach.json)?;
    let answer = reply.parse::<Paused>()?;
    if args.reach.json {
        return print_json(&answer);
    }
    print(match answer.paused {
        true => "failover is paused: nobody is promoted until `witch resume`\n",
        false => "failover goes on\n",
    })
}
