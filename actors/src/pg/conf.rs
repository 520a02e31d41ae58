//! The texts of the files that tell the server what Witch wants of it.

use super::owned::{Applies, OWNED, Owned, Value};
use super::quoting::{conf_value, conninfo_value, passfile_field};
use super::said::{Line, Said, alike};
use super::{Secret, Settings};
use crate::model::Endpoint;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The first line of the files that are Witch's alone.
pub const HEADER: &str = "# Written by Witch: changes are lost. Set [postgres] in witch.toml instead.\n";
/// The line of `postgresql.conf` that includes `witch.conf`.
const INCLUDE: &str = "include_if_exists = 'witch.conf'";

/// The first version whose libpq knows `require_auth`.
const REQUIRE_AUTH: u32 = 16;

impl Settings {
    /// The value of a setting that Witch owns, where the user's files say `said`. None: PostgreSQL's own default, or whatever its files
    /// say, is left as it is.
    #[must_use]
    pub fn value_of(&self, owned: &Owned, upstream: Option<&Endpoint>, said: &Said, major: u32) -> Option<String> {
        let wanted = self.parameters.get(owned.name).map(String::as_str);
        let raised = || wanted.or(said.value(owned.name).filter(|value| owned.follows(value))).map(str::to_string);
        match owned.value {
            Value::Fixed(value) => Some(value.to_string()),
            Value::Default(_) if wanted.is_none() && said.of(owned.name).is_some() => None,
            Value::Default(_) if wanted.is_none() && owned.name == "hot_standby_feedback" && self.synchronizes_slots(said) => {
                Some("on".to_string())
            }
            Value::Default(value) => Some(wanted.unwrap_or(value).to_string()),
            Value::OneOf(choices) => Some(raised().unwrap_or_else(|| choices[0].to_string())),
            Value::Count(least) => Some(raised().unwrap_or_else(|| format!("{least}"))),
            Value::Megabytes(least) => Some(raised().unwrap_or_else(|| format!("{least}MB"))),
            Value::Key(_) | Value::Computed(_) | Value::Joined(_) => match owned.name {
                "data_directory" => Some(self.data_dir.clone()),
                "hba_file" => Some(format!("{}/pg_hba.conf", self.data_dir)),
                "listen_addresses" => Some(self.listen.clone()),
                "port" => Some(format!("{}", self.port)),
                "unix_socket_directories" => Some(list(self.socket_dir())),
                "cluster_name" => Some(self.cluster.clone()),
                "primary_conninfo" => Some(upstream.map_or_else(String::new, |upstream| self.primary_conninfo(upstream, major))),
                "primary_slot_name" => Some(upstream.map_or_else(String::new, |_| Self::slot_of(self.node))),
                _ => None,
            },
        }
    }

    /// What the user wants a setting to be, in `witch.toml` or else in PostgreSQL's files.
    #[must_use]
    pub fn wanted<'a>(&'a self, name: &str, said: &'a Said) -> Option<&'a str> {
        self.parameters.get(name).map(String::as_str).or(said.value(name))
    }

    /// Whether failover slots are to be synchronised, for which a standby needs feedback and a database to connect to.
    #[must_use]
    pub fn synchronizes_slots(&self, said: &Said) -> bool {
        self.wanted("sync_replication_slots", said).is_some_and(|value| alike(value, "on"))
    }

    /// How this node's standby reaches its upstream. Half a minute of silence is too long for a database: the kernel's own patience is set,
    /// too.
    fn primary_conninfo(&self, upstream: &Endpoint, major: u32) -> String {
        // A receiver asks for no database; what synchronises failover slots (17 and later) does.
        format!(
            "{} dbname=postgres application_name={} keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000",
            self.conninfo(upstream, major),
            Self::slot_of(self.node)
        )
    }

    /// How the replication role reaches a server. No password is in it: libpq finds that in the passfile.
    #[must_use]
    pub fn conninfo(&self, server: &Endpoint, major: u32) -> String {
        format!(
            "host={} port={} user={} passfile={} sslmode=prefer connect_timeout=2{}",
            conninfo_value(&server.host),
            server.port,
            conninfo_value(&self.replication_user),
            conninfo_value(&self.passfile()),
            self.require_auth(major)
        )
    }

