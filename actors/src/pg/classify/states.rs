//! What a SQLSTATE means for whoever asked.

use super::{Consequence, Row, Sign};

const fn row(
    id: &'static str,
    state: &'static str,
    consequence: Consequence,
    meaning: &'static str,
    way_out: &'static str,
    examples: &'static [&'static str],
) -> Row {
    Row { id, sign: Sign::State(state), meaning, consequence, way_out, examples }
}

/// Whatever no row names.
pub(super) static UNKNOWN: Row = row(
    "state-unknown",
    "",
    Consequence::Retry,
    "the server refuses, for a reason that Witch has no name for",
    "see the server's own words and its log; everything is kept, and it is tried again",
    &["99999", "22023", "P0001", "42883", "25006", "40001", "54000"],
);

/// The table. The longest sign that fits counts.
pub static STATES: &[&Row] = &[
    &row(
        "state-connection",
        "08",
        Consequence::Wait,
        "the connection broke, or the two sides do not speak the same protocol",
        "see the network, and that a PostgreSQL listens there and no proxy",
        &["08006", "08P01", "08001"],
    ),
    &row(
        "state-not-supported",
        "0A",
        Consequence::Operator,
        "the server cannot do this in its state, or by its settings for this role or database",
        "see the settings of Witch's role (ALTER ROLE ... SET, ALTER DATABASE ... SET) and take back what its message names",
        &["0A000"],
    ),
    &row(
        "state-login-refused",
        "28",
        Consequence::Operator,
        "the server knows the role not, lets it not log in, or has no line for it in pg_hba.conf",
        "see that the role exists with LOGIN and an unexpired VALID UNTIL, and that pg_hba.conf has a line for it from this node",
        &["28000"],
    ),
    &row(
        "state-wrong-password",
        "28P01",
        Consequence::Operator,
        "the password in witch.toml is not the role's, has expired (VALID UNTIL), or is stored as MD5",
        "set the role's password to the one in witch.toml (ALTER ROLE ... PASSWORD), or change witch.toml on every node and restart its daemon",
        &["28P01"],
    ),
    &row(
        "state-no-database",
        "3D",
        Consequence::Operator,
        "the database that is asked for does not exist there",
        "create the database `postgres` anew: CREATE DATABASE postgres TEMPLATE template0",
        &["3D000"],
    ),
    &row(
        "state-not-allowed",
        "42501",
        Consequence::Operator,
        "the role lacks a right",
        "make database.user a superuser with CONNECT on the database, and give postgres.replication_user REPLICATION",
        &["42501"],
    ),
    &row(
        "state-short-of-resources",
        "53",
        Consequence::Wait,
        "the server is short of memory, files or disk",
        "see its host's memory and disks",
        &["53000", "53200", "53400"],
    ),
    &row("state-disk-full", "53100", Consequence::Wait, "the server's disk is full", "make room on its file system", &["53100"]),
    &row(
        "state-too-many-connections",
        "53300",
        Consequence::Wait,
        "every connection that the server, the role or the database may have, or every WAL sender, is in use",
        "end connections, or raise max_connections, max_wal_senders or CONNECTION LIMIT",
        &["53300"],
    ),
    &row(
        "state-not-ready",
        "55",
        Consequence::Operator,
        "the object is not in the state that this needs: a database that is closed to connections, a slot or a setting",
        "see the server's words; a closed database is opened by ALTER DATABASE ... ALLOW_CONNECTIONS true",
        &["55000", "55P02", "55P04"],
    ),
    &row("state-in-use", "55006", Consequence::Wait, "the object is in use", "wait, or end who uses it", &["55006"]),
    &row("state-locked", "55P03", Consequence::Wait, "the object is locked", "wait, or end who holds the lock", &["55P03"]),
    &row(
        "state-intervention",
        "57",
        Consequence::Wait,
        "somebody or a time-out ended the question, or the server starts, stops or recovers",
        "wait; see its log if it lasts",
        &["57014", "57P01", "57P02", "57P03", "57P05"],
    ),
    &row(
        "state-database-dropped",
        "57P04",
        Consequence::Operator,
        "the database was dropped under the session",
        "create the database `postgres` anew: CREATE DATABASE postgres TEMPLATE template0",
        &["57P04"],
    ),
    &row(
        "state-system",
        "58",
        Consequence::Retry,
        "the server's operating system or disk failed it, or a file of it is not there",
        "see the server's log and its host's; a file that is missing may only be late",
        &["58000", "58030", "58P01"],
    ),
    &row(
        "state-settings",
        "F0",
        Consequence::Operator,
        "a file of the server's configuration is faulty",
        "see the file and line that its log names",
        &["F0000", "F0001"],
    ),
    &row(
        "state-internal",
        "XX",
        Consequence::Operator,
        "the server found something that should never be, such as damaged data",
        "see its log; a damaged primary is restored from a backup or handed over to a standby, since a copy of it is damaged as well",
        &["XX000", "XX001", "XX002"],
    ),
    &UNKNOWN,
];
