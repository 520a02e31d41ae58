//! One HTTP/1 connection.

use super::door::stopped;
use super::lobby::{Place, ShownOut};
use super::routes::Routes;
use super::{head, reply};
use crate::api::Config;
use crate::api::access::Entrance;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

/// The longest head of a request; longer ones are answered with 431.
const HEAD_MAX: usize = 16 * 1024;

/// Where a request comes from; in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// The other end, and ours.
    Network { there: SocketAddr, here: IpAddr },
    /// The user at the other end of the Unix socket.
    Socket { uid: u32 },
}

impl From {
    pub(super) const fn entrance(self) -> Entrance {
        match self {
            Self::Network { .. } => Entrance::Network,
            Self::Socket { .. } => Entrance::Socket,
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { there, .. } => there.fmt(f),
            Self::Socket { uid } => write!(f, "user {uid} of this host"),
        }
    }
}

/// hyper limits how long a request may take to come, but not how long an answer may take to go: that the kernel does.
pub(super) fn limit_writing(stream: &TcpStream, config: &Config) {
    let limit = u32::try_from(config.write_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(stream, sockopt::TcpUserTimeout, &limit) {
        tracing::debug!(%error, "cannot limit how long the client may take");
    }
}

/// Answers requests until the client leaves, dawdles, has to make room, or the stop comes.
pub(super) async fn converse<S>(
    stream: S,
    from: From,
    config: Arc<Config>,
    routes: Routes,
    mut stop: watch::Receiver<bool>,
    (place, shown_out): (Place, ShownOut),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (asked, hosts) = (AtomicBool::new(false), config.hosts.clone());
    let service = hyper::service::service_fn(|mut request: http::Request<hyper::body::Incoming>| {
        asked.store(true, Ordering::Relaxed);
        place.is_answered();
        let refused = match from {
            From::Network { here, .. } => head::check(&request, &hosts, here).err(),
            From::Socket { .. } => None,
        };
        request.extensions_mut().insert(from);
        let (routes, place) = (routes.clone(), &place);
        async move {
            let answer = match refused {
                Some(problem) => Ok::<_, Infallible>(reply::problem(&problem)),
                None => warp::service(routes).call(request).await,
            };
            place.waits();
            answer
        }
    });
    // The time limit of the head is that of an idle connection, too: it begins when the answer before is through. A client that has shut down
    // its sending side has said everything, and wants to hear what became of it.
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.head_timeout)
            .max_buf_size(HEAD_MAX)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
    );
    let dawdles = async {
        tokio::time::sleep(config.first_head_timeout).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = shown_out => return,
        () = dawdles => return,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "an HTTP connection ended before its time");
    }
}
