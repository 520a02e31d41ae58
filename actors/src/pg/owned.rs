//! The PostgreSQL settings that Witch owns, with their reasons. The documentation prints this table.
//!
//! Those that need a restart are given to the server as `-c`, which nothing overrides. The others stand in `witch.conf`, which
//! `postgresql.conf` includes last; `postgresql.auto.conf` would override them, so they are stripped from there.
//!
//! The user's files hold unless safety forbids: what is a default of Witch's gives way to them, a floor is raised by them, and what cannot
//! be followed is named.

use super::said::Said;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A setting that Witch has a say in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Its name.
    pub name: &'static str,
    /// What Witch makes of it.
    pub value: Value,
    /// When a change takes effect.
    pub applies: Applies,
    /// Why.
    pub because: &'static str,
    /// The major version that brought it; an older server refuses to start with a setting that it does not know.
    pub since: u32,
    /// The last major version that knows it.
    pub until: u32,
}

/// The oldest version that Witch runs knows a setting unless the table says otherwise.
const OLDEST: u32 = 13;

/// What Witch makes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Always this.
    Fixed(&'static str),
    /// What that key of `witch.toml` says.
    Key(&'static str),
    /// Computed by Witch, from what the words name.
    Computed(&'static str),
    /// Witch's own, from what the words name, and beside it what the user says.
    Joined(&'static str),
    /// At least this many; the user may raise it.
    Count(u32),
    /// At least so many megabytes; the user may raise it.
    Megabytes(u64),
    /// One of these, the first unless the user chooses.
    OneOf(&'static [&'static str]),
    /// This, unless the user says otherwise.
    Default(&'static str),
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// When the server starts.
    AtStart,
    /// At a reload.
    AtReload,
}

const fn at_start(name: &'static str, value: Value, because: &'static str) -> Owned {
    Owned { name, value, applies: Applies::AtStart, because, since: OLDEST, until: u32::MAX }
}

const fn at_reload(name: &'static str, value: Value, because: &'static str) -> Owned {
    Owned { name, value, applies: Applies::AtReload, because, since: OLDEST, until: u32::MAX }
}

/// A primary runs on with a target that was left in its configuration; as a standby it would obey.
const fn no_target(name: &'static str) -> Owned {
    at_start(name, Value::Fixed(""), "a target would end a standby's recovery, and a promotion would drop all that comes after it")
}

impl Owned {
    const fn since(self, major: u32) -> Self {
        Self { since: major, ..self }
    }

    const fn until(self, major: u32) -> Self {
        Self { until: major, ..self }
    }

    /// Whether that version knows it.
    #[must_use]
    pub const fn is_known_to(&self, major: u32) -> bool {
        self.since <= major && major <= self.until
    }

    /// Whether a line of the user's files holds: it is followed, or is no business of Witch's.
    #[must_use]
    pub fn follows(&self, value: &str) -> bool {
        match self.value {
            Value::Joined(_) | Value::Default(_) => true,
            Value::Count(least) => value.trim().parse::<u32>().is_ok_and(|count| count >= least),
            Value::Megabytes(least) => megabytes(value).is_some_and(|size| size >= least),
            Value::OneOf(choices) => choices.contains(&value),
            Value::Fixed(_) | Value::Key(_) | Value::Computed(_) => false,
        }
    }
}

/// The setting of that name, if Witch has a say in it.
#[must_use]
pub fn find(name: &str) -> Option<&'static Owned> {
    OWNED.iter().find(|owned| owned.name == name)
}

/// The table.
pub static OWNED: &[Owned] = &[
    at_start("data_directory", Value::Key("postgres.data_dir"), "a configuration file must not lead the server elsewhere"),
    at_start("listen_addresses", Value::Key("postgres.listen"), "peers reach the database where the members' records say"),
    at_start("port", Value::Key("database.port"), "peers reach the database where the members' records say"),
    at_start(
        "unix_socket_directories",
        Value::Joined("cluster.data_dir, where a socket's path fits"),
        "Witch speaks to its own server over a socket of its own",
    ),
    at_start("hba_file", Value::Key("postgres.pg_hba"), "Witch writes it into the data directory"),
    at_start("cluster_name", Value::Key("cluster.name"), "the process list shows whose server it is"),
    at_start("wal_level", Value::OneOf(&["replica", "logical"]), "standbys need the whole log"),
    at_start("hot_standby", Value::Fixed("on"), "a standby that nobody can ask cannot report how far it is"),
    at_start("max_wal_senders", Value::Count(10), "every standby needs one, and a clone two more"),
    at_start("max_replication_slots", Value::Count(10), "every other data node has one, and a clone needs one more"),
    at_start("wal_log_hints", Value::Fixed("on"), "pg_rewind must see every block that changed"),
    at_start("recovery_target_timeline", Value::Fixed("latest"), "a standby follows its primary over each promotion"),
    no_target("recovery_target"),
    no_target("recovery_target_lsn"),
    no_target("recovery_target_name"),
    no_target("recovery_target_time"),
    no_target("recovery_target_xid"),
    at_start(
        "recovery_init_sync_method",
        Value::Default("syncfs"),
        "after a crash the server first brings its directory to disk: file by file that takes seconds, during which nobody can write",
    )
    .since(14),
    // It is only for whom nobody sent away before the stop; the target has all but the last record by then.
    at_start("wal_sender_shutdown_timeout", Value::Fixed("4s"), "a receiver that takes nothing must not keep a stop waiting").since(19),
    at_start("promote_trigger_file", Value::Fixed(""), "a file of that name would promote a standby behind Witch's back").until(15),
    at_reload(
        "synchronous_standby_names",
        Value::Fixed(""),
        "this version of witch replicates asynchronously, and would not know whom a commit waits for",
    ),
    at_reload(
        "recovery_min_apply_delay",
        Value::Fixed("0"),
        "a delayed standby that restarts connects to nobody before the delay of what it has is over, and cannot take over meanwhile",
    ),
    at_reload("full_page_writes", Value::Fixed("on"), "pg_rewind and pg_basebackup need whole pages in the log"),
    at_reload("primary_conninfo", Value::Computed("the member record of the primary"), "a standby follows the primary that was appointed"),
    at_reload("primary_slot_name", Value::Computed("witch_<node_id>"), "the primary keeps what this standby has not yet received"),
    at_reload("wal_keep_size", Value::Megabytes(256), "a standby that was away for a moment needs no clone, even without a slot"),
    at_reload("max_slot_wal_keep_size", Value::Default("4GB"), "a standby that stays away must not fill the primary's disk"),
    at_reload(
        "wal_retrieve_retry_interval",
        Value::Fixed("500ms"),
        "the pause before a standby tries its upstream again is part of every failover",
    ),
    at_reload("wal_sender_timeout", Value::Fixed("10s"), "a dead standby lets go of its connection soon"),
    at_reload("wal_receiver_timeout", Value::Fixed("10s"), "a standby notices soon that its upstream is gone"),
    at_reload("hot_standby_feedback", Value::Default("off"), "a long query on a standby must not bloat the primary unasked"),
    at_reload(
        "restart_after_crash",
        Value::Fixed("on"),
        "after the crash of one backend the server recovers within its own process, faster than any restart, and the guard goes on fencing it",
    ),
    at_reload("password_encryption", Value::Default("scram-sha-256"), "the default pg_hba lines ask for it; PostgreSQL 13 would store MD5"),
];

/// Settings about a target for recovery, or gone since PostgreSQL 16, that would make a standby end its recovery on its own.
const ENDS_RECOVERY: [&str; 2] = ["recovery_target", "promote_trigger_file"];

/// Settings that Witch does not make and nobody may make here, with what stands against it.
const UNWANTED: [(&str, &str); 2] = [
    ("config_file", "the configuration lies in the data directory, where Witch includes its own"),
    ("ident_file", "it lies in the data directory"),
];

/// Whether a line for this setting in `postgresql.auto.conf` has to go.
#[must_use]
pub fn is_stripped(name: &str, value: &str) -> bool {
    ENDS_RECOVERY.iter().any(|prefix| name.starts_with(prefix)) || find(name).is_some_and(|owned| !owned.follows(value))
}

/// What cannot be shown of a value: it may hold a password.
const SECRETIVE: [&str; 1] = ["primary_conninfo"];

/// What the user's files say and Witch does not follow, each with its place, what Witch makes of it and why.
#[must_use]
pub fn overridden(said: &Said, value_of: impl Fn(&Owned) -> Option<String>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, word) in said.iter() {
        let shown = if SECRETIVE.contains(&name) { "...".to_string() } else { word.value.clone() };
        let Some(owned) = find(name) else {
            if ENDS_RECOVERY.iter().any(|prefix| name.starts_with(prefix)) {
                all.push(format!("{name} = '{shown}' ({}) is unset: it would end a standby's recovery", word.place));
            }
            continue;
        };
        let own = value_of(owned).unwrap_or_default();
        if owned.follows(&word.value) || super::said::alike(&own, &word.value) {
            continue;
        }
        let own = if SECRETIVE.contains(&name) { "its own".to_string() } else { format!("'{own}'") };
        all.push(format!("{name} = '{shown}' ({}) is {own} under Witch: {}", word.place, owned.because));
    }
    all
}

/// Why a line of a file cannot stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rule that it breaks.
    pub rule: String,
    /// What to do.
    pub fix: String,
}

