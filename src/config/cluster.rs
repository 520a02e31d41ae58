//! `[cluster]`: who this node is, where it listens, and what the nodes know each other by.

use super::reading::Reading;
use super::secret::Secret;
use actors::model::{Endpoint, NodeId};
use std::net::IpAddr;
use std::path::PathBuf;

/// A token shorter than this is guessed rather than broken: one that others can guess at is refused.
const TOKEN_LENGTH_MIN: usize = 32;
/// No name is longer: strangers are told it, and tell theirs.
const NAME_LENGTH_MAX: usize = 64;
/// Where a daemon listens if nothing else is said.
pub(crate) const PORT: u16 = 7000;

/// This node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// The cluster's name, the same on every node.
    pub(crate) name: String,
    /// This node's number; it stays with the host for good.
    pub(crate) node: NodeId,
    /// This node's name, for people. By default `advertise_host`, or `node<id>` where several nodes share one host.
    pub(crate) node_name: String,
    /// Where the daemon listens.
    pub(crate) bind: Endpoint,
    /// Where the peers reach this node. By default `bind_host`, or the host's name if that is a wildcard.
    pub(crate) advertise_host: String,
    /// Witch's own state: the Raft log, the guard's socket, markers. Never inside the database's directory.
    pub(crate) data_dir: PathBuf,
    /// The secret that the nodes share, and that is sent to nobody. None only while the listener is loopback only.
    pub(crate) token: Option<Secret>,
}

impl Cluster {
    /// Where the peers reach this node's daemon.
    pub(crate) fn advertised(&self) -> Endpoint {
        Endpoint { host: self.advertise_host.clone(), port: self.bind.port }
    }
}

/// Reads the section.
pub(super) fn read(reading: &mut Reading, hostname: &str) -> Cluster {
    let name = reading.required("cluster.name", "give the cluster a name, the same on every node, for example name = \"main\"");
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        reading.fault("cluster.name", format!("`{name}` has other signs than letters, digits, `-`, `_` and `.`"), "choose a plainer name");
    }
    if name.len() > NAME_LENGTH_MAX {
        let rule = format!("has {} characters, and {NAME_LENGTH_MAX} are the most", name.len());
        reading.fault("cluster.name", rule, "choose a shorter name");
    }
    let node = read_node_id(reading);
    let node_name = reading.text("cluster.node_name").unwrap_or_default();
    let bind = read_bind(reading);
    let advertise_host = reading.text("cluster.advertise_host").unwrap_or_else(|| match is_wildcard(&bind.host) {
        true => hostname.to_string(),
        false => bind.host.clone(),
    });
    if is_wildcard(&advertise_host) {
        let rule = format!("`{advertise_host}` is no address that a peer could connect to");
        reading.fault("cluster.advertise_host", rule, "set it to this host's name or address as the other hosts know it");
    }
    let data_dir = PathBuf::from(read_data_dir(reading));
    if !data_dir.is_absolute() {
        let rule = format!("`{}` is relative, and would move with the directory that witch is started from", data_dir.display());
        reading.fault("cluster.data_dir", rule, "write the whole path, beginning with `/`");
    }
    if reading.flag("cluster.witness") {
        let rule = "this version of witch has no witnesses yet";
        reading.fault("cluster.witness", rule, "remove it, and give this node a database, or use three database nodes");
    }
    let token = read_token(reading, &bind.host);
    Cluster { name, node, node_name, bind, advertise_host, data_dir, token }
}

/// Witch's own folder.
pub(super) fn read_data_dir(reading: &mut Reading) -> String {
    reading.text_or("cluster.data_dir", "/var/lib/witch")
}

/// Where the daemon of this file listens.
pub(super) fn read_bind(reading: &mut Reading) -> Endpoint {
    let host = reading.text_or("cluster.bind_host", "0.0.0.0");
    Endpoint { host, port: reading.whole("cluster.bind_port", PORT, 1..=65535) }
}

fn read_node_id(reading: &mut Reading) -> NodeId {
    if !reading.is_set("cluster.node_id") {
        let fix = "number the nodes 1, 2, 3 ... and never give a number to another host";
        reading.fault("cluster.node_id", "is not set", fix);
    }
    NodeId(reading.whole("cluster.node_id", 0, 1..=i64::MAX as u64))
}

fn read_token(reading: &mut Reading, bind_host: &str) -> Option<Secret> {
    let wrong_already = reading.faults.len();
    let token = reading.secret("cluster.token");
    if reading.faults.len() > wrong_already || is_loopback(bind_host) && token.is_none() {
        return token;
    }
    match &token {
        None => reading.fault(
            "cluster.token",
            format!("is not set, and other hosts can reach {bind_host}: whoever can connect could be a node of the cluster"),
            "set cluster.token, or cluster.token_file, to one secret for all nodes, for example the output of `openssl rand -hex 32`; or \
             listen on this host alone with bind_host = \"127.0.0.1\"",
        ),
        Some(token) => check_token(reading, "cluster.token", token, !is_loopback(bind_host)),
    }
    token
}

/// What every token has to be; what others can guess at has to be long.
pub(super) fn check_token(reading: &mut Reading, key: &str, token: &Secret, others_can_guess: bool) {
    let fix = "use for example the output of `openssl rand -hex 32`";
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        reading.fault(key, "has a space, a line end or another sign that no HTTP header can hold", fix);
    } else if token.expose().len() < TOKEN_LENGTH_MIN {
        let rule = format!("has fewer than {TOKEN_LENGTH_MIN} characters");
        if others_can_guess {
            reading.fault(key, rule + ": whoever can connect could guess it", fix);
        } else {
            reading.warn(key, rule, fix);
        }
    }
}

/// Whether only this host can connect to a listener there.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether it means every address of the host.
pub(crate) fn is_wildcard(host: &str) -> bool {
    host == "*" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_wildcard_addresses_are_told_apart() {
        for host in ["127.0.0.1", "127.0.0.2", "::1", "localhost", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host) && !is_wildcard(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "*"] {
            assert!(is_wildcard(host) && !is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "db1", "127.example.org", ""] {
            assert!(!is_wildcard(host) && !is_loopback(host), "{host}");
        }
    }
}
