//! One HTTP/1 connection.

use super::door::stopped;
use super::routes::Routes;
use crate::api::Config;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

/// The longest head of a request; longer ones are answered with 431.
const HEAD_MAX: usize = 16 * 1024;

/// Where a request comes from; in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) SocketAddr);

/// Answers requests until the client leaves, dawdles, or the stop comes.
pub(super) async fn converse(stream: TcpStream, from: SocketAddr, config: Arc<Config>, routes: Routes, mut stop: watch::Receiver<bool>) {
    // hyper limits how long a request may take to come, but not how long an answer may take to go: that the kernel does.
    let limit = u32::try_from(config.write_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(&stream, sockopt::TcpUserTimeout, &limit) {
        tracing::debug!(%from, %error, "cannot limit how long the client may take");
    }
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(From(from));
        warp::service(routes.clone()).call(request)
    });
    // The time limit of the head is that of an idle connection, too: it begins when the answer before is through.
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.head_timeout)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "an HTTP connection ended before its time");
    }
}
