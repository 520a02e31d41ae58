//! A host for each node: a network namespace with an address of its own, and a switch in the middle whose cables can be cut.
//!
//! ```text
//!   n1 10.211.S.1 ---\
//!   n2 10.211.S.2 ----[ switch ]---- 10.211.S.254: this machine, where the clients are
//!   n3 10.211.S.3 ---/
//! ```
//!
//! The switch is a namespace too, and it routes: there is no bridge, and nothing passes the machine's own firewall tables, which on a
//! host with a container engine drop what they do not know. A cut is a routing rule in the switch that swallows packets from one address
//! to another, so each direction of each pair is cut by itself, silently, as by a cable; nobody gets an ICMP answer.
//! Needs `ip` (iproute2), and root or what `rootless` makes of an ordinary user.

use super::hosts::{Place, Slowness, Way};
use super::process::{self, Pid};
use super::rootless;
use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// The far end of every cable, on the switch: an address that only has to answer ARP.
const GATEWAY: &str = "169.254.211.1";
const NAMESPACE_PREFIX: &str = "witch-live-";
/// This machine's own place on the network.
const CLIENTS: usize = 253;

/// One direction from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    from: usize,
    to: usize,
}

/// What a cut separates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The node from all others and from the clients: its cable is out.
    FromEverybody,
    /// The node from the other nodes, while clients still reach it: the worst case for a split brain.
    FromPeers,
    /// The node can hear the other nodes, and they do not hear it.
    Mute,
    /// The other nodes hear it, and it hears nothing of them.
    Deaf,
    /// Two nodes from each other, while both reach the third.
    Pair(usize),
}

/// The namespaces of one cluster; they are gone after the drop.
#[derive(Debug)]
pub struct Network {
    /// The third number of the addresses; unique among the networks on this machine.
    subnet: u8,
    nodes: usize,
    cuts: Mutex<BTreeSet<Route>>,
}

impl Network {
    /// Lays the cables for so many nodes. The error says what this machine lacks.
    pub fn create(nodes: usize) -> Result<Self> {
        ensure!(
            geteuid().is_root() || rootless::entered(),
            "network namespaces need root; run this as root, or do without the faults that cut cables"
        );
        run("ip", &["-Version"]).context("the program `ip` is missing; install iproute2")?;
        sweep();
        let network = Self { subnet: free_subnet()?, nodes, cuts: Mutex::default() };
        network
            .lay()
            .context("this machine does not let us make network namespaces; in a container that takes CAP_SYS_ADMIN and CAP_NET_ADMIN")?;
        Ok(network)
    }

    /// All addresses.
    fn subnet(&self) -> String {
        format!("10.211.{}.0/24", self.subnet)
    }

    /// The address of a node; nodes count from 0.
    #[must_use]
    pub fn address_of(&self, node: usize) -> String {
        format!("10.211.{}.{}", self.subnet, node + 1)
    }

    /// The namespace of a node.
    #[must_use]
    pub fn namespace_of(&self, node: usize) -> String {
        format!("{}n{}", self.prefix(), node + 1)
    }

    /// Cuts, in addition to what is cut already.
    pub fn cut(&self, node: usize, cut: Cut) -> Result<()> {
        let peers = || (0..self.nodes).filter(move |&peer| peer != node);
        let out = |to: usize| Route { from: node, to };
        let back = |from: usize| Route { from, to: node };
        let routes: Vec<Route> = match cut {
            Cut::FromEverybody => peers().chain([CLIENTS]).flat_map(|peer| [out(peer), back(peer)]).collect(),
            Cut::FromPeers => peers().flat_map(|peer| [out(peer), back(peer)]).collect(),
            Cut::Mute => peers().map(out).collect(),
            Cut::Deaf => peers().map(back).collect(),
            Cut::Pair(peer) => vec![out(peer), back(peer)],
        };
        self.swallow(routes)
    }

    /// Cuts single ways, in addition to what is cut already.
    pub fn sever(&self, ways: &[Way]) -> Result<()> {
        let number = |place: Place| match place {
            Place::Node(node) => node,
            Place::Clients => CLIENTS,
        };
        self.swallow(ways.iter().map(|way| Route { from: number(way.from), to: number(way.to) }))
    }

