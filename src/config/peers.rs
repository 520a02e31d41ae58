//! `[[peers]]`: the other nodes, as this file knows them.
//!
//! A peer is one of the *other* nodes. Files are often written once and copied, so a list that names this node as well is legal, if what it
//! says agrees with `[cluster]`; the node is then left out of the peers.

use super::cluster::{Cluster, PORT, is_loopback, is_wildcard};
use super::reading::Reading;
use actors::model::{Endpoint, NodeId};

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its number.
    pub(crate) node: NodeId,
    /// Its name; by default its host, or `node<id>` where several nodes share one host.
    pub(crate) name: String,
    /// Where its daemon listens.
    pub(crate) witch: Endpoint,
    /// Where its database listens; by default on the host of its daemon, at this node's `database.port`.
    pub(crate) database: Endpoint,
}

/// Every node of the file: the peers, and where this node's own record stood in the list.
pub(super) struct Peers {
    /// The others, by ascending number.
    pub(super) others: Vec<Peer>,
    /// This node, if the list names it.
    pub(super) own: Option<Peer>,
}

/// Reads the list; names may still be empty.
pub(super) fn read(reading: &mut Reading, cluster: &Cluster, database_port: u16) -> Peers {
    let count = reading.tables("peers");
    let listed = (0..count).map(|index| read_one(reading, &format!("peers[{index}]"), database_port)).collect::<Vec<_>>();
    for (index, peer) in listed.iter().enumerate() {
        let at = format!("peers[{index}]");
        refuse_twins(reading, &at, peer, &listed[..index]);
        if peer.node == cluster.node {
            compare_with_own(reading, &at, peer, cluster);
        } else {
            compare_with_other(reading, &at, peer, cluster);
        }
    }
    let (own, mut others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|peer| peer.node == cluster.node);
    others.sort_by_key(|peer| peer.node);
    if others.len() % 2 == 1 {
        let nodes = others.len() + 1;
        let rule = format!("{nodes} nodes bear no more failures than {} do, because more than half of them must agree", nodes - 1);
        reading.warn("peers", rule, "use an odd number of nodes: three, or five");
    }
    Peers { others, own: own.into_iter().next() }
}

/// Where the daemons of the list listen, for a client that wants to talk to any of them.
pub(super) fn read_endpoints(reading: &mut Reading) -> Vec<Endpoint> {
    (0..reading.tables("peers")).map(|index| read_witch(reading, &format!("peers[{index}]"))).collect()
}

fn read_witch(reading: &mut Reading, at: &str) -> Endpoint {
    let host = reading.required(&format!("{at}.host"), "name the host on which this peer's daemon listens");
    Endpoint { host, port: reading.whole(&format!("{at}.port"), PORT, 1..=65535) }
}

fn read_one(reading: &mut Reading, at: &str, database_port: u16) -> Peer {
    let node_key = format!("{at}.node_id");
    if !reading.is_set(&node_key) {
        reading.fault(&node_key, "is not set", "give the peer the number that its own file has as cluster.node_id");
    }
    let node = NodeId(reading.whole(&node_key, 0, 1..=i64::MAX as u64));
    let name = reading.text(&format!("{at}.name")).unwrap_or_default();
    let witch = read_witch(reading, at);
    if is_wildcard(&witch.host) {
        let rule = format!("`{}` is no address that one could connect to", witch.host);
        reading.fault(&format!("{at}.host"), rule, "set it to the peer's name or address");
    }
    let host = reading.text_or(&format!("{at}.db_host"), &witch.host);
    let database = Endpoint { host, port: reading.whole(&format!("{at}.db_port"), database_port, 1..=65535) };
    let witness = format!("{at}.witness");
    if reading.flag(&witness) {
        reading.fault(&witness, "this version of witch has no witnesses yet", "remove it, and use three database nodes");
    }
    Peer { node, name, witch, database }
}

