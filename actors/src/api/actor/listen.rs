//! Binds the shared port, once, and says what to do if that cannot be done.

use super::local;
use crate::api::Config;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// The bound port. Clones share the socket, so that it outlives the actor that accepts from it.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(super) socket: Arc<TcpListener>,
    /// For callers of this host.
    pub(super) local: Option<Arc<UnixListener>>,
    address: SocketAddr,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the Unix socket of the configuration as well. Only for whoever holds the lock of the folder that it is in.
    ///
    /// # Errors
    /// The folder does not take it.
    pub fn with_socket(self, config: &Config) -> Result<Self, ListenError> {
        let local = config.socket.as_ref().map(|path| local::bind(Path::new(path)).map(Arc::new)).transpose()?;
        Ok(Self { local, ..self })
    }
}

/// Why the port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
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
    /// The folder does not take the socket.
    #[error("cannot listen on the Unix socket {path}: check that `cluster.data_dir` is Witch's own, and its path no longer than 90 bytes")]
    Socket {
        /// Where.
        path: String,
        /// The cause.
        source: io::Error,
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
/// The port is taken, or not to be had.
pub async fn listen(config: &Config) -> Result<Listener, ListenError> {
    let (host, port) = (&config.host, config.port);
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => ListenError::PortInUse { host: host.clone(), port },
        ErrorKind::AddrNotAvailable => ListenError::NotOurs { host: host.clone() },
        ErrorKind::PermissionDenied => ListenError::Forbidden { port },
        _ => ListenError::Failed { host: host.clone(), port, source },
    };
    let socket = TcpListener::bind((host.as_str(), port)).await.map_err(failed)?;
    Ok(Listener { address: socket.local_addr().map_err(failed)?, socket: Arc::new(socket), local: None })
}
