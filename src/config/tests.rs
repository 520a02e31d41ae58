//! Whole files, as users write them. `BLESS=1` rewrites the golden answer; commit that only if you can explain it.

use super::*;
use actors::model::NodeId;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::tempdir;

/// The least that a cluster of three needs.
const SMALL: &str = r#"
[cluster]
name = "main"
node_id = 1
advertise_host = "db1"
token = "0123456789abcdef0123456789abcdef"
[database]
password = "a"
[postgres]
data_dir = "/pg"
replication_password = "b"
[[peers]]
node_id = 3
host = "db3"
[[peers]]
node_id = 2
host = "db2"
"#;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Invalid> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("witch.toml");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("secret"), "from a file\r\n").unwrap();
    for name in ["witch.toml", "secret"] {
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
    Config::load(&Source { path, named: true }, &Surroundings { variables, hostname: "here".into() })
}

fn load(text: &str) -> Result<Loaded, Invalid> {
    load_with(text, &[])
}

/// The keys that are wrong.
fn wrong(outcome: Result<Loaded, Invalid>) -> Vec<String> {
    outcome.err().map_or_else(Vec::new, |invalid| invalid.faults.into_iter().map(|fault| fault.key).collect())
}

/// The small file with one line put in front, or in place of the one that sets the same key.
fn with(section: &str, line: &str) -> String {
    let key = line.split('=').next().unwrap();
    let head = format!("[{section}]\n");
    let text = SMALL.lines().filter(|other| !other.starts_with(key)).map(|line| format!("{line}\n")).collect::<String>();
    if text.contains(&head) { text.replace(&head, &format!("{head}{line}\n")) } else { format!("{text}{head}{line}\n") }
}

#[test]
fn the_only_error_of_the_seed_is_the_missing_token() {
    let path = fixture("seed.toml");
    let outcome = Config::load(&Source { path: path.clone(), named: true }, &Surroundings::default());
    let invalid = outcome.map(drop).unwrap_err();
    assert_eq!(invalid.faults.len(), 1, "{invalid}");
    let told = invalid.to_string();
    assert!(told.contains("seed.toml:12: cluster.token") && told.contains("openssl rand -hex 32"), "{told}");

    let variables = [("WITCH_CLUSTER__TOKEN".to_string(), "0123456789abcdef0123456789abcdef".to_string())].into();
    let loaded = Config::load(&Source { path, named: true }, &Surroundings { variables, hostname: String::new() }).unwrap();
    assert_eq!(loaded.config.postgres.bin_dir, Some("/usr/lib/postgresql/15/bin".into()));
    assert_eq!(loaded.config.postgres.parameters["auto_explain.log_min_duration"], "5s");
    assert_eq!(loaded.config.postgres.parameters["log_checkpoints"], "on");
    assert_eq!(loaded.warnings.iter().map(|warning| &*warning.key).collect::<Vec<_>>(), ["failover.on_crash"]);
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let outcome = Config::load(&Source { path: fixture("faulty.toml"), named: true }, &Surroundings::default());
    let mut invalid = outcome.map(drop).unwrap_err();
    invalid.file = "faulty.toml".into();
    let told = format!("{invalid}\n");
    assert!(!told.contains("swordfish"));
    let golden = fixture("faulty.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(&golden).unwrap());
}

#[test]
fn a_small_file_gets_the_defaults() {
    let Loaded { config, warnings, .. } = load(SMALL).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.cluster.node, NodeId(1));
    assert_eq!(config.cluster.node_name, "db1");
    assert_eq!(config.cluster.data_dir, Path::new("/var/lib/witch"));
    assert_eq!(config.cluster.bind.to_string(), "0.0.0.0:7000");
    assert_eq!(config.database_advertised.to_string(), "db1:5432");
    assert_eq!(config.postgres.listen, "*");
    assert_eq!(config.raft.election_timeout, Duration::from_secs(1));
    assert_eq!(config.failover.lease, actors::model::LeaseTiming::default());
    assert_eq!(config.tags, Tags::default());
    let peers = config.peers.iter().map(|peer| format!("{} {} {} {}", peer.node, peer.name, peer.witch, peer.database));
    assert_eq!(peers.collect::<Vec<_>>(), ["2 db2 db2:7000 db2:5432", "3 db3 db3:7000 db3:5432"]);
}