/// What is wrong with a line of `[postgres.parameters]`. None: nothing.
#[must_use]
pub fn parameter_fault(name: &str, value: &str) -> Option<Refused> {
    let refused = |rule: String, fix: &str| Some(Refused { rule, fix: String::from(fix) });
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte));
    if !plain {
        let rule = "a parameter's name has small letters, digits, `_` and `.` only";
        return refused(String::from(rule), "write it as PostgreSQL's manual does");
    }
    if value.chars().any(|c| matches!(c, '\n' | '\r' | '\0')) {
        return refused(String::from("the value has more than one line"), "write it on one");
    }
    if let Some((_, because)) = UNWANTED.iter().find(|(unwanted, _)| *unwanted == name) {
        return refused(String::from(*because), "remove it");
    }
    let Some(owned) = find(name) else {
        let ends = ENDS_RECOVERY.iter().any(|prefix| name.starts_with(prefix));
        return if ends { refused(String::from("it would end a standby's recovery behind Witch's back"), "remove it") } else { None };
    };
    let because = owned.because;
    match owned.value {
        Value::Fixed("") => refused(format!("Witch leaves it empty: {because}"), "remove it"),
        Value::Fixed(fixed) => refused(format!("Witch sets it to `{fixed}`: {because}"), "remove it"),
        Value::Key(other) => refused(format!("Witch sets it from {other}: {because}"), &format!("set {other}, and remove this")),
        Value::Computed(from) => refused(format!("Witch sets it from {from}: {because}"), "remove it"),
        Value::Count(least) => match value.trim().parse::<u32>() {
            Ok(count) if count >= least => None,
            _ => refused(format!("`{value}` is no number of at least {least}: {because}"), "raise it, or remove it"),
        },
        Value::Megabytes(least) => match megabytes(value) {
            Some(size) if size >= least => None,
            _ => refused(format!("`{value}` is no size of at least {least}MB: {because}"), "raise it, or remove it"),
        },
        Value::OneOf(choices) if !choices.contains(&value) => {
            refused(format!("`{value}` is not one of {}: {because}", choices.join(", ")), "choose one of them, or remove it")
        }
        Value::OneOf(_) | Value::Default(_) | Value::Joined(_) => None,
    }
}

