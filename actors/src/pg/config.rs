//! What a node's file says of its PostgreSQL: where it lies, whom it trusts, how it is set.

use super::owned;
use crate::model::NodeId;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A password. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one who has to send or store it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The PostgreSQL of this node, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node. Its slots and its `application_name` are called `witch_<node>`.
    pub node: NodeId,
    /// The name of the cluster; becomes `cluster_name`, which shows in the process list.
    pub cluster: String,
    /// The folder of the server programs. None: look in the usual places.
    pub bin_dir: Option<String>,
    /// The data directory.
    pub data_dir: String,
    /// Witch's own folder (`cluster.data_dir`): the marker, the passfile, the WAL that was kept aside.
    pub state_dir: String,
    /// `listen_addresses`.
    pub listen: String,
    /// The port of the server.
    pub port: u16,
    /// The superuser that Witch uses (`database.user`).
    pub user: String,
    /// Its password. None: `pg_hba` lets it in without (`trust`, `peer`, `cert`).
    pub password: Option<Secret>,
    /// The role that standbys stream as.
    pub replication_user: String,
    /// Its password. None: `pg_hba` lets it in without.
    pub replication_password: Option<Secret>,
    /// The lines of `pg_hba.conf`. Empty: those of [`Settings::default_pg_hba`].
    pub pg_hba: Vec<String>,
    /// More arguments for `initdb`.
    pub initdb: Vec<String>,
    /// `[postgres.parameters]`.
    pub parameters: BTreeMap<String, String>,
}

/// The longest path that a Unix socket can have.
const SOCKET_PATH_MAX: usize = 107;

impl Settings {
    /// The name of a node's replication slot, and of its standby in `application_name`.
    #[must_use]
    pub fn slot_of(node: NodeId) -> String {
        format!("witch_{node}")
    }

    /// Where the Unix socket lies: the first of the state folder and the data directory whose path is short enough. None: neither is, and
    /// the server is reached over TCP only.
    #[must_use]
    pub fn socket_dir(&self) -> Option<&str> {
        let fits = |dir: &&str| dir.len() + "/.s.PGSQL.".len() + format!("{}", self.port).len() <= SOCKET_PATH_MAX;
        [self.state_dir.as_str(), self.data_dir.as_str()].into_iter().find(fits)
    }

    /// The file with the passwords for `pg_basebackup`, `pg_rewind` and the standby's receiver.
    #[must_use]
    pub fn passfile(&self) -> String {
        format!("{}/pgpass", self.state_dir)
    }

    /// The lines that `pg_hba.conf` gets when the file names none: the owner of the data directory needs no password on the local socket
    /// (it could read every file anyway), everybody else proves one by SCRAM, and standbys may stream from anywhere with theirs.
    /// `os_user` is the owner's name.
    #[must_use]
    pub fn default_pg_hba(&self, os_user: &str) -> Vec<String> {
        let os_user = super::quoting::hba_word(os_user);
        let replication = super::quoting::hba_word(&self.replication_user);
        Vec::from([
            format!("local   all          {os_user}  peer"),
            format!("local   replication  {os_user}  peer"),
            String::from("local   all          all  scram-sha-256"),
            format!("host    replication  {replication}  all  scram-sha-256"),
            String::from("host    all          all  all  scram-sha-256"),
        ])
    }

    /// The lines that stand before those of a database that was adopted: Witch's two roles prove their passwords, whatever those say of
    /// everybody.
    #[must_use]
    pub fn necessary_pg_hba(&self, os_user: &str) -> Vec<String> {
        let os_user = super::quoting::hba_word(os_user);
        let mut lines = Vec::from([format!("local   all          {os_user}  peer"), format!("local   replication  {os_user}  peer")]);
        let superuser = (&self.user, &self.password);
        let replication = (&self.replication_user, &self.replication_password);
        let roles = [superuser, replication];
        for (role, password) in roles.iter().take(if self.user == self.replication_user { 1 } else { 2 }) {
            // Who has no password is let in by the user's own lines.
            if password.is_some() {
                let role = super::quoting::hba_word(role);
                lines.push(format!("local   all          {role}  scram-sha-256"));
                lines.push(format!("host    replication  {role}  all  scram-sha-256"));
                lines.push(format!("host    all          {role}  all  scram-sha-256"));
            }
        }
        lines
    }

