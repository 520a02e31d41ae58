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
use crate::client::{self, Client, Door, Request};
use crate::config::{Contact, Secret, Source, Surroundings};
use crate::exit::{Exit, Failure};
use actors::model::{NodeId, Status};
use actors::printable::{is_obeyed, printable_lines};
use anyhow::Context;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

/// Whether a command changes something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Look,
    Change,
}

/// A client for the nodes that the command line names, or else for this host's own, and the others of the file.
///
/// A token is sent to whom somebody named it for and to nobody else: to the nodes of `--node`, or, with `--token-file`, to those of the file.
fn client(reach: &Reach, source: &Source, does: Does) -> Result<Client, Failure> {
    let surroundings = Surroundings::of_process();
    let given = match &reach.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the token in {}", file.display()));
            let text = text.map_err(|cause| Failure { exit: Exit::Usage, cause })?;
            Some(Secret::new(text.trim_end_matches(['\n', '\r']).to_string()))
        }
        None => None,
    };
    if !reach.nodes.is_empty() {
        let nodes = reach.nodes.iter().map(|address| Door::Network(address.0.clone())).collect();
        let token = match given {
            None if does == Does::Change => token_of(source, &surroundings)?,
            given => given,
        };
        return Ok(Client { nodes, token });
    }
    let Contact { socket, nodes } = Contact::read(source, &surroundings)?;
    let others = nodes.into_iter().filter(|_| does == Does::Look || given.is_some()).map(Door::Network);
    Ok(Client { nodes: std::iter::once(Door::Socket(socket)).chain(others).collect(), token: given })
}

/// Where the node is named on the command line, the file is welcome and not needed.
fn token_of(source: &Source, surroundings: &Surroundings) -> Result<Option<Secret>, Failure> {
    if !source.named && !source.path.exists() && surroundings.variables.is_empty() {
        return Ok(None);
    }
    Ok(Contact::token(source, surroundings)?)
}

/// The names of the nodes, by the node that answered. They are a courtesy: where they are not to be had, numbers must do.
async fn names(mut client: Client, node: Door) -> BTreeMap<NodeId, String> {
    client.nodes = vec![node];
    let status = client.ask(&Request::Node).await.ok().and_then(|reply| reply.parse::<Status>().ok());
    let members = status.and_then(|status| status.state).map(|state| state.members).unwrap_or_default();
    members.into_iter().map(|(node, member)| (node, member.name)).collect()
}

/// Shows text in which are words of nodes and of servers: a terminal obeys none of them.
fn print(text: &str) -> Result<(), Failure> {
    write(&printable_lines(text))
}

/// Writes to standard output. That a pager or `head` has seen enough is no error.
fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::Error::new(error).context("cannot write the answer").into()),
        _ => Ok(()),
    }
}

/// Writes JSON to standard output, as people and programs can read it.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
    write(&format!("{}\n", plain_json(&text)))
}

/// The same JSON without a sign that a terminal would obey: outside of its strings there is none but the line end.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign != '\n' && is_obeyed(sign) {
            plain.extend(sign.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            plain.push(sign);
        }
    }
    plain
}

/// With `--json`, a refusal is an answer, too.
fn or_tell_as_json<T>(answer: Result<T, client::Error>, json: bool) -> Result<T, Failure> {
    if json && let Err(client::Error::Refused { fault } | client::Error::TimedOut { fault } | client::Error::Failed { fault, .. }) = &answer
    {
        print_json(fault)?;
    }
    Ok(answer?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_signs_that_a_terminal_obeys() {
        let value = serde_json::json!({ "reason": "a\u{9b}2J\u{202e}b\u{1b}[2J\nc\u{e0001}", "n": 1 });
        let plain = plain_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!plain.chars().any(|sign| sign != '\n' && is_obeyed(sign)), "{plain}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
    }

    #[test]
    fn a_change_goes_to_the_socket_alone_unless_somebody_says_more() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::new(Some(folder.path().join("witch.toml")));
        let text = "[cluster]\ndata_dir = \"/w\"\ntoken = \"the secret of the nodes\"\n[api]\ntoken = \"the token of the API\"\n[[peers]]\nhost = \"db2\"\n";
        std::fs::write(&source.path, text).unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "another token\n").unwrap();
        let reach = |node: Option<&str>, token_file: Option<&std::path::Path>| Reach {
            nodes: node.map(|node| node.parse().unwrap()).into_iter().collect(),
            token_file: token_file.map(Into::into),
            json: false,
        };
        let of = |reach: &Reach, does| {
            let client = client(reach, &source, does).map_err(|failure| failure.cause).unwrap();
            let nodes = client.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            (nodes, client.token.as_ref().map(|token| token.expose().to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&reach(None, None), Does::Change), ("/w/api.sock".into(), None));
        assert_eq!(of(&reach(None, None), Does::Look), ("/w/api.sock 127.0.0.1:7000 db2:7000".into(), None));
        assert_eq!(of(&reach(None, Some(&file)), Does::Change), ("/w/api.sock 127.0.0.1:7000 db2:7000".into(), some("another token")));
        assert_eq!(of(&reach(Some("db3"), None), Does::Change), ("db3:7000".into(), some("the token of the API")));
        assert_eq!(of(&reach(Some("db3"), None), Does::Look), ("db3:7000".into(), None));
    }
}
