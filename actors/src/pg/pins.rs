//! What every session of Witch, and of the programs that it runs, pins in its start-up packet.
//!
//! What a user sets for a role, a database or the server is meant for that user's own sessions, and would reach the statements on which
//! the cluster's life depends. The start-up packet outranks all of it.

use super::quoting::conninfo_value;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A setting that is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub name: &'static str,
    /// The value.
    pub value: &'static str,
    /// Who may set it; a login that asks for more is refused.
    pub by: By,
    /// The first major version that has it; an older one refuses the login.
    pub since: u32,
    /// The last one that takes this value.
    pub until: u32,
    /// What it would do otherwise.
    pub because: &'static str,
}

/// Who may set a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Every role.
    Anybody,
    /// A superuser, and the replication role, which is granted it.
    Granted,
    /// A superuser.
    Superuser,
}

/// As whom a session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Witch's superuser.
    Superuser,
    /// The replication role, with all that it is granted.
    Replication,
    /// The replication role on a server that may not have granted it anything.
    Ungranted,
}

const ALWAYS: u32 = 13;
const NEWEST: u32 = u32::MAX;

const fn pin(name: &'static str, value: &'static str, by: By, because: &'static str) -> Pin {
    Pin { name, value, by, since: ALWAYS, until: NEWEST, because }
}

const fn anybody(name: &'static str, value: &'static str, because: &'static str) -> Pin {
    pin(name, value, By::Anybody, because)
}

const fn superuser(name: &'static str, value: &'static str, because: &'static str) -> Pin {
    pin(name, value, By::Superuser, because)
}

impl Pin {
    const fn since(self, major: u32) -> Self {
        Self { since: major, ..self }
    }

    const fn until(self, major: u32) -> Self {
        Self { until: major, ..self }
    }

    const fn applies(&self, role: Role, major: u32) -> bool {
        let may = match (self.by, role) {
            (By::Anybody, _) | (By::Granted | By::Superuser, Role::Superuser) | (By::Granted, Role::Replication) => true,
            (By::Granted, Role::Ungranted) | (By::Superuser, Role::Replication | Role::Ungranted) => false,
        };
        may && self.since <= major && major <= self.until
    }
}

const FOREIGN_CODE: &str = "nothing that others make may run with Witch's rights";
const STANDBY: &str = "a standby refuses it, and a primary must be written to";
const TIMEOUT: &str = "Witch has deadlines of its own; a policy for applications must not end its sessions";
const LOG: &str = "Witch asks many times a minute, which must not fill the user's log";
const FORM: &str = "answers are read in this form";
const STATISTICS: &str = "Witch's statements are nobody's load";

/// The table.
pub static PINS: &[Pin] = &[
    // `pg_temp` is searched first unless it is named.
    anybody("search_path", "pg_catalog,pg_temp", FOREIGN_CODE),
    anybody("role", "none", "the rights are those of the role that logged in"),
    anybody("local_preload_libraries", "", FOREIGN_CODE),
    superuser("session_preload_libraries", "", "a library that is missing ends every login"),
    pin("event_triggers", "off", By::Granted, "a trigger on logins runs with Witch's rights, and one that fails ends every login")
        .since(17),
    superuser("session_replication_role", "origin", "triggers of the catalogue work as usual"),
    anybody("default_transaction_isolation", "read committed", STANDBY),
    anybody("default_transaction_read_only", "off", STANDBY),
    anybody("default_transaction_deferrable", "off", STANDBY),
    anybody("synchronous_commit", "local", "what Witch writes must not wait for a standby that may be gone"),
    anybody("statement_timeout", "0", TIMEOUT),
    anybody("lock_timeout", "0", TIMEOUT),
    anybody("idle_in_transaction_session_timeout", "0", TIMEOUT),
    anybody("idle_session_timeout", "0", TIMEOUT).since(14),
    anybody("transaction_timeout", "0", TIMEOUT).since(17),
    anybody("client_connection_check_interval", "0", TIMEOUT).since(14),
    anybody("tcp_user_timeout", "0", TIMEOUT),
    anybody("post_auth_delay", "0", "it delays every login"),
    anybody("exit_on_error", "off", "an error ends a statement, not the session"),
    superuser("log_statement", "none", LOG),
    superuser("log_min_duration_statement", "-1", LOG),
    superuser("log_min_duration_sample", "-1", LOG),
    superuser("log_transaction_sample_rate", "0", LOG),
    superuser("log_min_error_statement", "panic", LOG),
    superuser("log_duration", "off", LOG),
    superuser("log_parser_stats", "off", LOG),
    superuser("log_planner_stats", "off", LOG),
    superuser("log_executor_stats", "off", LOG),
    superuser("log_statement_stats", "off", LOG),
    superuser("log_disconnections", "off", LOG),
    // Without the module, they are names that mean nothing.
    superuser("pgaudit.log", "none", LOG),
    superuser("auto_explain.log_min_duration", "-1", LOG),
    superuser("pg_stat_statements.track", "none", STATISTICS),
    superuser("lc_messages", "C", FORM),
    anybody("client_min_messages", "error", FORM),
    anybody("DateStyle", "ISO,MDY", FORM),
    anybody("IntervalStyle", "postgres", FORM),
    anybody("bytea_output", "hex", FORM),
    anybody("extra_float_digits", "1", FORM),
    // Later versions know no other value.
    anybody("standard_conforming_strings", "on", FORM).until(18),
    anybody("row_security", "on", FORM),
    anybody("jit", "off", "to compile a statement takes longer than to run it"),
    anybody("max_parallel_workers_per_gather", "0", "Witch's statements are small"),
];

