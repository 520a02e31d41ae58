//! What a fault can be done with: the hosts of one cluster, whatever they are made of.
//!
//! A fault script is data and knows nothing of namespaces or containers; it is carried out through these verbs, and each back end promises the
//! same of them. Nodes count from 0. Every verb is plain blocking code that ends within seconds by itself (the caller gives it a thread of
//! its own), may be called from any thread, and asks no leave of Witch. A verb that finds nothing to do because the fault itself took it
//! away (a process that died meanwhile) is an error with its reason: the nemesis writes it down and goes on.

use super::Target;
use actors::model::NodeId;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Where the clients, the nemesis included, find one node; these ways must hold for the whole life of the hosts.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its number in the configuration.
    pub id: NodeId,
    /// Its name in the configuration.
    pub name: String,
    /// Where its daemon listens for HTTP, as seen from here.
    pub http: (String, u16),
    /// The token for requests that change something.
    pub token: String,
    /// Its database, as seen from here.
    pub target: Target,
}

/// Some processes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// One process of the database server that serves a client. Only to be killed: the server then recovers by itself, with a postmaster that lives on.
    Backend,
    /// The database server. To kill it is to kill its postmaster, as the kernel does when memory runs out; to stop it is to stop all of its
    /// processes.
    Server,
    /// The daemon alone.
    Daemon,
    /// The guard alone.
    Guard,
    /// All of the node's processes at once, as by a power cut. What is on its disks stays.
    Everything,
}

/// One direction of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Packets of this place ...
    pub from: Place,
    /// ... to this one.
    pub to: Place,
}

/// The end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A node.
    Node(usize),
    /// Where the clients are.
    Clients,
}

/// A slow cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowness {
    /// So much gets through in each direction.
    pub kbit_per_second: u32,
    /// What waits longer than this is dropped.
    pub queue_ms: u32,
}

/// A folder of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Folder {
    /// PostgreSQL's data directory.
    Database,
    /// Witch's own, `cluster.data_dir`.
    Witch,
}

/// How the disk below a folder behaves, for every process of the node that writes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Every write that needs space fails with ENOSPC.
    pub full: bool,
    /// Every fsync takes so much longer.
    pub sync_ms: u32,
}

/// Work that takes processor and memory away from the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// Busy processes at ordinary priority.
    pub processes: u32,
    /// Memory that one more process walks through all the time.
    pub memory_mib: u32,
    /// It ends by itself after so many seconds, whatever becomes of us.
    pub seconds: u32,
}

/// What not every back end can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `cut` and `mend`.
    Cut,
    /// `slow`.
    Slow,
    /// `set_clock`.
    SetClock,
    /// `set_disk`.
    SetDisk,
    /// `press`.
    Press,
}

/// The hosts of one running cluster. All that they are made of (processes, networks, mounts, files) is gone after the drop.
pub trait Hosts: Send + Sync + fmt::Debug {
    /// What they are, for the report: "network namespaces", "docker-compose".
    fn kind(&self) -> &'static str;

    /// One door for each node, in the order of their numbers.
    fn doors(&self) -> Vec<Door>;

    /// Why this back end cannot do something here; None if it can. Faults that want it are then left out of the schedule, and that is told.
    fn lacks(&self, verb: Verb) -> Option<String>;

    /// Boots a node: starts its daemon. An error if the daemon runs already.
    fn start(&self, node: usize) -> Result<()>;

    /// SIGKILL. When this returns the processes are gone or dying; none of them runs another instruction of its own.
    fn kill(&self, node: usize, part: Part) -> Result<()>;

    /// SIGSTOP.
    fn stop(&self, node: usize, part: Part) -> Result<()>;

    /// SIGCONT to whatever of it is still there. That nothing is there is no error.
    fn resume(&self, node: usize, part: Part) -> Result<()>;

    /// Ends the daemon by SIGUSR1, so that it leaves the database to the guard, waits until it is gone, and starts it anew, as
    /// `systemctl restart` does.
    fn restart_daemon(&self, node: usize) -> Result<()>;

    /// Removes all that is in a folder, not the folder itself. Nothing of the node may run.
    fn empty(&self, node: usize, folder: Folder) -> Result<()>;

    /// Swallows the packets of these ways silently, in addition to what is cut already. Ways that are not named go on working.
    fn cut(&self, ways: &[Way]) -> Result<()>;

    /// Mends every way that `cut` cut.
    fn mend(&self) -> Result<()>;

    /// Makes everything slow that a node sends and receives; None makes it fast again.
    fn slow(&self, node: usize, slowness: Option<Slowness>) -> Result<()>;

    /// Sets the time of day of all processes of a node to so many seconds beside the true one. The clocks by which Witch measures leases stay.
    fn set_clock(&self, node: usize, seconds: i64) -> Result<()>;

    /// Makes the disk below a folder behave so from now on; the default is a healthy one.
    fn set_disk(&self, node: usize, folder: Folder, disk: Disk) -> Result<()>;

    /// Takes processor and memory away until `relieve`.
    fn press(&self, node: usize, pressure: Pressure) -> Result<()>;

    /// Ends what `press` began on a node. That nothing is left of it is no error.
    fn relieve(&self, node: usize) -> Result<()>;

    /// Whether the daemon of a node runs; a stopped one runs.
    fn is_up(&self, node: usize) -> bool;

    /// Copies the logs of all nodes, one file a node, for whoever has to explain a failure.
    fn save_logs(&self, folder: &Path) -> Result<()>;
}