#[test]
fn nodes_that_share_a_host_are_named_by_number() {
    let text = SMALL.replace("\"db1\"", "\"127.0.0.1\"").replace("\"db3\"", "\"127.0.0.1\"\nport = 7003\ndb_port = 5433");
    let config = load(&text).unwrap().config;
    let names = config.peers.iter().map(|peer| &*peer.name).collect::<Vec<_>>();
    assert_eq!((config.cluster.node_name.as_str(), &names[..]), ("node1", &["db2", "node3"][..]));
}

#[test]
fn the_environment_wins_over_the_file_and_its_errors_name_the_variable() {
    let variables = [
        ("WITCH_RAFT__HEARTBEAT_MS", "50"),
        ("WITCH_DATABASE__PASSWORD", "007"),
        ("WITCH_POSTGRES__PG_HBA", "local all all trust, host all all all trust"),
        ("WITCH_POSTGRES__PARAMETERS__WORK_MEM", "8MB"),
        ("WITCH_TAGS__NOFAILOVER", "true"),
        ("WITCH_PEERS__2__DB_PORT", "5444"),
        ("WITCH_PEERS__4__HOST", "db4"),
        ("WITCH_PEERS__5__HOST", "db5"),
    ];
    let Loaded { config, settings, .. } = load_with(SMALL, &variables).unwrap();
    assert_eq!(config.raft.heartbeat, Duration::from_millis(50));
    assert_eq!(config.database.password.as_ref().map(Secret::expose), Some("007"));
    assert_eq!(config.postgres.pg_hba, Some(vec!["local all all trust".into(), "host all all all trust".into()]));
    assert_eq!(config.postgres.parameters["work_mem"], "8MB");
    assert!(config.tags.nofailover);
    assert_eq!(config.peers[0].database.port, 5444);
    assert_eq!(config.peers.iter().map(|peer| peer.witch.host.as_str()).collect::<Vec<_>>(), ["db2", "db3", "db4", "db5"]);
    let shown =
        |key: &str| settings.iter().find(|setting| setting.key == key).map(|setting| (setting.value.as_str(), setting.place.clone()));
    assert_eq!(shown("raft.heartbeat_ms"), Some(("50", Place::Variable("WITCH_RAFT__HEARTBEAT_MS".into()))));
    assert_eq!(shown("database.password").map(|shown| shown.0), Some("***"));

    let variables = [("WITCH_RAFT__HEARTBEAT_MS", "fast"), ("WITCH_RAFT__HEARTBAET_MS", "5"), ("WITCH_PEERS__X__HOST", "h")];
    let told = load_with(SMALL, &variables).unwrap_err().to_string();
    for part in ["WITCH_RAFT__HEARTBEAT_MS: raft.heartbeat_ms", "did you mean `raft.heartbeat_ms`?", "WITCH_PEERS__X__HOST: peers"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn parameters_are_checked_by_the_rules_that_the_daemon_starts_by() {
    let told = |line: &str| load(&format!("{SMALL}[postgres.parameters]\n{line}\n")).unwrap_err().to_string();
    for (line, part) in [
        ("full_page_writes = \"off\"", "Witch sets it to `on`"),
        ("port = \"5433\"", "set database.port"),
        ("wal_keep_size = \"16MB\"", "at least 256MB"),
        ("synchronous_standby_names = \"*\"", "asynchronously"),
    ] {
        assert!(told(line).contains(part), "{part} in {}", told(line));
    }
}

#[test]
fn the_environment_alone_can_be_enough() {
    let variables = [
        ("WITCH_CLUSTER__NAME", "main"),
        ("WITCH_CLUSTER__NODE_ID", "1"),
        ("WITCH_CLUSTER__TOKEN", "0123456789abcdef0123456789abcdef"),
        ("WITCH_DATABASE__PASSWORD", "a"),
        ("WITCH_POSTGRES__DATA_DIR", "/pg"),
        ("WITCH_POSTGRES__REPLICATION_PASSWORD", "b"),
        ("WITCH_PEERS__2__HOST", "db2"),
        ("WITCH_PEERS__3__HOST", "db3"),
    ];
    let variables = variables.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
    let absent = Source { path: "/nonexistent/witch.toml".into(), named: false };
    let surroundings = Surroundings { variables, hostname: "here".into() };
    assert_eq!(Config::load(&absent, &surroundings).unwrap().config.cluster.advertise_host, "here");
    assert!(Config::load(&Source { named: true, ..absent.clone() }, &surroundings).is_err(), "a file that somebody named must exist");
    let told = Config::load(&absent, &Surroundings::default()).unwrap_err().to_string();
    assert!(told.starts_with("1 error") && told.contains("--config FILE"), "{told}");
}

#[test]
fn secrets_come_from_files_without_their_line_end() {
    let config = load(&SMALL.replace("password = \"a\"", "password_file = \"secret\"")).unwrap().config;
    assert_eq!(config.database.password.as_ref().map(Secret::expose), Some("from a file"));
    assert!(!format!("{config:?}").contains("from a file"));
    assert_eq!(wrong(load(&with("cluster", "token_file = \"secret\""))), ["cluster.token_file"]);
    assert_eq!(wrong(load(&SMALL.replace("password = \"a\"", "password_file = \"absent\""))), ["database.password_file"]);
}

#[test]
fn a_listener_that_others_can_reach_needs_a_token() {
    let without = SMALL.replace("token = \"0123456789abcdef0123456789abcdef\"", "");
    assert_eq!(wrong(load(&without)), ["cluster.token"]);
    for host in ["127.0.0.1", "127.0.0.3", "::1", "localhost"] {
        let text = without.replace("\"db1\"", &format!("\"{host}\"\nbind_host = \"{host}\""));
        let text = text
            .replace("\"db2\"", "\"localhost\"\nport = 7002\ndb_port = 1")
            .replace("\"db3\"", "\"localhost\"\nport = 7003\ndb_port = 2");
        assert!(wrong(load(&text)).is_empty(), "{host}: {:?}", wrong(load(&text)));
    }
    assert_eq!(wrong(load(&without.replace("name", "bind_host = \"10.0.0.1\"\nname"))), ["cluster.token"]);
}

#[test]
fn a_token_is_one_line_of_plain_signs() {
    assert_eq!(wrong(load(&SMALL.replace("0123456789abcdef0123456789abcdef", "0123456789 abcdef0123456789abcdef"))), ["cluster.token"]);
    let at_home = |text: &str| {
        let text = text.replace("\"db1\"", "\"localhost\"\nbind_host = \"127.0.0.1\"");
        let text = text.replace("\"db2\"", "\"localhost\"\nport = 7002\ndb_port = 1");
        text.replace("\"db3\"", "\"localhost\"\nport = 7003\ndb_port = 2")
    };
    for short in ["short", "0123456789abcdef0123456789abcde"] {
        let text = SMALL.replace("0123456789abcdef0123456789abcdef", short);
        assert_eq!(wrong(load(&text)), ["cluster.token"], "{short}");
        assert_eq!(load(&at_home(&text)).unwrap().warnings[0].key, "cluster.token");
        assert_eq!(wrong(load(&format!("{}[api]\ntoken = \"{short}\"\n", at_home(SMALL)))), ["api.token"]);
    }
}

#[test]
fn the_token_of_the_api_is_another_than_that_of_the_nodes() {
    let with = |token: &str| format!("{SMALL}[api]\ntoken = \"{token}\"\nhosts = [\"db1.example.org\", \"fd00::1\"]\n");
    assert_eq!(wrong(load(&with("0123456789abcdef0123456789abcdef"))), ["api.token"]);
    let api = load(&with("fedcba9876543210fedcba9876543210")).unwrap().config.api;
    assert_eq!(api.token.as_ref().map(Secret::expose), Some("fedcba9876543210fedcba9876543210"));
    assert_eq!(api.hosts, ["db1.example.org", "fd00::1"]);
    assert_eq!(wrong(load(&format!("{SMALL}[api]\nhosts = [\"http://db1\"]\n"))), ["api.hosts"]);
    assert_eq!(load(SMALL).unwrap().config.api, Api::default(), "without one, nobody commands over the network");
}

#[test]
fn a_daemon_runs_with_no_secret_that_others_know() {
    let keys = |loaded: Loaded| loaded.hazards.into_iter().map(|fault| fault.key).collect::<Vec<_>>();
    let sample = SMALL
        .replace("\"0123456789abcdef0123456789abcdef\"", "\"replace-this-by-a-secret-of-your-own\"")
        .replace("\"a\"", "\"replace this\"");
    assert_eq!(keys(load(&sample).unwrap()), ["cluster.token", "database.password"]);
    assert!(keys(load(SMALL).unwrap()).is_empty());
    let by_file = SMALL.replace("password = \"a\"", "password_file = \"secret\"");
    assert!(keys(load(&by_file).unwrap()).is_empty());
}

#[test]
fn own_node_among_the_peers_must_agree_with_the_cluster_section() {
    let entry = |host: &str, rest: &str| format!("{SMALL}[[peers]]\nnode_id = 1\nhost = \"{host}\"\n{rest}\n");
    let config = load(&entry("db1", "db_port = 6000\nname = \"first\"")).unwrap().config;
    assert_eq!((config.peers.len(), config.cluster.node_name.as_str()), (2, "first"));
    assert_eq!(config.database_advertised.to_string(), "db1:6000");
    assert_eq!(wrong(load(&entry("db9", ""))), ["peers[2].host"]);
    assert_eq!(wrong(load(&entry("db1", "port = 7001"))), ["peers[2].host"]);
}

#[test]
fn peers_are_told_apart() {
    let peer = |lines: &str| wrong(load(&format!("{SMALL}[[peers]]\n{lines}\n[[peers]]\nnode_id = 9\nhost = \"db9\"")));
    assert_eq!(peer("node_id = 2\nhost = \"db4\""), ["peers[2].node_id"]);
    assert_eq!(peer("node_id = 4\nhost = \"db2\""), ["peers[2].host"]);
    assert_eq!(peer("node_id = 4\nhost = \"db1\""), ["peers[2].host"]);
    assert_eq!(peer("node_id = 4\nhost = \"0.0.0.0\""), ["peers[2].host"]);
    assert_eq!(peer("node_id = 4\nhost = \"db4\"\nwitness = true"), ["peers[2].witness"]);
    assert_eq!(peer("host = \"db4\""), ["peers[2].node_id"]);
    assert_eq!(peer("node_id = 4"), ["peers[2].host"]);
    let single = SMALL.replace("[[peers]]\nnode_id = 3", "[peers]\nnode_id = 3").replace("[[peers]]\nnode_id = 2\nhost = \"db2\"", "");
    let told = load(&single).unwrap_err().to_string();
    assert!(told.contains("write [[peers]], in double brackets"), "{told}");
}

#[test]
fn an_even_number_of_nodes_is_worth_a_warning() {
    let text = format!("{SMALL}[[peers]]\nnode_id = 4\nhost = \"db4\"\n");
    let warnings = load(&text).unwrap().warnings;
    assert!(warnings[0].rule.starts_with("4 nodes bear no more failures than 3 do"), "{warnings:?}");
}

#[test]
fn the_inequalities_between_the_times_hold_or_the_file_is_refused() {
    for (section, line, key) in [
        ("raft", "heartbeat_ms = 1000", "raft.heartbeat_ms"),
        ("raft", "heartbeat_ms = 10", "raft.heartbeat_ms"),
        ("raft", "election_timeout_ms = 1400", "raft.election_timeout_ms"),
        ("raft", "election_timeout_ms = 90", "raft.election_timeout_ms"),
        ("failover", "lease_ttl_ms = 2500", "failover.lease_ttl_ms"),
        ("failover", "kill_margin_ms = 900", "failover.kill_margin_ms"),
        ("failover", "lease_ttl_ms = 200", "failover.lease_ttl_ms"),
        ("failover", "kill_margin_ms = 1500", "failover.kill_margin_ms"),
        ("failover", "health_check_interval_ms = 0", "failover.health_check_interval_ms"),
        ("failover", "health_check_failures = 0", "failover.health_check_failures"),
    ] {
        assert_eq!(wrong(load(&with(section, line))), [key], "{line}");
    }
    // 500 + 1340 + 300 <= 3000 - 500, with 360 ms to spare.
    assert!(wrong(load(&with("raft", "election_timeout_ms = 1360"))).is_empty());
    assert_eq!(wrong(load(&with("raft", "election_timeout_ms = 1361"))), ["raft.election_timeout_ms"]);
}

#[test]
fn the_fix_of_a_short_lease_is_one() {
    let told = load(&with("failover", "lease_ttl_ms = 2500")).unwrap_err().to_string();
    assert!(told.contains("fix: set failover.lease_ttl_ms to at least 2600, or raft.election_timeout_ms to at most 943"), "{told}");
    assert!(load(&with("failover", "lease_ttl_ms = 2600")).is_ok());
    let both = with("failover", "lease_ttl_ms = 2500") + "[raft]\nelection_timeout_ms = 943\n";
    assert!(load(&both).is_ok(), "{}", load(&both).unwrap_err());
}

#[test]
fn what_asks_for_an_absent_feature_is_refused_and_what_does_not_is_harmless() {
    for (section, asking, harmless) in [
        ("cluster", "witness = true", "witness = false"),
        ("failover", "failsafe_mode = true", "failsafe_mode = false"),
        ("failover", "on_crash = \"failover\"", "on_crash = \"restart\""),
        ("tags", "nosync = true", "nosync = false"),
        ("tags", "replicatefrom = \"db2\"", "replicatefrom = \"\""),
        ("watchdog", "mode = \"automatic\"", "mode = \"off\""),
        ("watchdog", "enabled = true", "enabled = false"),
        ("hooks", "on_start = \"/x\"", "on_start = \"\""),
        ("hooks", "stonith = \"/x\"", "stonith = \"\""),
        ("hooks", "pre_promote = \"/x\"", "pre_promote = \"\""),
        ("tls", "cert = \"/x\"", "cert = \"\""),
        ("api", "tokens = [\"x\"]", "tokens = []"),
    ] {
        let key = asking.split(' ').next().unwrap();
        assert_eq!(wrong(load(&with(section, asking))), [format!("{section}.{key}")], "{asking}");
        assert!(wrong(load(&with(section, harmless))).is_empty(), "{harmless}");
    }
}

#[test]
fn unknown_keys_are_errors_that_name_the_nearest_known_one() {
    let told = load(&with("raft", "hearbeat_ms = 100")).unwrap_err().to_string();
    assert!(told.contains("raft.hearbeat_ms\n      there is no such key\n      fix: did you mean `raft.heartbeat_ms`?"), "{told}");
    let told = load(&format!("raft = 5\n{SMALL}")).unwrap_err().to_string();
    assert!(told.contains("is a section and not a value"), "{told}");
    assert_eq!(wrong(load(&format!("{SMALL}[colours]\nsky = 1"))), ["colours.sky"]);
}

#[test]
fn passwords_are_asked_for_unless_the_operator_says_how_one_enters() {
    let without = SMALL.replace("password = \"a\"", "").replace("replication_password = \"b\"", "");
    assert_eq!(
        wrong(load(&without)),
        ["postgres.replication_password", "database.password"].map(String::from).into_iter().rev().collect::<Vec<_>>()
    );
    assert!(load(&without.replace("data_dir", "pg_hba = [\"local all all peer\"]\ndata_dir")).is_ok());
}

#[test]
fn a_client_reads_a_file_that_a_daemon_would_refuse() {
    let folder = tempdir().unwrap();
    let source = Source { path: folder.path().join("witch.toml"), named: true };
    fs::write(
        &source.path,
        SMALL.replace("password = \"a\"", "password_file = \"/nonexistent\"").replace("0123456789abcdef0123456789abcdef", "t"),
    )
    .unwrap();
    let contact = Contact::read(&source, &Surroundings::default()).unwrap();
    assert_eq!(contact.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:7000", "db3:7000", "db2:7000"]);
    assert_eq!(contact.socket, Path::new("/var/lib/witch/api.sock"));
    assert_eq!(Contact::token(&source, &Surroundings::default()).unwrap(), None, "the secret of the nodes is none of a client's");
    assert!(Config::load(&source, &Surroundings::default()).is_err());
}