fn pins(role: Role, major: u32) -> impl Iterator<Item = &'static Pin> {
    PINS.iter().filter(move |pin| pin.applies(role, major))
}

/// The `options` of a start-up packet to a server of that major version.
#[must_use]
pub fn options(role: Role, major: u32) -> String {
    let escaped = |pin: &Pin| format!("-c {}={}", pin.name, pin.value.replace('\\', "\\\\").replace(' ', "\\ "));
    pins(role, major).map(escaped).collect::<Vec<_>>().join(" ")
}

/// The same as part of a connection string.
#[must_use]
pub fn conninfo(role: Role, major: u32) -> String {
    format!("options={}", conninfo_value(&options(role, major)))
}

/// The same on the command line of a server in single-user mode, where no role's or database's settings are read.
#[must_use]
pub fn arguments(major: u32) -> Vec<String> {
    pins(Role::Superuser, major).flat_map(|pin| [String::from("-c"), format!("{}={}", pin.name, pin.value)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_setting_is_pinned_once_and_for_a_reason() {
        let mut names = BTreeSet::new();
        for pin in PINS {
            assert!(names.insert(pin.name), "{} is pinned twice", pin.name);
            assert!(!pin.because.is_empty() && pin.since >= ALWAYS && pin.until >= pin.since, "{}", pin.name);
        }
    }

    #[test]
    fn a_version_is_told_what_it_knows_and_a_role_sets_what_it_may() {
        assert!(options(Role::Superuser, 13).contains("-c search_path=pg_catalog,pg_temp -c role=none"));
        assert!(options(Role::Superuser, 13).contains(r"-c default_transaction_isolation=read\ committed"));
        for (role, major, name, pinned) in [
            (Role::Superuser, 16, "event_triggers", false),
            (Role::Superuser, 17, "event_triggers", true),
            (Role::Replication, 17, "event_triggers", true),
            (Role::Ungranted, 17, "event_triggers", false),
            (Role::Replication, 17, "log_statement=", false),
            (Role::Superuser, 13, "idle_session_timeout", false),
            (Role::Replication, 14, "idle_session_timeout", true),
            (Role::Superuser, 16, "transaction_timeout", false),
            (Role::Superuser, 18, "standard_conforming_strings", true),
            (Role::Superuser, 19, "standard_conforming_strings", false),
        ] {
            assert_eq!(options(role, major).contains(&format!("-c {name}")), pinned, "{name} as {role:?} on {major}");
        }
    }

    #[test]
    fn the_search_path_ends_with_what_anybody_can_create_in() {
        let path = PINS.iter().find(|pin| pin.name == "search_path").map(|pin| pin.value);
        assert_eq!(path, Some("pg_catalog,pg_temp"));
    }
}
