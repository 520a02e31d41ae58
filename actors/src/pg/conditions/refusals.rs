//! What a server refuses to Witch or to its standbys, before anybody depends on it.

use super::Row;
use crate::model::Bar;

/// This node's own server refuses Witch's login.
pub static OWN_LOGIN_REFUSED: Row = Row {
    id: "own-login-refused",
    sign: "this node's server answers a login of `database.user` with SQLSTATE 28xxx, 3D000, 42501, 55000 or 0A000",
    meaning: "Witch cannot log in to this node's own database, so it could not look after it as a primary",
    bars: Bar::AmongEquals,
    way_out: "set the role's password to the one in witch.toml (ALTER ROLE ... PASSWORD) or change witch.toml on every node, and see that the role has \
              LOGIN, SUPERUSER and an unexpired VALID UNTIL, that its settings do no harm, and that pg_hba.conf lets it in",
};

/// This node's own server is full.
pub static OWN_SERVER_FULL: Row = Row {
    id: "own-server-full",
    sign: "this node's server answers a login of `database.user` with SQLSTATE 53300",
    meaning: "every connection of this node's own database is in use, so Witch can ask it no more questions",
    bars: Bar::Nothing,
    way_out: "end connections, or raise max_connections or superuser_reserved_connections",
};

/// The primary refuses Witch's login.
pub static PRIMARY_LOGIN_REFUSED: Row = Row {
    id: "primary-login-refused",
    sign: "the primary answers a login of `database.user` from this node with an error",
    meaning: "this node streams on, but could neither be compared with its primary nor rewound if it had to be",
    bars: Bar::Streaming,
    way_out: "set the role's password to the one in witch.toml (ALTER ROLE ... PASSWORD) or change witch.toml on every node, and see that the role has \
              LOGIN, SUPERUSER and an unexpired VALID UNTIL, and that the primary's pg_hba.conf lets it in from this node",
};

/// The primary refuses a standby's login.
pub static REPLICATION_REFUSED: Row = Row {
    id: "replication-refused",
    sign: "the primary answers a replication connection of `postgres.replication_user` from this node with an error",
    meaning: "this node could neither connect to its primary anew nor be cloned from it",
    bars: Bar::Streaming,
    way_out: "set the role's password to postgres.replication_password (ALTER ROLE ... PASSWORD) or change witch.toml on every node, and see that the \
              role has LOGIN, REPLICATION and an unexpired VALID UNTIL, and that a `replication` line of the primary's pg_hba.conf lets it in",
};

/// The primary has no WAL sender left.
pub static SENDERS_FULL: Row = Row {
    id: "wal-senders-full",
    sign: "the primary answers a replication connection from this node with SQLSTATE 53300",
    meaning: "every WAL sender of the primary is in use, so this node could neither connect to it anew nor be cloned from it",
    bars: Bar::Streaming,
    way_out: "end what streams without need (pg_stat_replication), or raise max_wal_senders (a restart of the primary)",
};

/// A role of Witch's is about to be of no use.
pub static ROLE_UNFIT: Row = Row {
    id: "role-unfit",
    sign: "pg_authid says NOLOGIN, no SUPERUSER or REPLICATION, VALID UNTIL within a week, or a password that is stored as MD5; or the role may \
           not CONNECT",
    meaning: "a role that Witch or its standbys log in as lacks what they need, or will soon",
    bars: Bar::Nothing,
    way_out: "give the role what it lacks, by ALTER ROLE on the primary: LOGIN, SUPERUSER (database.user) or REPLICATION (postgres.replication_user), VALID UNTIL 'infinity'; \
              for MD5 set the password anew with password_encryption = 'scram-sha-256'; GRANT CONNECT ON DATABASE",
};

/// There were too many clones.
pub static CLONES_SPENT: Row = Row {
    id: "clones-spent",
    sign: "`clones` in cluster.data_dir counts as many clones within 24 hours as one cause, or the same words, may have",
    meaning: "a further copy of the primary is not likely to mend this node, so none is made, and all that lies here is kept",
    bars: Bar::Streaming,
    way_out: "mend what the words name; then empty the data directory, or remove the file `clones` in cluster.data_dir, and Witch clones at once",
};

/// The rows of this topic.
pub static ROWS: &[&Row] =
    &[&OWN_LOGIN_REFUSED, &OWN_SERVER_FULL, &PRIMARY_LOGIN_REFUSED, &REPLICATION_REFUSED, &SENDERS_FULL, &ROLE_UNFIT, &CLONES_SPENT];
