//! Binds the shared port, once, and says what to do if that cannot be done.

use crate::api::Config;
use crate::api::access::Reach;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The bound port. Clones share the socket, so that it outlives the actor that accepts from it.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(super) socket: Arc<TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn reach(&self) -> Reach {
        if self.address.ip().is_loopback() { Reach::ThisHost } else { Reach::Everybody }
    }
}

/// Why the port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Whoever reaches the port could change the cluster.
    #[error(
        "refusing to listen on {address} without a token: other hosts could switch the cluster over. Set `cluster.token` (or \
         WITCH_CLUSTER__TOKEN) to the same secret on every node, or listen on this host only with `cluster.bind_host = \"127.0.0.1\"`"
    )]
    NoToken {
        /// Where it would have listened.
        address: SocketAddr,
    },
    /// Somebody else listens there.
    #[error(
        "port {port} of {host} is in use: `ss -ltnp 'sport = :{port}'` names the process. Stop it, or set another `cluster.bind_port` \
         here and in the `[[peers]]` of the other nodes"
    )]
    PortInUse {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The address is not one of this host.
    #[error("{host} is no address of this host: set `cluster.bind_host` to one that `ip address` shows, or to \"0.0.0.0\" for all")]
    NotOurs {
        /// The host.
        host: String,
    },
    /// The port is reserved.
    #[error("no permission to listen on port {port}: ports below 1024 need privileges. Set a `cluster.bind_port` of 1024 or more")]
    Forbidden {
        /// The port.
        port: u16,
    },
    /// Anything else, such as a name that does not resolve.
    #[error("cannot listen on port {port} of `{host}`: check `cluster.bind_host` and `cluster.bind_port`")]
    Failed {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
}

/// Binds the shared port.
///
/// # Errors
/// The port is taken, or not to be had, or open to others without a token.
pub async fn listen(config: &Config) -> Result<Listener, ListenError> {
    let (host, port) = (&config.host, config.port);
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => ListenError::PortInUse { host: host.clone(), port },
        ErrorKind::AddrNotAvailable => ListenError::NotOurs { host: host.clone() },
        ErrorKind::PermissionDenied => ListenError::Forbidden { port },
        _ => ListenError::Failed { host: host.clone(), port, source },
    };
    let socket = TcpListener::bind((host.as_str(), port)).await.map_err(failed)?;
    let listener = Listener { address: socket.local_addr().map_err(failed)?, socket: Arc::new(socket) };
    let has_token = config.token.as_ref().is_some_and(|token| !token.0.is_empty());
    if listener.reach() == Reach::Everybody && !has_token {
        return Err(ListenError::NoToken { address: listener.address });
    }
    Ok(listener)
}
