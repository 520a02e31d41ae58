//! The cables between containers: all packets pass the engine's bridge, and a table of nftables on it swallows those of the ways that are cut.
//!
//! The table holds pairs of addresses and no connections, so each direction is cut by itself, silently, and a container that is started anew
//! comes back to the same cut.

use super::super::hosts::{Place, Slowness, Way};
use super::super::process::{self, Pid};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Command, Stdio};

const PREFIX: &str = "witch_chaos_";
/// Where the clients are: the bridge itself.
const GATEWAY: u8 = 254;

/// The cables of one cluster; all are whole after the drop.
#[derive(Debug)]
pub(super) struct Wiring {
    subnet: u8,
    table: String,
}

impl Wiring {
    /// Takes the cables in hand. The error says what this machine lacks.
    pub(super) fn create(subnet: u8) -> Result<Self> {
        sweep();
        let wiring = Self { subnet, table: format!("{PREFIX}{}_{subnet}", Pid::this()) };
        let chain =
            |name: &str| format!("chain {name} {{ type filter hook {name} priority 0; policy accept; ip saddr . ip daddr @cuts drop; }}\n");
        let chains: String = ["forward", "input", "output"].map(chain).concat();
        nft(&format!("table bridge {} {{\nset cuts {{ type ipv4_addr . ipv4_addr; }}\n{chains}}}\n", wiring.table))?;
        Ok(wiring)
    }

    /// The address of a place.
    pub(super) fn address_of(&self, place: Place) -> Result<String> {
        let last = match place {
            Place::Node(node) => u8::try_from(node + 1).context("a cluster has few nodes")?,
            Place::Clients => GATEWAY,
        };
        Ok(format!("10.212.{}.{last}", self.subnet))
    }

    /// Cuts, in addition to what is cut already.
    pub(super) fn sever(&self, ways: &[Way]) -> Result<()> {
        if ways.is_empty() {
            return Ok(());
        }
        let pairs = ways.iter().map(|way| Ok(format!("{} . {}", self.address_of(way.from)?, self.address_of(way.to)?)));
        let pairs = pairs.collect::<Result<Vec<_>>>()?.join(", ");
        nft(&format!("add element bridge {} cuts {{ {pairs} }}\n", self.table))
    }

    /// Mends every cable.
    pub(super) fn heal(&self) -> Result<()> {
        nft(&format!("flush set bridge {} cuts\n", self.table))
    }
}

impl Drop for Wiring {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        drop(nft(&format!("delete table bridge {}\n", self.table)));
    }
}

/// Slows both directions of the cable of a container, whose process 1 is `init`, or makes it fast again. It lasts as long as the container runs.
pub(super) fn slow(init: Pid, slowness: Option<Slowness>) -> Result<()> {
    let inside = ["nsenter".to_owned(), format!("--net=/proc/{init}/ns/net")];
    let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
    let shown = run(&[&inside[..], &["ip", "-oneline", "link", "show", "eth0"]].concat())?;
    let peer = peer_index(&shown).with_context(|| format!("cannot tell the far end of eth0 from: {shown}"))?;
    let here = run(&["ip", "-oneline", "link", "show"])?;
    let port =
        name_of_index(&here, peer).with_context(|| format!("there is no interface {peer} here; run this on the engine's network"))?;
    for (prefix, interface) in [(&inside[..], "eth0"), (&[][..], port)] {
        match slowness {
            Some(Slowness { kbit_per_second, queue_ms }) => {
                let (rate, latency) = (format!("{kbit_per_second}kbit"), format!("{queue_ms}ms"));
                let words = ["tc", "qdisc", "replace", "dev", interface, "root", "tbf", "rate", &rate, "burst", "4kb", "latency", &latency];
                run(&[prefix, &words[..]].concat())?;
            }
            // There is none, if this fails: it is taken away without being asked whether it is there.
            None => drop(run(&[prefix, &["tc", "qdisc", "del", "dev", interface, "root"][..]].concat())),
        }
    }
    Ok(())
}

/// `5: eth0@if6: <BROADCAST...` has 6 as its far end.
fn peer_index(shown: &str) -> Option<u32> {
    let name = shown.split(": ").nth(1)?;
    name.split_once("@if")?.1.parse().ok()
}

/// The name in `6: veth12ab@if5: <BROADCAST...`.
fn name_of_index(shown: &str, index: u32) -> Option<&str> {
    let mut lines = shown.lines().filter_map(|line| line.split_once(": "));
    let (_, rest) = lines.find(|(number, _)| number.parse() == Ok(index))?;
    rest.split([':', '@']).next()
}

/// A third number that no route of this network uses.
pub(super) fn free_subnet() -> Result<u8> {
    let routes = run(&["ip", "route", "show", "table", "all"])?;
    let start = u8::try_from(Pid::this().as_raw() % 200)?;
    let mut candidates = (0..=u8::MAX).map(|offset| start.wrapping_add(offset));
    candidates.find(|subnet| !routes.contains(&format!("10.212.{subnet}."))).context("every network 10.212.x.0/24 is in use")
}

/// Removes the tables of processes that are gone.
fn sweep() {
    let listed = run(&["nft", "list", "tables", "bridge"]).unwrap_or_default();
    for table in listed.split_whitespace().filter(|word| word.starts_with(PREFIX)) {
        let owner = table.trim_start_matches(PREFIX).split('_').next().and_then(|owner| owner.parse().ok());
        if owner.is_some_and(|owner| !process::is_alive(Pid::from_raw(owner))) {
            drop(nft(&format!("delete table bridge {table}\n")));
        }
    }
}

/// Carries out all of a script, or nothing.
fn nft(script: &str) -> Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run `nft`; install nftables")?;
    child.stdin.take().context("nft has an input")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "nft refuses `{}`: {}", script.trim(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn run(words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("a command has a first word")?;
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_end_of_a_cable_is_read_from_what_ip_shows() {
        let shown =
            "5: eth0@if6: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default \\    link/ether 02:42\n";
        assert_eq!(peer_index(shown), Some(6));
        assert_eq!(peer_index("1: lo: <LOOPBACK,UP> mtu 65536"), None);
        let here = "1: lo: <LOOPBACK,UP> mtu 65536\n6: veth12ab@if5: <BROADCAST> mtu 1500\n16: br-1: <BROADCAST> mtu 1500\n";
        assert_eq!((name_of_index(here, 6), name_of_index(here, 16), name_of_index(here, 7)), (Some("veth12ab"), Some("br-1"), None));
    }
}
