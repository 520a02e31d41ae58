//! The `witch.toml` of a node, as a tree of keys that a test can bend.

use super::Identity;
use actors::model::NodeId;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

/// One configuration file.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    document: DocumentMut,
}

impl ConfigFile {
    /// An empty one, not written yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, document: DocumentMut::new() }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets `section.key`, or `section.subsection.key`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let (table, key) = self.resolve(key);
        table.insert(key, Item::Value(value.into()));
        self
    }

    /// Takes a key out.
    pub fn unset(&mut self, key: &str) -> &mut Self {
        let (table, key) = self.resolve(key);
        table.remove(key);
        self
    }

    /// Adds one `[[peers]]` table.
    pub(super) fn peer(&mut self, entries: impl IntoIterator<Item = (&'static str, Value)>) -> &mut Self {
        let peers = self.document.entry("peers").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let mut peer = Table::new();
        for (key, value) in entries {
            peer.insert(key, Item::Value(value));
        }
        peers.as_array_of_tables_mut().expect("nothing else is ever put there").push(peer);
        self
    }

    /// Sets a key of the `[[peers]]` table of that node, if there is one.
    pub fn set_of_peer(&mut self, node: NodeId, key: &str, value: impl Into<Value>) -> &mut Self {
        let peers = self.document.get_mut("peers").and_then(Item::as_array_of_tables_mut).into_iter().flat_map(ArrayOfTables::iter_mut);
        let number = i64::try_from(node.0).ok();
        if let Some(peer) = peers.into_iter().find(|peer| peer.get("node_id").and_then(Item::as_integer) == number) {
            peer.insert(key, Item::Value(value.into()));
        }
        self
    }

    /// Writes it for its reader only: it holds passwords.
    pub fn save(&self, owner: &Identity) -> Result<()> {
        let save = || {
            fs::write(&self.path, self.document.to_string())?;
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
            owner.own(&self.path)
        };
        save().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The table that holds a key, and the last part of its name.
    fn resolve<'a>(&mut self, key: &'a str) -> (&mut Table, &'a str) {
        let mut table = self.document.as_table_mut();
        let mut rest = key;
        while let Some((section, below)) = rest.split_once('.') {
            table = table.entry(section).or_insert(Item::Table(Table::new())).as_table_mut().expect("a section is always a table");
            rest = below;
        }
        (table, rest)
    }
}
