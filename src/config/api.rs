//! `[api]`: who may command this node over the network. Over the Unix socket in `cluster.data_dir` no key is needed.

use super::cluster::{self, Cluster};
use super::reading::Reading;
use super::secret::Secret;
use std::path::{Path, PathBuf};

/// The commands of this host, and of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Api {
    /// What a change over the network has to show. None: no change is taken there.
    pub(crate) token: Option<Secret>,
    /// Further names that a request may call this node by.
    pub(crate) hosts: Vec<String>,
}

/// The Unix socket over which root and witch's own user command this node.
pub(crate) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("api.sock")
}

/// Reads the section.
pub(super) fn read(reading: &mut Reading, cluster: &Cluster) -> Api {
    let wrong_already = reading.faults.len();
    let token = reading.secret("api.token");
    if reading.faults.len() == wrong_already
        && let Some(token) = &token
    {
        if cluster.token.as_ref() == Some(token) {
            let rule = "is the secret of the nodes, cluster.token: whoever overhears one command would be a node";
            reading.fault("api.token", rule, "set it to another secret, for example the output of `openssl rand -hex 32`");
        } else {
            cluster::check_token(reading, "api.token", token, true);
        }
    }
    let hosts = reading.list("api.hosts").unwrap_or_default();
    for host in hosts.iter().filter(|host| host.parse::<std::net::IpAddr>().is_err() && actors::api::access::named(host).is_none()) {
        reading.fault(
            "api.hosts",
            format!("`{host}` is neither a name nor an address"),
            "write names such as \"db1.example.org\", without a scheme",
        );
    }
    Api { token, hosts }
}
