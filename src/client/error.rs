//! Why a command has no answer, or none that pleases.

use super::Door;
use actors::printable::printable;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::fmt;

/// No sentence of a node is longer than this; whoever answers at its address may say more.
const WORDS_MAX: usize = 4000;

/// What a client can meet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Each address, and what was the matter with it.
    #[error(
        "no node answers:{}\nIs witch running there? Other nodes can be named with --node HOST:PORT; a change there takes the token of its API, \
         with --token-file FILE",
        each(.tried)
    )]
    NoNode {
        /// The addresses.
        tried: Vec<(Door, String)>,
    },
    /// The node wants a token, or another one.
    #[error(
        "{node} takes changes over the network only with the token of its API: give it with --token-file FILE, WITCH_API__TOKEN or api.token in \
         the file; cluster.token is another secret. On the node's own host, root and the user who runs witch need none"
    )]
    TokenRejected {
        /// Who said so.
        node: Door,
    },
    /// A rule stands against it, and nothing was begun.
    #[error("{fault}")]
    Refused {
        /// The answer.
        fault: Box<Fault>,
    },
    /// The cluster did not get it done in time.
    #[error("{fault}; `witch history` tells how it ends")]
    TimedOut {
        /// The answer.
        fault: Box<Fault>,
    },
    /// The request was sent and nothing came back.
    #[error("{node} took the request and did not answer: {cause}; it may still be carried out: `witch history` tells")]
    Silent {
        /// Who is silent.
        node: Door,
        /// What happened.
        cause: String,
    },
    /// It was begun and failed, or the node has a trouble of its own.
    #[error("{node} answers {status}: {fault}")]
    Failed {
        /// Who said so.
        node: Door,
        /// In HTTP's terms.
        status: StatusCode,
        /// The answer.
        fault: Box<Fault>,
    },
    /// The answer makes no sense to this version.
    #[error("{node} answers in a way that this version of witch does not understand ({cause}); are both of the same version?")]
    Unintelligible {
        /// Who said so.
        node: Door,
        /// What is wrong with it.
        cause: String,
    },
}

/// An error as the nodes tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Fault {
    /// A word for programs.
    pub(crate) error: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The rule that stands against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
}

impl Fault {
    /// The error in an answer, or the beginning of whatever stands there instead.
    pub(super) fn in_body(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = printable(String::from_utf8_lossy(body).trim(), 200);
            Self { reason: Some(if text.is_empty() { "no reason is given".into() } else { text }), ..Self::default() }
        })
    }

    /// Whether a daemon of ours said it, and not some other server.
    pub(super) fn is_ours(&self) -> bool {
        !self.error.is_empty()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = printable(&self.error.replace('_', " "), WORDS_MAX);
        let both = if words.is_empty() || self.reason.is_none() { "" } else { ": " };
        write!(f, "{words}{both}{}", printable(self.reason.as_deref().unwrap_or_default(), WORDS_MAX))?;
        if let Some(rule) = &self.rule {
            write!(f, " [{}]", printable(rule, WORDS_MAX))?;
        }
        if let Some(id) = self.id {
            write!(f, " (id {id})")?;
        }
        Ok(())
    }
}

fn each(tried: &[(Door, String)]) -> impl fmt::Display {
    tried.iter().map(|(node, cause)| format!("\n  {node}: {cause}")).collect::<String>()
}