fn refuse_twins(reading: &mut Reading, at: &str, peer: &Peer, earlier: &[Peer]) {
    for other in earlier {
        if peer.node.0 != 0 && peer.node == other.node {
            let rule = format!("two peers have the number {}", peer.node);
            reading.fault(&format!("{at}.node_id"), rule, "give each node a number of its own");
        }
        if !peer.name.is_empty() && peer.name == other.name {
            reading.fault(&format!("{at}.name"), format!("two peers have the name `{}`", peer.name), "give each node a name of its own");
        }
        if !peer.witch.host.is_empty() && peer.witch == other.witch && peer.node != other.node {
            let rule = format!("peers {} and {} both have the address {}", other.node, peer.node, peer.witch);
            reading.fault(&format!("{at}.host"), rule, "give each peer its own host or port");
        }
        if !peer.database.host.is_empty() && peer.database == other.database && peer.witch != other.witch {
            let rule = format!("the databases of peers {} and {} both have the address {}", other.node, peer.node, peer.database);
            reading.fault(&format!("{at}.db_port"), rule, "give each database its own host or port");
        }
    }
}

fn compare_with_own(reading: &mut Reading, at: &str, peer: &Peer, cluster: &Cluster) {
    if peer.witch != cluster.advertised() {
        let rule =
            format!("this is node {} itself, and here it has the address {}, in [cluster] {}", peer.node, peer.witch, cluster.advertised());
        reading.fault(
            &format!("{at}.host"),
            rule,
            "remove this entry, or make cluster.advertise_host and cluster.bind_port the same as here; check that cluster.node_id is right",
        );
    }
    if !peer.name.is_empty() && !cluster.node_name.is_empty() && peer.name != cluster.node_name {
        let rule =
            format!("this is node {} itself, and here it has the name `{}`, in [cluster] `{}`", peer.node, peer.name, cluster.node_name);
        reading.fault(&format!("{at}.name"), rule, "remove this entry, or make the names the same");
    }
}

fn compare_with_other(reading: &mut Reading, at: &str, peer: &Peer, cluster: &Cluster) {
    if peer.witch == cluster.advertised() {
        let rule = format!("{} is the address of this node, which has the number {}", peer.witch, cluster.node);
        reading.fault(&format!("{at}.host"), rule, "set it to the peer's address, or correct cluster.node_id");
    }
    if !peer.name.is_empty() && peer.name == cluster.node_name {
        let rule = format!("`{}` is the name of this node, which has the number {}", peer.name, cluster.node);
        reading.fault(&format!("{at}.name"), rule, "give each node a name of its own");
    }
    if is_loopback(&cluster.bind.host) && !peer.witch.host.is_empty() && !is_loopback(&peer.witch.host) {
        let rule = format!("peer {} is on another host, and cannot connect to {}", peer.node, cluster.bind.host);
        reading.fault("cluster.bind_host", rule, "set bind_host to an address that the peers can reach, or leave it out");
    }
}

/// Gives names to the nodes that have none: their host, or `node<id>` where a host has several nodes. Every file of a cluster that names
/// the same hosts comes to the same names.
pub(super) fn name_the_nameless(cluster: &mut Cluster, peers: &mut Peers) {
    let hosts = peers.others.iter().map(|peer| peer.witch.host.clone()).chain([cluster.advertise_host.clone()]).collect::<Vec<_>>();
    let default = |host: &str, node: NodeId| match hosts.iter().filter(|other| *other == host).count() {
        0 | 1 => host.to_string(),
        _ => format!("node{node}"),
    };
    if cluster.node_name.is_empty() {
        let listed = peers.own.as_ref().map(|peer| peer.name.clone()).filter(|name| !name.is_empty());
        cluster.node_name = listed.unwrap_or_else(|| default(&cluster.advertise_host, cluster.node));
    }
    for peer in &mut peers.others {
        if peer.name.is_empty() {
            peer.name = default(&peer.witch.host, peer.node);
        }
    }
}