    /// Every fault of these settings, each with its key and what to do. Empty: none.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, name) in [("database.user", &self.user), ("postgres.replication_user", &self.replication_user)] {
            if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) {
                faults.push(format!("{key}: `{name}` cannot be a role of PostgreSQL; use 1 to 63 bytes without control characters"));
            }
        }
        for (key, password) in [("database.password", &self.password), ("postgres.replication_password", &self.replication_password)] {
            if password.as_ref().is_some_and(|password| password.reveal().chars().any(char::is_control)) {
                faults.push(format!("{key}: a password with control characters does not fit into a passfile; choose another"));
            }
        }
        if self.user == self.replication_user && self.password != self.replication_password {
            faults.push(format!(
                "postgres.replication_password: `{}` is also database.user, so both passwords must be the same; or name another role",
                self.user
            ));
        }
        for (key, path) in [("postgres.data_dir", &self.data_dir), ("cluster.data_dir", &self.state_dir)] {
            if !path.starts_with('/') || path.chars().any(char::is_control) {
                faults.push(format!("{key}: `{path}` is not an absolute path; write it out from the root"));
            }
        }
        if inside(&self.state_dir, &self.data_dir) {
            faults.push(format!(
                "cluster.data_dir: `{}` lies inside postgres.data_dir, and would be lost when the database is cloned; move it out",
                self.state_dir
            ));
        }
        for line in &self.pg_hba {
            if line.chars().any(|c| matches!(c, '\n' | '\r' | '\0')) {
                faults.push(format!("postgres.pg_hba: `{}` is more than one line; write one entry a line", line.escape_debug()));
            }
        }
        for argument in &self.initdb {
            faults.extend(owned::initdb_fault(argument));
        }
        for (name, value) in &self.parameters {
            let refused = owned::parameter_fault(name, value);
            faults.extend(refused.map(|owned::Refused { rule, fix }| format!("postgres.parameters.{name}: {rule}; {fix}")));
        }
        faults
    }
}

/// Whether `path` is `folder` or lies in it.
fn inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::pg) fn settings() -> Settings {
        Settings {
            node: NodeId(4),
            cluster: "c".into(),
            bin_dir: None,
            data_dir: "/data".into(),
            state_dir: "/state".into(),
            listen: "*".into(),
            port: 5432,
            user: "witch".into(),
            password: Some(Secret::new("secret".into())),
            replication_user: "replicator".into(),
            replication_password: Some(Secret::new("secret".into())),
            pg_hba: Vec::new(),
            initdb: Vec::new(),
            parameters: BTreeMap::from([("work_mem".into(), "5MB".into())]),
        }
    }

    fn only_fault(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings();
        change(&mut settings);
        let faults = settings.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn a_password_does_not_print() {
        assert!(!format!("{:?}", settings()).contains("secret"));
    }

    #[test]
    fn each_fault_names_its_key() {
        assert_eq!(settings().faults(), Vec::<String>::new());
        let parameter = |name: &'static str, value: &'static str| only_fault(|all| drop(all.parameters.insert(name.into(), value.into())));
        assert!(parameter("primary_conninfo", "x").contains("postgres.parameters.primary_conninfo"));
        assert!(parameter("wal_keep_size", "16MB").contains("at least 256MB"));
        assert!(parameter("max_wal_senders", "3").contains("at least 10"));
        assert!(parameter("wal_level", "minimal").contains("replica, logical"));
        assert!(parameter("recovery_target_time", "now").contains("recovery"));
        assert!(parameter("port", "1").contains("database.port"));
        assert!(parameter("work mem", "1").contains("small letters"));
        assert!(only_fault(|all| all.initdb.push("--auth=trust".into())).contains("postgres.initdb"));
        assert!(only_fault(|all| all.initdb.push("UTF8".into())).contains("one word"));
        assert!(only_fault(|all| all.user = String::new()).contains("database.user"));
        assert!(only_fault(|all| all.state_dir = "/data/witch".into()).contains("inside postgres.data_dir"));
        assert!(only_fault(|all| all.data_dir = "data".into()).contains("absolute"));
        assert!(parameter("config_file", "/etc/x").contains("remove it"));
        assert_eq!(owned::parameter_fault("unix_socket_directories", "/run/postgresql"), None, "beside Witch's own");
        assert!(parameter("synchronous_standby_names", "*").contains("asynchronously"));
        assert!(only_fault(|all| all.pg_hba.push("a\nb".into())).contains("pg_hba"));
        assert!(only_fault(|all| all.password = Some(Secret::new("a\nb".into()))).contains("database.password"));
    }

    #[test]
    fn a_socket_goes_where_its_path_is_short_enough() {
        let mut settings = settings();
        assert_eq!(settings.socket_dir(), Some("/state"));
        settings.state_dir = format!("/{}", "s".repeat(100));
        assert_eq!(settings.socket_dir(), Some("/data"));
        settings.data_dir = settings.state_dir.clone();
        assert_eq!(settings.socket_dir(), None);
    }
}