/// A size as PostgreSQL writes it, where a bare number counts megabytes (as it does for `wal_keep_size`).
fn megabytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    Some(match text[digits..].trim() {
        "kB" => number / 1024,
        "MB" | "" => number,
        "GB" => number.checked_mul(1 << 10)?,
        "TB" => number.checked_mul(1 << 20)?,
        _ => return None,
    })
}

/// What is wrong with an argument for `initdb`. None: nothing.
pub(super) fn initdb_fault(argument: &str) -> Option<String> {
    const LONG: [&str; 9] =
        ["--pgdata", "--username", "--pwfile", "--pwprompt", "--auth", "--auth-host", "--auth-local", "--no-data-checksums", "--show"];
    const SHORT: [&str; 4] = ["-D", "-U", "-W", "-A"];
    let name = argument.split('=').next().unwrap_or_default();
    if !argument.starts_with('-') {
        return Some(format!(
            "postgres.initdb: `{argument}` would name a data directory; write an option with its value as one word, `--option=value`"
        ));
    }
    let chosen = LONG.contains(&name) || SHORT.iter().any(|option| !argument.starts_with("--") && argument.starts_with(option));
    chosen.then(|| format!("postgres.initdb: `{argument}` is for Witch to choose; remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_server_does_not_know_is_told_at_the_start_where_the_version_is_known() {
        for owned in OWNED.iter().filter(|owned| owned.since > OLDEST || owned.until < u32::MAX) {
            assert_eq!(owned.applies, Applies::AtStart, "{}: witch.conf is the same for every version", owned.name);
        }
    }
}