    /// How libpq lets itself be asked for the password: never so that whoever answers learns it. Lines of the user's own may also let the
    /// role in without one.
    fn require_auth(&self, major: u32) -> &'static str {
        match (&self.replication_password, self.pg_hba.is_empty()) {
            (Some(_), _) if major < REQUIRE_AUTH => "",
            (Some(_), true) => " require_auth=scram-sha-256",
            (Some(_), false) => " require_auth=scram-sha-256,none",
            (None, _) => "",
        }
    }
}

/// The value of `unix_socket_directories`. It is a list: in quotes a comma or a space is part of a name.
pub fn list<'a>(folders: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = folders.into_iter().map(|folder| format!("\"{}\"", folder.replace('"', "\"\""))).collect();
    quoted.join(",")
}

/// `witch.conf`: what the user wants, and what Witch owns and a reload can change.
#[must_use]
pub fn witch_conf(settings: &Settings, upstream: Option<&Endpoint>, said: &Said, major: u32) -> String {
    let mut text = HEADER.to_string();
    let mut set = |name: &str, value: &str| text.push_str(&format!("{name} = {}\n", conf_value(value)));
    for (name, value) in &settings.parameters {
        if !OWNED.iter().any(|owned| owned.name == name) {
            set(name, value);
        }
    }
    for owned in OWNED.iter().filter(|owned| owned.applies == Applies::AtReload) {
        if let Some(value) = settings.value_of(owned, upstream, said, major) {
            set(owned.name, &value);
        }
    }
    text
}

/// `witch.conf` without the lines that say whom a standby follows: what it is whatever the node is.
#[must_use]
pub fn lasting(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("primary_conninfo =") && !line.starts_with("primary_slot_name =")).collect()
}

