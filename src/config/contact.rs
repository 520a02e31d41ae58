//! What a client needs of the file: where the nodes are, and the token of their API. The secret of the nodes is none of it.
//!
//! It reads nothing else, so that a fault elsewhere in the file, or a password file that the operator may not read, does not keep anybody
//! from asking how the cluster is.

use super::cluster::{is_wildcard, read_bind, read_data_dir};
use super::fault::Invalid;
use super::{Secret, Source, Surroundings, peers};
use actors::model::Endpoint;
use std::path::{Path, PathBuf};

/// How to reach the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    /// The Unix socket of this host's own daemon.
    pub(crate) socket: PathBuf,
    /// This node first, then its peers.
    pub(crate) nodes: Vec<Endpoint>,
}

impl Contact {
    /// The addresses in the file.
    pub(crate) fn read(source: &Source, surroundings: &Surroundings) -> Result<Self, Invalid> {
        let mut reading = source.open(surroundings)?;
        let mut own = read_bind(&mut reading);
        if is_wildcard(&own.host) {
            own.host = "127.0.0.1".into();
        }
        let mut nodes = vec![own];
        for peer in peers::read_endpoints(&mut reading) {
            if !nodes.contains(&peer) {
                nodes.push(peer);
            }
        }
        let socket = super::socket(Path::new(&read_data_dir(&mut reading)));
        if reading.faults.is_empty() {
            Ok(Self { socket, nodes })
        } else {
            Err(Invalid { file: source.path.clone(), faults: reading.faults })
        }
    }

    /// The token of the API in the file or the environment.
    pub(crate) fn token(source: &Source, surroundings: &Surroundings) -> Result<Option<Secret>, Invalid> {
        let mut reading = source.open(surroundings)?;
        let token = reading.secret("api.token");
        if reading.faults.is_empty() { Ok(token) } else { Err(Invalid { file: source.path.clone(), faults: reading.faults }) }
    }
}