    fn swallow(&self, routes: impl IntoIterator<Item = Route>) -> Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        for route in routes {
            if cuts.insert(route) {
                self.rule("add", route)?;
            }
        }
        Ok(())
    }

    /// Puts a narrow bucket on both ends of a node's cable, or takes it away.
    pub fn slow(&self, node: usize, slowness: Option<Slowness>) -> Result<()> {
        let (namespace, switch, port) = (self.namespace_of(node), self.switch(), format!("port{}", node + 1));
        for (namespace, interface) in [(&namespace, "eth0"), (&switch, port.as_str())] {
            match slowness {
                Some(Slowness { kbit_per_second, queue_ms }) => {
                    let (rate, latency) = (format!("{kbit_per_second}kbit"), format!("{queue_ms}ms"));
                    let bucket = ["tbf", "rate", &rate, "burst", "4kb", "latency", &latency];
                    run("tc", &[&["-n", namespace, "qdisc", "replace", "dev", interface, "root"], &bucket[..]].concat())?;
                }
                // There is none, if this fails: it is taken away without being asked whether it is there.
                None => drop(run("tc", &["-n", namespace, "qdisc", "del", "dev", interface, "root"])),
            }
        }
        Ok(())
    }

    /// Whether this kernel has the bucket at all.
    pub(super) fn try_slowness(&self) -> Result<()> {
        self.slow(0, Some(Slowness { kbit_per_second: 1000, queue_ms: 100 }))?;
        self.slow(0, None)
    }

    /// Mends every cable.
    pub fn heal(&self) -> Result<()> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(route) = cuts.pop_first() {
            self.rule("del", route)?;
        }
        Ok(())
    }

    fn rule(&self, verb: &str, route: Route) -> Result<()> {
        let (from, to) = (self.address_of(route.from), self.address_of(route.to));
        run("ip", &["-n", &self.switch(), "rule", verb, "from", &from, "to", &to, "blackhole", "pref", "100"])
    }

    fn prefix(&self) -> String {
        format!("{NAMESPACE_PREFIX}{}-{}-", Pid::this(), self.subnet)
    }

    fn switch(&self) -> String {
        format!("{}switch", self.prefix())
    }

    /// The name of the client's end of its cable. Interface names are short.
    fn client_interface(&self) -> String {
        format!("witch{}", self.subnet)
    }

    fn lay(&self) -> Result<()> {
        let switch = self.switch();
        run("ip", &["netns", "add", &switch])?;
        run("ip", &["-n", &switch, "link", "set", "lo", "up"])?;
        run("ip", &["netns", "exec", &switch, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        for node in 0..self.nodes {
            let namespace = self.namespace_of(node);
            run("ip", &["netns", "add", &namespace])?;
            run("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
            self.plug(node, &["-n", &namespace], "eth0", "default")?;
        }
        self.plug(CLIENTS, &[], &self.client_interface(), &self.subnet())
    }

    /// One cable from the switch to a place.
    fn plug(&self, place: usize, there: &[&str], interface: &str, reaches: &str) -> Result<()> {
        let (switch, address, port) = (self.switch(), self.address_of(place), format!("port{}", place + 1));
        let at = |words: &[&str]| run("ip", &[there, words].concat());
        let here = |words: &[&str]| run("ip", &[&["-n", &switch], words].concat());
        at(&["link", "add", interface, "type", "veth", "peer", "name", &port, "netns", &switch])?;
        at(&["addr", "add", &format!("{address}/32"), "dev", interface])?;
        at(&["link", "set", interface, "up"])?;
        here(&["addr", "add", &format!("{GATEWAY}/32"), "dev", &port])?;
        here(&["link", "set", &port, "up"])?;
        here(&["route", "add", &format!("{address}/32"), "dev", &port])?;
        at(&["route", "add", reaches, "via", GATEWAY, "dev", interface, "onlink", "src", &address])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.prefix());
    }
}

/// Removes every namespace whose name begins so; the cables go with them.
fn remove(prefix: &str) {
    for namespace in namespaces().iter().filter(|name| name.starts_with(prefix)) {
        // What cannot be removed now is swept by the next run.
        drop(run("ip", &["netns", "del", namespace]));
    }
}

/// Removes what processes left behind that are gone.
fn sweep() {
    for name in namespaces() {
        let owner = name.strip_prefix(NAMESPACE_PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|owner| !process::is_alive(Pid::from_raw(owner))) {
            remove(&name);
        }
    }
}

fn namespaces() -> Vec<String> {
    let listed = Command::new("ip").args(["netns", "list"]).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A third number that no interface of this machine and no network of this process uses.
fn free_subnet() -> Result<u8> {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let start = u8::try_from(Pid::this().as_raw() % 200)?;
    let routes = Command::new("ip").args(["route", "show", "table", "all"]).output().context("cannot list the routes")?.stdout;
    let routes = String::from_utf8_lossy(&routes).into_owned();
    for _ in 0..=u8::MAX {
        let subnet = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        if !routes.contains(&format!("10.211.{subnet}.")) {
            return Ok(subnet);
        }
    }
    bail!("every network 10.211.x.0/24 is in use")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    let command = || format!("{program} {}", arguments.join(" "));
    ensure!(output.status.success(), "`{}` failed: {}", command(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a packet from one node gets to another and an answer comes back: a closed port refuses at once, a cut cable says nothing.
    fn reaches(network: &Network, from: usize, to: usize) -> bool {
        let knock = format!("timeout 0.5 bash -c '</dev/tcp/{}/1'; test $? -ne 124", network.address_of(to));
        run("ip", &["netns", "exec", &network.namespace_of(from), "sh", "-c", &knock]).is_ok()
    }

    #[test]
    fn a_cut_separates_what_it_names_and_healing_mends_it() {
        if !geteuid().is_root() {
            eprintln!("not run: network namespaces need root");
            return;
        }
        // Root in a container may lack the right to make them.
        let network = match Network::create(3) {
            Err(error) if std::env::var_os("WITCH_TEST_REQUIRE_NETWORK").is_none() => return eprintln!("not run: {error:#}"),
            network => network.unwrap(),
        };
        assert!(reaches(&network, 0, 1) && reaches(&network, 1, 2) && reaches(&network, 2, 0));
        network.cut(0, Cut::FromPeers).unwrap();
        assert!(!reaches(&network, 0, 1) && !reaches(&network, 2, 0) && reaches(&network, 1, 2));
        network.heal().unwrap();
        assert!(reaches(&network, 0, 1) && reaches(&network, 2, 0));
        network.cut(1, Cut::Pair(2)).unwrap();
        network.cut(1, Cut::Mute).unwrap();
        assert!(!reaches(&network, 1, 2) && !reaches(&network, 1, 0) && reaches(&network, 0, 2));
        network.heal().unwrap();
        network.sever(&[Way { from: Place::Node(0), to: Place::Node(1) }]).unwrap();
        assert!(!reaches(&network, 0, 1) && reaches(&network, 1, 2) && reaches(&network, 0, 2));
        let prefix = network.prefix();
        drop(network);
        assert!(!namespaces().iter().any(|name| name.starts_with(&prefix)), "namespaces were left behind");
    }
}
