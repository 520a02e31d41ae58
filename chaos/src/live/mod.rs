//! Real daemons, real PostgreSQL servers, real faults, on one machine.
//!
//! `Cluster` starts and ends the processes, `Node` hurts one of them, `Writer` and `SplitBrainWatch` are the clients that remember, and
//! `Network` gives every node a host of its own where a cable must be cut. Everything that is started is ended again on drop, also when a
//! test panics; what a killed run left behind is swept away by the next one.

mod clock;
mod cluster;
mod compose;
mod config_file;
mod faults;
mod host_shim;
mod hosts;
mod http;
mod incident;
mod namespaces;
mod network;
mod node;
mod ports;
mod pressure;
mod process;
mod programs;
pub mod rootless;
mod scratch;
mod shared_memory;
mod split_brain;
pub(crate) mod sql;
mod unprivileged;
mod usage;
mod writer;

pub use clock::now;
pub use cluster::{Builder, Cluster};
pub use compose::ComposeHosts;
pub use config_file::ConfigFile;
pub use faults::{Fault, ScriptError};
pub use host_shim::HostShim;
pub use hosts::{Disk, Door, Folder, Hosts, Part, Place, Pressure, Slowness, Verb, Way};
pub use http::{Answer, request};
pub use incident::{Incident, Look};
pub use namespaces::NamespaceHosts;
pub use network::{Cut, Network, Route};
pub use node::Node;
pub use process::Pid;
pub use programs::Programs;
pub use split_brain::SplitBrainWatch;
pub use sql::{DatabaseFacts, Target};
pub use unprivileged::Identity;
pub use usage::Usage;
pub use writer::Writer;
