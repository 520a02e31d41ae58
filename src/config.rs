//! The file `witch.toml`, with the environment above it.
//!
//! Every key can also be given as `WITCH_SECTION__KEY`, and every key of a peer as `WITCH_PEERS__<node_id>__KEY`. Everything that is wrong
//! is reported at once, each with its place, the rule and the fix. A relative `*_file` starts at the folder of the configuration file.
//!
//! What this module does not do: it starts nothing, and it decides nothing that the cluster could decide.

mod absent;
mod api;
mod cluster;
mod contact;
mod database;
mod fault;
mod hazards;
mod layers;
mod lines;
mod log;
mod peers;
mod programs;
mod reading;
mod secret;
mod tags;
#[cfg(test)]
mod tests;
pub(crate) mod timing;

pub(crate) use api::{Api, socket};
pub(crate) use cluster::{Cluster, PORT};
pub(crate) use contact::Contact;
pub(crate) use database::{Database, Postgres};
pub(crate) use fault::{Fault, Invalid, Place};
pub(crate) use log::Log;
pub(crate) use peers::Peer;
pub(crate) use reading::Setting;
pub(crate) use secret::Secret;
pub(crate) use timing::{Failover, Raft};

use actors::model::{Endpoint, Member, RaftId, Tags};
use reading::Reading;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that is read if none is named.
pub(crate) const DEFAULT_FILE: &str = "witch.toml";

/// Everything that a node is told by its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// This node.
    pub(crate) cluster: Cluster,
    /// How Witch enters its own database.
    pub(crate) database: Database,
    /// The PostgreSQL server.
    pub(crate) postgres: Postgres,
    /// The other nodes, by ascending number.
    pub(crate) peers: Vec<Peer>,
    /// Where the standbys reach this node's database when it is the primary.
    pub(crate) database_advertised: Endpoint,
    /// Raft's times.
    pub(crate) raft: Raft,
    /// Health checks, time limits and the lease.
    pub(crate) failover: Failover,
    /// What the operator says of this node's database.
    pub(crate) tags: Tags,
    /// Who may command it.
    pub(crate) api: Api,
    /// The daemon's log.
    pub(crate) log: Log,
}

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// It.
    pub(crate) config: Config,
    /// What is doubtful about it.
    pub(crate) warnings: Vec<Fault>,
    /// Why no daemon runs with it although nothing is wrong with the values: others know its secrets.
    pub(crate) hazards: Vec<Fault>,
    /// Each value in force and where it comes from, secrets hidden.
    pub(crate) settings: Vec<Setting>,
}

/// What a configuration depends upon besides its file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// The environment variables that are named like keys: `WITCH_SECTION__KEY`.
    pub(crate) variables: BTreeMap<String, String>,
    /// This host's name.
    pub(crate) hostname: String,
}

impl Surroundings {
    /// Those of this process. A variable that is not Unicode cannot be a legal value, and is left out.
    pub(crate) fn of_process() -> Self {
        let named_like_a_key = |name: &String| name.starts_with("WITCH_") && name.contains("__");
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok().filter(named_like_a_key)?, value.into_string().ok()?)))
            .collect();
        let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".into());
        Self { variables, hostname }
    }
}

/// The file that `--config` names, or else the default.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Where.
    pub(crate) path: PathBuf,
    /// Somebody named it, so it must exist. The default may be absent where the environment says everything.
    pub(crate) named: bool,
}

impl Source {
    /// From the command line.
    pub(crate) fn new(named: Option<PathBuf>) -> Self {
        let is_named = named.is_some();
        Self { path: named.unwrap_or_else(|| DEFAULT_FILE.into()), named: is_named }
    }

    fn open(&self, surroundings: &Surroundings) -> Result<Reading, Invalid> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !self.named && !surroundings.variables.is_empty() => String::new(),
            Err(error) => {
                let fix = "name the file with --config FILE, run witch in the folder that has it, or, to ask a cluster, name a node with --node HOST:PORT";
                let fault = Fault { place: Place::Nowhere, key: String::new(), rule: format!("cannot read it: {error}"), fix: fix.into() };
                return Err(Invalid { file: self.path.clone(), faults: vec![fault] });
            }
        };
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        let reading = Reading::new(&text, folder, surroundings);
        // A file that is no TOML would bring an error for every key that is missing then.
        if reading.faults.iter().any(|fault| fault.key.is_empty()) {
            return Err(Invalid { file: self.path.clone(), faults: reading.faults });
        }
        Ok(reading)
    }
}

impl Config {
    /// Every member that the file names, this node included.
    pub(crate) fn members(&self) -> Vec<Member> {
        let own = Member {
            node: self.cluster.node,
            raft_id: RaftId(0),
            name: self.cluster.node_name.clone(),
            witch: self.cluster.advertised(),
            database: self.database_advertised.clone(),
            witness: false,
        };
        let others = self.peers.iter().map(|peer| Member {
            node: peer.node,
            raft_id: RaftId(0),
            name: peer.name.clone(),
            witch: peer.witch.clone(),
            database: peer.database.clone(),
            witness: false,
        });
        let mut members: Vec<_> = std::iter::once(own).chain(others).collect();
        members.sort_by_key(|member| member.node);
        members
    }

    /// Reads and checks the whole configuration.
    pub(crate) fn load(source: &Source, surroundings: &Surroundings) -> Result<Loaded, Invalid> {
        let mut reading = source.open(surroundings)?;
        let config = Self::read(&mut reading, &surroundings.hostname);
        reading.refuse_unknown_keys();
        if !reading.faults.is_empty() {
            let mut faults = reading.faults;
            faults.sort_by_key(|fault| if let Place::Line(line) = fault.place { line } else { 0 });
            return Err(Invalid { file: source.path.clone(), faults });
        }
        let hazards = hazards::find(&reading.secrets, &source.path);
        Ok(Loaded { config, warnings: reading.warnings, hazards, settings: reading.settings })
    }

    fn read(reading: &mut Reading, hostname: &str) -> Self {
        let mut cluster = cluster::read(reading, hostname);
        let database = database::read_database(reading);
        let postgres = database::read_postgres(reading, &cluster);
        database::validate(reading, &database, &postgres);
        let mut peers = peers::read(reading, &cluster, database.port);
        peers::name_the_nameless(&mut cluster, &mut peers);
        let raft = timing::read_raft(reading);
        let failover = timing::read_failover(reading);
        timing::validate(reading, &raft, &failover, peers.others.len() + 1);
        let tags = tags::read(reading);
        let api = api::read(reading, &cluster);
        absent::read(reading);
        let log = log::read(reading);
        let database_advertised = database::advertised(&database, &cluster, peers.own.as_ref());
        Self { cluster, database, postgres, peers: peers.others, database_advertised, raft, failover, tags, api, log }
    }

    /// Finds PostgreSQL's programs on this host, and keeps their folder.
    pub(crate) fn find_programs(&mut self, file: &Path) -> Result<(), Invalid> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = programs::find(self.postgres.bin_dir.as_deref(), &self.postgres.data_dir, &path, &programs::usual_folders());
        self.postgres.bin_dir = Some(found.map_err(|fault| Invalid { file: file.to_path_buf(), faults: vec![fault] })?);
        Ok(())
    }
}
