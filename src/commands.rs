//! The commands that talk to a cluster, and the one that checks the file.

mod check;
mod control;
mod health;
mod history;
mod status;

pub(crate) use check::check_config;
pub(crate) use control::{pause, resume, switchover};
pub(crate) use health::health;
pub(crate) use history::history;
pub(crate) use status::status;

use crate::cli::Reach;
use crate::client::{self, Client, Request};
use crate::config::{Contact, Secret, Source, Surroundings};
use crate::exit::{Exit, Failure};
use actors::model::{Endpoint, NodeId, Status};
use anyhow::Context;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

/// A client for the nodes that the command line names, or else the file.
fn client(reach: &Reach, source: &Source, needs_token: bool) -> Result<Client, Failure> {
    let surroundings = Surroundings::of_process();
    let nodes = if reach.nodes.is_empty() {
        Contact::read(source, &surroundings)?.nodes
    } else {
        reach.nodes.iter().map(|address| address.0.clone()).collect()
    };
    let token = match &reach.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the token in {}", file.display()));
            let text = text.map_err(|cause| Failure { exit: Exit::Usage, cause })?;
            Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_string()))
        }
        None if needs_token => token_of(source, &surroundings, !reach.nodes.is_empty())?,
        None => None,
    };
    Ok(Client { nodes, token })
}

/// Where the node is named on the command line, the file is welcome and not needed.
fn token_of(source: &Source, surroundings: &Surroundings, optional: bool) -> Result<Option<Secret>, Failure> {
    if optional && !source.named && !source.path.exists() && surroundings.variables.is_empty() {
        return Ok(None);
    }
    Ok(Contact::token(source, surroundings)?)
}

/// The names of the nodes, by the node that answered. They are a courtesy: where they are not to be had, numbers must do.
async fn names(mut client: Client, node: Endpoint) -> BTreeMap<NodeId, String> {
    client.nodes = vec![node];
    let status = client.ask(&Request::Node).await.ok().and_then(|reply| reply.parse::<Status>().ok());
    let members = status.and_then(|status| status.state).map(|state| state.members).unwrap_or_default();
    members.into_iter().map(|(node, member)| (node, member.name)).collect()
}

/// Writes to standard output. That a pager or `head` has seen enough is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::Error::new(error).context("cannot write the answer").into()),
        _ => Ok(()),
    }
}

/// Writes JSON to standard output, as people and programs can read it.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
    print(&format!("{text}\n"))
}

/// With `--json`, a refusal is an answer, too.
fn or_tell_as_json<T>(answer: Result<T, client::Error>, json: bool) -> Result<T, Failure> {
    if json && let Err(client::Error::Refused { fault } | client::Error::TimedOut { fault } | client::Error::Failed { fault, .. }) = &answer
    {
        print_json(fault)?;
    }
    Ok(answer?)
}
