//! The texts of the files that tell the server what Witch wants of it.

use super::owned::{Applies, OWNED, Owned, Value};
use super::quoting::{conf_value, conninfo_value, passfile_field};
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
    /// The value of a setting that Witch owns. None: PostgreSQL's own default, or whatever its files say, is left as it is.
    #[must_use]
    pub fn value_of(&self, owned: &Owned, upstream: Option<&Endpoint>, major: u32) -> Option<String> {
        let raised = self.parameters.get(owned.name);
        match owned.value {
            Value::Fixed(value) => Some(value.to_string()),
            Value::Default(value) => Some(raised.map_or(value, String::as_str).to_string()),
            Value::OneOf(choices) => Some(raised.map_or(choices[0], String::as_str).to_string()),
            Value::Count(least) => Some(raised.cloned().unwrap_or_else(|| format!("{least}"))),
            Value::Megabytes(least) => Some(raised.cloned().unwrap_or_else(|| format!("{least}MB"))),
            Value::Key(_) | Value::Computed(_) => match owned.name {
                "data_directory" => Some(self.data_dir.clone()),
                "hba_file" => Some(format!("{}/pg_hba.conf", self.data_dir)),
                "listen_addresses" => Some(self.listen.clone()),
                "port" => Some(format!("{}", self.port)),
                // The value is a list; in quotes a comma or a space is part of a name.
                "unix_socket_directories" => Some(self.socket_dir().map_or_else(String::new, |dir| format!("\"{dir}\""))),
                "cluster_name" => Some(self.cluster.clone()),
                "primary_conninfo" => Some(upstream.map_or_else(String::new, |upstream| self.primary_conninfo(upstream, major))),
                "primary_slot_name" => Some(upstream.map_or_else(String::new, |_| Self::slot_of(self.node))),
                _ => None,
            },
        }
    }

    /// How this node's standby reaches its upstream. Half a minute of silence is too long for a database: the kernel's own patience is set,
    /// too.
    fn primary_conninfo(&self, upstream: &Endpoint, major: u32) -> String {
        format!(
            "{} application_name={} keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000",
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

/// `witch.conf`: what the user wants, and what Witch owns and a reload can change.
#[must_use]
pub fn witch_conf(settings: &Settings, upstream: Option<&Endpoint>, major: u32) -> String {
    let mut text = HEADER.to_string();
    let mut set = |name: &str, value: &str| text.push_str(&format!("{name} = {}\n", conf_value(value)));
    for (name, value) in &settings.parameters {
        if !OWNED.iter().any(|owned| owned.name == name) {
            set(name, value);
        }
    }
    for owned in OWNED.iter().filter(|owned| owned.applies == Applies::AtReload) {
        if let Some(value) = settings.value_of(owned, upstream, major) {
            set(owned.name, &value);
        }
    }
    text
}

/// `pg_hba.conf`: the user's lines, or the default ones.
#[must_use]
pub fn pg_hba(settings: &Settings, os_user: &str) -> String {
    let default = if settings.pg_hba.is_empty() { settings.default_pg_hba(os_user) } else { Vec::new() };
    let mut text = HEADER.to_string();
    for line in settings.pg_hba.iter().chain(&default) {
        text.push_str(line);
        text.push('\n');
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

/// `postgresql.auto.conf` without the settings that `goes` names.
#[must_use]
pub fn without(text: &[u8], goes: impl Fn(&str) -> bool) -> Vec<u8> {
    let name_of = |line: &[u8]| {
        let name = line.split(|byte| b"= \t".contains(byte)).next().unwrap_or_default();
        String::from_utf8_lossy(name).to_ascii_lowercase()
    };
    text.split_inclusive(is_end).filter(|line| !goes(&name_of(line.trim_ascii_start()))).flatten().copied().collect()
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
        assert_eq!(without(text, is_stripped), b"# a comment\nwork_mem = '4MB'\nhot_standby_feedback = 'on'\n");
    }

    #[test]
    fn a_standby_knows_its_upstream_and_no_password() {
        let upstream = Endpoint { host: "db 1".into(), port: 5433 };
        let text = witch_conf(&settings(), Some(&upstream), 15);
        assert!(text.contains(r"primary_conninfo = 'host=''db 1'' port=5433 user=''replicator'' passfile=''/state/pgpass''"), "{text}");
        assert!(text.contains("primary_slot_name = 'witch_4'") && text.contains("application_name=witch_4"), "{text}");
        assert!(text.contains("work_mem = '5MB'") && !text.contains("secret"), "{text}");
        let text = witch_conf(&settings(), None, 15);
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
        assert!(pg_hba(&settings, "postgres").contains("host    replication  \"replicator\"  all  scram-sha-256"));
        settings.pg_hba = Vec::from(["local all all trust".to_string()]);
        assert_eq!(pg_hba(&settings, "postgres"), HEADER.to_string() + "local all all trust\n");
    }

    #[test]
    fn a_parameter_may_raise_a_floor_and_replace_a_default() {
        let mut settings = settings();
        settings.parameters.insert("max_wal_senders".into(), "30".into());
        settings.parameters.insert("max_slot_wal_keep_size".into(), "-1".into());
        assert_eq!(settings.faults(), Vec::<String>::new());
        let value = |name: &str| settings.value_of(OWNED.iter().find(|owned| owned.name == name).expect("is owned"), None, 15);
        assert_eq!(value("max_wal_senders").as_deref(), Some("30"));
        assert_eq!(value("max_slot_wal_keep_size").as_deref(), Some("-1"));
        assert_eq!(value("max_replication_slots").as_deref(), Some("10"));
    }

    #[test]
    fn every_owned_setting_has_a_value() {
        let upstream = Endpoint { host: "h".into(), port: 1 };
        for owned in OWNED {
            assert!(settings().value_of(owned, Some(&upstream), 15).is_some(), "{}", owned.name);
        }
    }
}
