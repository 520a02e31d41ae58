//! The file below, the environment above it, as one flat map from paths to values.

use super::Surroundings;
use super::fault::{Fault, Place};
use super::lines::{Lines, lines_of};
use config::{Environment, FileFormat, Source, Value, ValueKind};
use std::collections::BTreeMap;

/// Every value, and where it stands.
#[derive(Default)]
pub(super) struct Layers {
    /// By path, such as `raft.heartbeat_ms` or `peers[0].host`.
    pub(super) values: BTreeMap<String, ValueKind>,
    /// The environment variable behind a path, where there is one.
    pub(super) variables: BTreeMap<String, String>,
    lines: Lines,
}

impl Layers {
    /// Lays the environment over `text`.
    pub(super) fn of(text: &str, surroundings: &Surroundings) -> (Self, Vec<Fault>) {
        let mut layers = Self::default();
        let mut faults = Vec::new();
        faults.extend(layers.take_file(text).err());
        faults.extend(layers.take_environment(surroundings));
        (layers, faults)
    }

    /// How many tables the array of tables `name` has.
    pub(super) fn count(&self, name: &str) -> usize {
        (0..).take_while(|index| self.values.keys().any(|path| path.starts_with(&format!("{name}[{index}]")))).count()
    }

    /// Where the key stands; for a missing key, where its section begins.
    pub(super) fn place(&self, key: &str) -> Place {
        if let Some(name) = self.variables.get(key) {
            return Place::Variable(name.clone());
        }
        let section = key.rsplit_once('.').map_or("", |(section, _)| section);
        if let Some(line) = self.lines.get(key).or_else(|| self.lines.get(section)) {
            return Place::Line(*line);
        }
        self.variables.get(section).map_or(Place::Nowhere, |name| Place::Variable(name.clone()))
    }

    fn take_file(&mut self, text: &str) -> Result<(), Fault> {
        self.lines = lines_of(text)?;
        let table = config::File::from_str(text, FileFormat::Toml).collect().map_err(|error| Fault {
            place: Place::Nowhere,
            key: String::new(),
            // The lines before the last one quote the file, and what stands there may be a password.
            rule: format!("the file is not TOML: {}", error.to_string().lines().last().unwrap_or_default()),
            fix: "correct the syntax".into(),
        })?;
        table.into_iter().for_each(|(key, value)| flatten(key, value, &mut self.values));
        Ok(())
    }

    fn take_environment(&mut self, surroundings: &Surroundings) -> Vec<Fault> {
        for name in surroundings.variables.keys() {
            let path = name.strip_prefix("WITCH_").unwrap_or(name).to_lowercase().replace("__", ".");
            self.variables.insert(path, name.clone());
        }
        let environment = Environment::with_prefix("WITCH")
            .prefix_separator("_")
            .separator("__")
            .source(Some(surroundings.variables.clone().into_iter().collect()));
        let values = environment.collect().expect("every variable is Unicode: others are not taken in");
        let (mut peers, others): (Vec<_>, Vec<_>) = values.into_iter().partition(|(path, _)| path.starts_with("peers."));
        self.values.extend(others.into_iter().map(|(path, value)| (path, value.kind)));
        // In a fixed order, so that peers which only the environment names are always counted alike.
        peers.sort_by(|(one, _), (other, _)| one.cmp(other));
        peers.into_iter().filter_map(|(path, value)| self.take_peer_variable(&path, value).err()).collect()
    }

    /// `WITCH_PEERS__2__HOST` is the host of the peer whose `node_id` is 2, whether or not the file names that peer.
    fn take_peer_variable(&mut self, path: &str, value: Value) -> Result<(), Fault> {
        let name = self.variables.remove(path).unwrap_or_default();
        let parts = path.split('.').collect::<Vec<_>>();
        let (Some(id), Some(key), 3) = (parts.get(1).and_then(|id| id.parse::<i64>().ok()), parts.get(2), parts.len()) else {
            return Err(Fault {
                place: Place::Variable(name),
                key: "peers".into(),
                rule: "is not named WITCH_PEERS__<node_id>__<KEY>".into(),
                fix: "name it for example WITCH_PEERS__2__HOST".into(),
            });
        };
        let count = self.count("peers");
        let same = |index: &usize| self.values.get(&format!("peers[{index}].node_id")) == Some(&ValueKind::I64(id));
        let index = (0..count).find(same).unwrap_or_else(|| {
            self.values.insert(format!("peers[{count}].node_id"), ValueKind::I64(id));
            self.variables.insert(format!("peers[{count}]"), name.clone());
            count
        });
        let path = format!("peers[{index}].{key}");
        self.variables.insert(path.clone(), name);
        self.values.insert(path, value.kind);
        Ok(())
    }
}

/// Turns nested tables into paths. An array is taken apart only if it is one of tables.
fn flatten(path: String, value: Value, into: &mut BTreeMap<String, ValueKind>) {
    match value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            table.into_iter().for_each(|(key, value)| flatten(format!("{path}.{key}"), value, into));
        }
        ValueKind::Array(values) if values.iter().any(|value| matches!(value.kind, ValueKind::Table(_))) => {
            values.into_iter().enumerate().for_each(|(index, value)| flatten(format!("{path}[{index}]"), value, into));
        }
        kind => {
            into.insert(path, kind);
        }
    }
}
