//! Asking a daemon.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a daemon answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).with_context(|| format!("the answer {} is not what was expected: {}", self.status, self.body))
    }
}

/// One request on a connection of its own, answered within the deadline or not at all.
pub async fn request(
    (host, port): (&str, u16),
    (method, path): (&str, &str),
    token: Option<&str>,
    body: impl Into<Bytes>,
    deadline: Duration,
) -> Result<Answer> {
    let body = body.into();
    let exchange = async {
        let stream = TcpStream::connect((host, port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", format!("{host}:{port}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        driver.abort();
        anyhow::Ok(Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() })
    };
    timeout(deadline, exchange)
        .await
        .with_context(|| format!("{host}:{port} did not answer {method} {path} within {deadline:?}"))?
        .with_context(|| format!("{method} {path} at {host}:{port}"))
}
