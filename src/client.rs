//! Talks to the daemons over HTTP.
//!
//! Every node can answer every command, so the client tries one address after the other until one answers. A request that changes something
//! is never sent to a second node once it has been sent to a first: nobody knows what became of it.

mod request;

pub(crate) use request::{Paused, Request, Switched};

use crate::config::Secret;
use actors::model::Endpoint;
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A node that does not take a connection within this is passed over.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// No answer is longer than this.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Where the cluster is, and the right to command it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Asked in this order. Never empty.
    pub(crate) nodes: Vec<Endpoint>,
    /// Shown to nodes that ask for it.
    pub(crate) token: Option<Secret>,
}

/// Why there is no answer, or none that pleases.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Each address, and what was the matter with it.
    #[error("no node answers:{}\nIs witch running there? Other nodes can be named with --node HOST:PORT", each(.tried))]
    NoNode {
        /// The addresses.
        tried: Vec<(Endpoint, String)>,
    },
    /// The node wants a token, or another one.
    #[error("{node} does not accept the token; give the cluster's with --token-file FILE, WITCH_CLUSTER__TOKEN or cluster.token")]
    TokenRejected {
        /// Who said so.
        node: Endpoint,
    },
    /// A rule stands against it.
    #[error("{0}", .fault.sentence())]
    Refused {
        /// The answer.
        fault: Fault,
    },
    /// The cluster did not get it done in time.
    #[error("{0}; it may still happen: `witch history` will tell{1}", .fault.sentence(), .fault.id_in_words())]
    TimedOut {
        /// The answer.
        fault: Fault,
    },
    /// The request was sent and nothing came back.
    #[error("{node} took the request and did not answer: {cause}; it may still be carried out: `witch history` will tell")]
    Silent {
        /// Who is silent.
        node: Endpoint,
        /// What happened.
        cause: String,
    },
    /// Any other error of the node.
    #[error("{node} answers {status}: {}", .fault.sentence())]
    Failed {
        /// Who said so.
        node: Endpoint,
        /// In HTTP's terms.
        status: StatusCode,
        /// The answer.
        fault: Fault,
    },
    /// The answer makes no sense to this version.
    #[error("{node} answers in a way that this version of witch does not understand ({cause}); are both of the same version?")]
    Unintelligible {
        /// Who said so.
        node: Endpoint,
        /// What is wrong with it.
        cause: String,
    },
}

/// An error as the nodes tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(crate) struct Fault {
    /// What happened.
    #[serde(default)]
    pub(crate) error: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The rule that stands against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<serde_json::Value>,
}

impl Fault {
    fn sentence(&self) -> String {
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let rule = self.rule.as_ref().map_or_else(String::new, |rule| format!(" [{rule}]"));
        format!("{}{reason}{rule}", self.error)
    }

    fn id_in_words(&self) -> String {
        self.id.as_ref().map_or_else(String::new, |id| format!(" (id {})", id.as_str().map_or_else(|| id.to_string(), String::from)))
    }
}

/// An answer of a node to a request that it carried out.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Who answered.
    pub(crate) node: Endpoint,
    body: Bytes,
}

impl Reply {
    /// The answer as what it should be.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Unintelligible { node: self.node.clone(), cause: error.to_string() })
    }
}

/// What became of one attempt.
enum Attempt {
    /// The node is there and answered.
    Answered(StatusCode, Bytes),
    /// The request was never sent.
    NotSent(String),
    /// It was sent, and then something went wrong.
    Lost(String),
}

impl Client {
    /// Asks until a node answers.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Reply, Error> {
        let mut tried = Vec::new();
        for node in &self.nodes {
            match self.attempt(node, request).await {
                Attempt::Answered(status, body)
                    if status.is_server_error() && request.is_harmless() && status != StatusCode::GATEWAY_TIMEOUT =>
                {
                    tried.push((node.clone(), format!("answers {status}: {}", fault_in(&body).sentence())));
                }
                Attempt::Answered(status, body) => return judge(node.clone(), status, body),
                Attempt::Lost(cause) if !request.is_harmless() => return Err(Error::Silent { node: node.clone(), cause }),
                Attempt::NotSent(cause) | Attempt::Lost(cause) => tried.push((node.clone(), cause)),
            }
        }
        Err(Error::NoNode { tried })
    }

    async fn attempt(&self, node: &Endpoint, request: &Request) -> Attempt {
        let stream = match timeout(CONNECT_LIMIT, TcpStream::connect((node.host.as_str(), node.port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Attempt::NotSent(error.to_string()),
            Err(_) => return Attempt::NotSent(format!("takes no connection within {} s", CONNECT_LIMIT.as_secs())),
        };
        match timeout(request.limit(), self.exchange(node, request, stream)).await {
            Ok(Ok((status, body))) => Attempt::Answered(status, body),
            Ok(Err(error)) => Attempt::Lost(format!("{error:#}")),
            Err(_) => Attempt::Lost(format!("no answer within {} s", request.limit().as_secs())),
        }
    }

    async fn exchange(&self, node: &Endpoint, request: &Request, stream: TcpStream) -> anyhow::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut message = http::Request::builder()
            .method(request.method())
            .uri(request.path())
            .header(header::HOST, node.to_string())
            .header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            message = message.header(header::AUTHORIZATION, value);
        }
        let body = request.body();
        if !body.is_empty() {
            message = message.header(header::CONTENT_TYPE, "application/json");
        }
        let message = message.body(Full::new(body))?;
        let answer = async {
            let response = sender.send_request(message).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    }
}

fn judge(node: Endpoint, status: StatusCode, body: Bytes) -> Result<Reply, Error> {
    match status {
        status if status.is_success() => Ok(Reply { node, body }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::TokenRejected { node }),
        StatusCode::CONFLICT => Err(Error::Refused { fault: fault_in(&body) }),
        StatusCode::GATEWAY_TIMEOUT => Err(Error::TimedOut { fault: fault_in(&body) }),
        status => Err(Error::Failed { node, status, fault: fault_in(&body) }),
    }
}

/// The error in an answer, or the beginning of whatever stands there instead.
fn fault_in(body: &[u8]) -> Fault {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        Fault { error: if text.is_empty() { "no reason given".into() } else { text }, ..Fault::default() }
    })
}

fn each(tried: &[(Endpoint, String)]) -> impl fmt::Display {
    tried.iter().map(|(node, cause)| format!("\n  {node}: {cause}")).collect::<String>()
}

#[cfg(test)]
mod tests;
