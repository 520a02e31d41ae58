//! On a real engine, so only where there is one: `make test-compose`.

use super::engine::docker;
use super::*;
use crate::live::{Cluster, Pid, Programs};
use std::net::TcpStream;
use std::process::Command;

/// Whether a client on this machine gets through to the daemon of a node.
fn client_reaches(hosts: &ComposeHosts, node: usize) -> bool {
    let (host, port) = &hosts.doors[node].http;
    TcpStream::connect_timeout(&format!("{host}:{port}").parse().unwrap(), Duration::from_millis(500)).is_ok()
}

/// The same from one node to another.
fn node_reaches(hosts: &ComposeHosts, from: usize, to: usize) -> bool {
    let init = hosts.nodes[from].init().unwrap().expect("the container runs");
    let knock = format!("timeout 0.5 bash -c '</dev/tcp/{}/7000'", hosts.doors[to].http.0);
    let knocked = Command::new("nsenter").args([&format!("--net=/proc/{init}/ns/net"), "sh", "-c", &knock]).status();
    knocked.unwrap().success()
}

fn way(from: Place, to: Place) -> Way {
    Way { from, to }
}

fn daemon_of(hosts: &ComposeHosts, node: usize) -> Option<Pid> {
    hosts.nodes[node].processes_of(Part::Daemon).unwrap().first().copied()
}

fn whatever_is_labelled() -> String {
    let label = format!("label=witch.chaos.owner={}", Pid::this());
    let list = |words: &[&str]| docker(&[words, &["--quiet", "--filter", &label]].concat()).unwrap();
    [&["ps", "--all"][..], &["network", "ls"], &["image", "ls"]].map(list).concat()
}

/// One cluster of two goes through all verbs; its daemons only have to listen.
#[tokio::test]
#[ignore = "needs root and a container engine: make test-compose"]
async fn every_verb_does_to_containers_what_it_says_and_nothing_of_them_stays() {
    let verbs = || {
        let programs = Programs::find(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/witch"))).unwrap();
        let hosts = ComposeHosts::prepare(&Cluster::builder(programs), 2).unwrap();
        let (one, two) = (Place::Node(0), Place::Node(1));
        hosts.start(0).unwrap();
        hosts.start(1).unwrap();
        assert!(hosts.start(0).is_err(), "it runs already");
        let listening = || node_reaches(&hosts, 0, 1) && node_reaches(&hosts, 1, 0) && client_reaches(&hosts, 0);
        let begun = super::super::now();
        while !listening() {
            assert!(super::super::now().since(begun) < Duration::from_secs(60), "the daemons do not listen");
        }

        hosts.cut(&[way(Place::Clients, one)]).unwrap();
        assert!(!client_reaches(&hosts, 0) && client_reaches(&hosts, 1) && node_reaches(&hosts, 1, 0));
        hosts.cut(&[way(one, two)]).unwrap();
        assert!(!node_reaches(&hosts, 0, 1));
        hosts.mend().unwrap();
        assert!(listening());
        if hosts.lacks(Verb::Slow).is_none() {
            hosts.slow(0, Some(Slowness { kbit_per_second: 1000, queue_ms: 100 })).unwrap();
            hosts.slow(0, None).unwrap();
        }

        let before = daemon_of(&hosts, 0).unwrap();
        hosts.stop(0, Part::Daemon).unwrap();
        hosts.resume(0, Part::Daemon).unwrap();
        assert_eq!(daemon_of(&hosts, 0), Some(before));
        hosts.restart_daemon(0).unwrap();
        assert_ne!(daemon_of(&hosts, 0), Some(before));
        hosts.kill(0, Part::Daemon).unwrap();
        hosts.await_daemon(0, false).unwrap();
        assert!(hosts.nodes[0].init().unwrap().is_some(), "the host outlives its daemon");
        assert!(hosts.empty(0, Folder::Witch).is_err(), "its guard runs");
        hosts.cut(&[way(one, two)]).unwrap();
        hosts.kill(0, Part::Everything).unwrap();
        assert!(!hosts.is_up(0));
        hosts.empty(0, Folder::Witch).unwrap();
        hosts.start(0).unwrap();
        assert!(!node_reaches(&hosts, 0, 1), "a host that boots comes back to the same cut");
        assert!(!whatever_is_labelled().is_empty());
        drop(hosts);
        assert_eq!(whatever_is_labelled(), "");
    };
    tokio::task::spawn_blocking(verbs).await.unwrap();
}
