//! Talks to the daemons over HTTP.
//!
//! This host's own daemon is asked over its Unix socket, where nobody needs a token. Every node can answer every command, so the client tries one
//! after the other until one answers. A request that changes something
//! is never sent to a second node once it has been sent to a first, unless that one says that it did nothing: nobody knows what became of it.

mod error;
mod request;

pub(crate) use error::{Error, Fault};
pub(crate) use request::{As, Paused, Request, Switched};

use crate::config::Secret;
use actors::model::Endpoint;
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A node that does not take a connection within this is passed over.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// No answer is longer than this.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Where the cluster is, and the right to command it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Asked in this order. Never empty.
    pub(crate) nodes: Vec<Door>,
    /// The API's, shown to nodes on the network.
    pub(crate) token: Option<Secret>,
}

/// Where a node can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Over the Unix socket of this host's own.
    Socket(PathBuf),
    /// Over the network.
    Network(Endpoint),
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Network(endpoint) => endpoint.fmt(f),
        }
    }
}

/// An answer of a node to a request that it carried out.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Who answered.
    pub(crate) node: Door,
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
                // A node that is starting, or wedged, says so before it begins anything.
                Attempt::Answered(StatusCode::SERVICE_UNAVAILABLE, body) if !request.is_about_service() => {
                    tried.push((node.clone(), Fault::in_body(&body).to_string()));
                }
                Attempt::Answered(status, body) => return judge(node.clone(), status, body),
                Attempt::Lost(cause) if !request.is_harmless() => return Err(Error::Silent { node: node.clone(), cause }),
                Attempt::NotSent(cause) | Attempt::Lost(cause) => tried.push((node.clone(), cause)),
            }
        }
        Err(Error::NoNode { tried })
    }

    async fn attempt(&self, door: &Door, request: &Request) -> Attempt {
        let message = match self.message(door, request) {
            Ok(message) => message,
            Err(error) => return Attempt::NotSent(format!("cannot be asked: {error}")),
        };
        let exchanged = match door {
            Door::Socket(path) => match connected(UnixStream::connect(path)).await {
                Ok(stream) => timeout(request.limit(), exchange(message, stream)).await,
                Err(cause) => return Attempt::NotSent(cause),
            },
            Door::Network(node) => match connected(TcpStream::connect((node.host.as_str(), node.port))).await {
                Ok(stream) => timeout(request.limit(), exchange(message, stream)).await,
                Err(cause) => return Attempt::NotSent(cause),
            },
        };
        match exchanged {
            Ok(Ok((status, body))) => Attempt::Answered(status, body),
            Ok(Err(error)) => Attempt::Lost(format!("{error:#}")),
            Err(_) => Attempt::Lost(format!("no answer within {} s", request.limit().as_secs())),
        }
    }

    fn message(&self, door: &Door, request: &Request) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let mut message = http::Request::builder()
            .method(request.method())
            .uri(request.path())
            // Whatever the node is called here, it need not know that name: the empty one says that nothing depends on it.
            .header(header::HOST, "")
            .header(header::ACCEPT, "application/json");
        if let (Door::Network(_), Some(token)) = (door, &self.token) {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            message = message.header(header::AUTHORIZATION, value);
        }
        let body = request.body();
        if !body.is_empty() {
            message = message.header(header::CONTENT_TYPE, "application/json");
        }
        message.body(Full::new(body))
    }
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, String> {
    match timeout(CONNECT_LIMIT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => Err(format!("{error}: it takes root or the user who runs witch")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("takes no connection within {} s", CONNECT_LIMIT.as_secs())),
    }
}

async fn exchange<S>(message: http::Request<Full<Bytes>>, stream: S) -> anyhow::Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
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

fn judge(node: Door, status: StatusCode, body: Bytes) -> Result<Reply, Error> {
    if status.is_success() {
        return Ok(Reply { node, body });
    }
    let fault = Box::new(Fault::in_body(&body));
    Err(match status {
        StatusCode::UNAUTHORIZED => Error::TokenRejected { node },
        StatusCode::GATEWAY_TIMEOUT => Error::TimedOut { fault },
        // It was begun, and did not work out.
        StatusCode::CONFLICT if fault.error == "failed" => Error::Failed { node, status, fault },
        status if status.is_client_error() && fault.is_ours() => Error::Refused { fault },
        status => Error::Failed { node, status, fault },
    })
}

#[cfg(test)]
pub(crate) mod tests;