/// `pg_hba.conf`: the lines of `witch.toml`; or else those of the database that was adopted, after the ones that Witch cannot do without; or
/// else the default ones.
#[must_use]
pub fn pg_hba(settings: &Settings, os_user: &str, adopted: Option<&[u8]>) -> Vec<u8> {
    let lines = match adopted {
        _ if !settings.pg_hba.is_empty() => settings.pg_hba.clone(),
        Some(_) => settings.necessary_pg_hba(os_user),
        None => settings.default_pg_hba(os_user),
    };
    let mut text = HEADER.as_bytes().to_vec();
    for line in lines {
        text.extend(line.as_bytes());
        text.push(b'\n');
    }
    if let Some(adopted) = adopted.filter(|_| settings.pg_hba.is_empty()) {
        text.extend(b"# The lines of the database that was adopted: change them in pg_hba.adopted.conf.\n");
        text.extend(adopted);
        if !adopted.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    text
}

/// The passfile: the replication role's password, for every host, since every member has the same roles. No program logs in as the superuser.
#[must_use]
pub fn passfile(settings: &Settings) -> String {
    let line = |password: &Secret| format!("*:*:*:{}:{}\n", passfile_field(&settings.replication_user), passfile_field(password.reveal()));
    settings.replication_password.as_ref().map_or_else(String::new, line)
}

/// `postgresql.conf` with the include as its last line: what comes after it would win.
#[must_use]
pub fn with_include(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split(is_end).filter(|line| line.trim_ascii() != INCLUDE.as_bytes()).collect();
    while lines.last().is_some_and(|line| line.trim_ascii().is_empty()) {
        lines.pop();
    }
    lines.extend([INCLUDE.as_bytes(), b""]);
    lines.join(&b'\n')
}

/// `postgresql.auto.conf` without the settings that `goes` names, and the lines that went.
#[must_use]
pub fn without(text: &[u8], goes: impl Fn(&str, &str) -> bool) -> (Vec<u8>, Vec<Line>) {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (index, line) in text.split_inclusive(is_end).enumerate() {
        match super::said::lines(line).pop().filter(|said| goes(&said.name, &said.value)) {
            Some(said) => gone.push(Line { number: index + 1, ..said }),
            None => kept.extend_from_slice(line),
        }
    }
    (kept, gone)
}

/// Lines are bytes: PostgreSQL takes comments and values in any encoding.
const fn is_end(byte: &u8) -> bool {
    *byte == b'\n'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::config::tests::settings;
    use crate::pg::owned::is_stripped;

    #[test]
    fn the_include_is_the_last_line_and_there_once() {
        assert_eq!(with_include(b""), b"include_if_exists = 'witch.conf'\n");
        let once = with_include(b"port = 5432 # f\xfcr uns\n\n");
        assert_eq!(once, b"port = 5432 # f\xfcr uns\ninclude_if_exists = 'witch.conf'\n");
        assert_eq!(with_include(&once), once);
        assert_eq!(
            with_include(&[&once, b"port = 1\n".as_slice()].concat()),
            b"port = 5432 # f\xfcr uns\nport = 1\ninclude_if_exists = 'witch.conf'\n"
        );
    }

    #[test]
    fn only_what_would_shadow_witch_goes_from_the_automatic_file() {
        let text = b"# a comment\nprimary_conninfo = 'host=x'\nPrimary_Slot_Name='y'\nrecovery_target_time = 'z'\nwork_mem = '4MB'\n\
                    promote_trigger_file = '/tmp/x'\nhot_standby_feedback = 'on'\n";
        let (kept, gone) = without(text, is_stripped);
        assert_eq!(kept, b"# a comment\nwork_mem = '4MB'\nhot_standby_feedback = 'on'\n");
        assert_eq!(gone.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 3, 4, 6]);
        let (kept, _) =
            without(b"wal_keep_size = '1GB'\nwal_keep_size = '1MB'\nwal_level = 'logical'\nwal_level = 'minimal'\n", is_stripped);
        assert_eq!(kept, b"wal_keep_size = '1GB'\nwal_level = 'logical'\n", "what Witch follows stays");
    }

    #[test]
    fn a_standby_knows_its_upstream_and_no_password() {
        let upstream = Endpoint { host: "db 1".into(), port: 5433 };
        let text = witch_conf(&settings(), Some(&upstream), &Said::default(), 15);
        assert!(text.contains(r"primary_conninfo = 'host=''db 1'' port=5433 user=''replicator'' passfile=''/state/pgpass''"), "{text}");
        assert!(text.contains("primary_slot_name = 'witch_4'") && text.contains("application_name=witch_4"), "{text}");
        assert!(text.contains("work_mem = '5MB'") && !text.contains("secret"), "{text}");
        let text = witch_conf(&settings(), None, &Said::default(), 15);
        assert!(text.contains("primary_conninfo = ''") && text.contains("primary_slot_name = ''"), "{text}");
    }

    #[test]
    fn a_password_is_proved_by_scram_where_libpq_can_be_told() {
        let server = Endpoint { host: "h".into(), port: 1 };
        let mut settings = settings();
        assert!(!settings.conninfo(&server, 15).contains("require_auth"));
        assert!(settings.conninfo(&server, 16).ends_with(" require_auth=scram-sha-256"));
        settings.pg_hba = Vec::from(["host all all all trust".to_string()]);
        assert!(settings.conninfo(&server, 16).ends_with(" require_auth=scram-sha-256,none"));
        settings.replication_password = None;
        assert!(!settings.conninfo(&server, 16).contains("require_auth"), "a certificate may do");
    }

    #[test]
    fn the_passfile_has_no_superuser() {
        let mut settings = settings();
        settings.password = Some(Secret::new("superior".into()));
        assert_eq!(passfile(&settings), "*:*:*:replicator:secret\n");
    }

    #[test]
    fn the_users_lines_replace_the_default_ones_of_pg_hba() {
        let mut settings = settings();
        let text =
            |settings: &Settings, adopted: Option<&[u8]>| String::from_utf8_lossy(&pg_hba(settings, "postgres", adopted)).into_owned();
        assert!(text(&settings, None).contains("host    replication  \"replicator\"  all  scram-sha-256"));
        let adopted = text(&settings, Some(b"hostssl all all all md5"));
        let (own, theirs) = adopted.split_once("# The lines of the database").unwrap_or_default();
        assert!(own.contains("\"replicator\"") && own.contains("\"witch\"") && !own.contains("all  all  all"), "{adopted}");
        assert!(theirs.ends_with("hostssl all all all md5\n"), "{adopted}");
        settings.pg_hba = Vec::from(["local all all trust".to_string()]);
        assert_eq!(text(&settings, Some(b"host all all all md5")), HEADER.to_string() + "local all all trust\n");
    }

    fn said(text: &str) -> Said {
        let mut said = Said::default();
        for line in super::super::said::lines(text.as_bytes()) {
            said.hear("postgresql.conf", line);
        }
        said
    }

    fn value(settings: &Settings, name: &str, said: &Said) -> Option<String> {
        settings.value_of(crate::pg::owned::find(name).expect("is owned"), None, said, 15)
    }

    /// What Witch would only default is left to the user's files, a floor is raised by them, and what safety forbids is not followed.
    #[test]
    fn the_users_files_hold_unless_safety_forbids() {
        let files = said(
            "max_slot_wal_keep_size = -1\nhot_standby_feedback = on\nmax_replication_slots = 50\nmax_wal_senders = 2\nwal_keep_size = 8GB\n\
             wal_level = logical\nsynchronous_standby_names = '*'\nrecovery_min_apply_delay = 1h\nfull_page_writes = off\nport = 5432\n\
             recovery_target_lsn = '0/1'\nprimary_conninfo = 'password=secret'\nwal_sender_timeout = 10000ms\n",
        );
        let settings = settings();
        for (name, expected) in [
            ("max_slot_wal_keep_size", None),
            ("hot_standby_feedback", None),
            ("max_replication_slots", Some("50")),
            ("max_wal_senders", Some("10")),
            ("wal_keep_size", Some("8GB")),
            ("wal_level", Some("logical")),
            ("synchronous_standby_names", Some("")),
            ("recovery_min_apply_delay", Some("0")),
        ] {
            assert_eq!(value(&settings, name, &files).as_deref(), expected, "{name}");
        }
        let text = witch_conf(&settings, None, &files, 15);
        assert!(!text.contains("max_slot_wal_keep_size") && text.contains("synchronous_standby_names = ''"), "{text}");
        let named = crate::pg::owned::overridden(&files, |owned| settings.value_of(owned, None, &files, 15)).join("; ");
        for name in
            ["max_wal_senders = '2'", "synchronous_standby_names = '*'", "recovery_min_apply_delay", "full_page_writes", "primary_conninfo"]
        {
            assert!(named.contains(name), "{name}: {named}");
        }
        assert!(!named.contains("secret") && !named.contains("port =") && !named.contains("wal_sender_timeout"), "{named}");
        let mut chosen = settings;
        chosen.parameters.insert("max_slot_wal_keep_size".into(), "1GB".into());
        assert_eq!(value(&chosen, "max_slot_wal_keep_size", &files).as_deref(), Some("1GB"), "witch.toml is the user's word, too");
    }

    #[test]
    fn whoever_synchronises_slots_gets_what_that_needs() {
        let settings = settings();
        assert_eq!(value(&settings, "hot_standby_feedback", &Said::default()).as_deref(), Some("off"));
        assert_eq!(value(&settings, "hot_standby_feedback", &said("sync_replication_slots = true")).as_deref(), Some("on"));
        let text = witch_conf(&settings, Some(&Endpoint { host: "h".into(), port: 1 }), &Said::default(), 15);
        assert!(text.contains("dbname=postgres"), "{text}");
    }

    #[test]
    fn a_parameter_may_raise_a_floor_and_replace_a_default() {
        let mut settings = settings();
        settings.parameters.insert("max_wal_senders".into(), "30".into());
        settings.parameters.insert("max_slot_wal_keep_size".into(), "-1".into());
        assert_eq!(settings.faults(), Vec::<String>::new());
        for (name, expected) in [("max_wal_senders", "30"), ("max_slot_wal_keep_size", "-1"), ("max_replication_slots", "10")] {
            assert_eq!(value(&settings, name, &Said::default()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn every_owned_setting_has_a_value() {
        let upstream = Endpoint { host: "h".into(), port: 1 };
        for owned in OWNED {
            assert!(settings().value_of(owned, Some(&upstream), &Said::default(), 15).is_some(), "{}", owned.name);
        }
    }
}
