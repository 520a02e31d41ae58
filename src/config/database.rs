//! `[database]` and `[postgres]`: the database that this node runs, and how Witch enters it.

use super::cluster::{Cluster, is_loopback, is_wildcard};
use super::peers::Peer;
use super::reading::Reading;
use super::secret::Secret;
use actors::model::Endpoint;
use actors::pg::owned::{Refused, parameter_fault};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How Witch enters its own database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    /// Where it answers on this host: an address, or the directory of a Unix socket.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// The superuser that Witch uses, and creates when it founds the database.
    pub(crate) user: String,
    /// Its password. None only where `postgres.pg_hba` says how one enters without.
    pub(crate) password: Option<Secret>,
}

/// The PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Postgres {
    /// The folder of `postgres`, `initdb` and the other programs. None: they are looked for.
    pub(crate) bin_dir: Option<PathBuf>,
    /// The database's directory.
    pub(crate) data_dir: PathBuf,
    /// `listen_addresses`.
    pub(crate) listen: String,
    /// The role that standbys stream as.
    pub(crate) replication_user: String,
    /// Its password, under the same rule as `database.password`.
    pub(crate) replication_password: Option<Secret>,
    /// Lines that replace the default `pg_hba.conf`; None keeps the default.
    pub(crate) pg_hba: Option<Vec<String>>,
    /// Further options of `initdb`.
    pub(crate) initdb: Vec<String>,
    /// Settings of the server beyond those that Witch owns.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Reads `[database]`.
pub(super) fn read_database(reading: &mut Reading) -> Database {
    reading.choice("database.kind", &["postgres"]);
    let host = reading.text_or("database.host", "127.0.0.1");
    if is_wildcard(&host) {
        let rule = format!("`{host}` is no address that one could connect to");
        reading.fault("database.host", rule, "set it to \"127.0.0.1\", and postgres.listen to the addresses on which the server listens");
    }
    let port = reading.whole("database.port", 5432, 1..=65535);
    let user = reading.text_or("database.user", "postgres");
    let password = reading.secret("database.password");
    Database { host, port, user, password }
}

/// Reads `[postgres]`.
pub(super) fn read_postgres(reading: &mut Reading, cluster: &Cluster) -> Postgres {
    let bin_dir = read_bin_dir(reading);
    let fix = "name the directory of the database, for example data_dir = \"/var/lib/postgresql/witch\"";
    let data_dir = PathBuf::from(reading.required("postgres.data_dir", fix));
    check_data_dir(reading, &data_dir, &cluster.data_dir);
    let listen = reading.text_or("postgres.listen", &default_listen(&cluster.bind.host));
    let replication_user = reading.text_or("postgres.replication_user", "replicator");
    let replication_password = reading.secret("postgres.replication_password");
    let pg_hba = reading.list("postgres.pg_hba").filter(|lines| !lines.is_empty());
    let initdb = reading.list("postgres.initdb").unwrap_or_default();
    let parameters = read_parameters(reading);
    Postgres { bin_dir, data_dir, listen, replication_user, replication_password, pg_hba, initdb, parameters }
}

/// What holds between the two sections.
pub(super) fn validate(reading: &mut Reading, database: &Database, postgres: &Postgres) {
    if database.user == postgres.replication_user {
        let rule = format!("`{}` is database.user as well, who is a superuser", postgres.replication_user);
        reading.fault("postgres.replication_user", rule, "use a role of its own, for example \"replicator\"");
    }
    if postgres.pg_hba.is_some() {
        return;
    }
    for (key, password) in [("database.password", &database.password), ("postgres.replication_password", &postgres.replication_password)] {
        let already = reading.faults.iter().any(|fault| fault.key.starts_with(key));
        if password.is_none() && !already {
            let rule = "is not set, and the default pg_hba lines ask everybody for a password";
            reading.fault(key, rule, format!("set {key} or {key}_file, or set postgres.pg_hba to lines that do without"));
        }
    }
}

fn read_bin_dir(reading: &mut Reading) -> Option<PathBuf> {
    let bin_dir = reading.text("postgres.bin_dir").map(PathBuf::from);
    let pg_ctl = reading.text("postgres.pg_ctl_path").map(PathBuf::from);
    let folder = pg_ctl.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    if let Some(pg_ctl) = pg_ctl
        && !pg_ctl.is_absolute()
    {
        let rule = format!("`{}` is not a whole path", pg_ctl.display());
        reading.fault("postgres.pg_ctl_path", rule, "set postgres.bin_dir to the folder that has postgres and initdb in it");
        return bin_dir;
    }
    if bin_dir.is_some() && folder.is_some() && bin_dir != folder {
        reading.fault("postgres.pg_ctl_path", "is in another folder than postgres.bin_dir names", "keep one of the two");
    }
    bin_dir.or(folder)
}

fn check_data_dir(reading: &mut Reading, data_dir: &Path, own: &Path) {
    if data_dir.as_os_str().is_empty() {
        return;
    }
    if !data_dir.is_absolute() {
        let rule = format!("`{}` is relative, and would move with the directory that witch is started from", data_dir.display());
        reading.fault("postgres.data_dir", rule, "write the whole path, beginning with `/`");
    }
    if own.starts_with(data_dir) {
        let rule = format!("{} lies inside it, and would vanish whenever the database is cloned anew", own.display());
        reading.fault("cluster.data_dir", rule, "keep Witch's own folder outside of postgres.data_dir");
    }
}

/// The database listens where the daemon does, and on this host for the daemon itself.
fn default_listen(bind_host: &str) -> String {
    match bind_host {
        host if is_wildcard(host) => "*".into(),
        "127.0.0.1" | "localhost" => "127.0.0.1".into(),
        host => format!("127.0.0.1,{host}"),
    }
}

fn read_parameters(reading: &mut Reading) -> BTreeMap<String, String> {
    let parameters = reading.free("postgres.parameters");
    for (name, value) in &parameters {
        let key = format!("postgres.parameters.{name}");
        if let Some(Refused { rule, fix }) = parameter_fault(name, value) {
            reading.fault(&key, rule, fix);
        }
    }
    parameters
}

/// Where the standbys reach this node's database: as the list of peers says, if it names this node; else where Witch itself enters, unless
/// that means this host only.
pub(super) fn advertised(database: &Database, cluster: &Cluster, own: Option<&Peer>) -> Endpoint {
    if let Some(own) = own {
        return own.database.clone();
    }
    let reachable = !is_loopback(&database.host) && !database.host.starts_with('/');
    let host = if reachable { &database.host } else { &cluster.advertise_host };
    Endpoint { host: host.clone(), port: database.port }
}
