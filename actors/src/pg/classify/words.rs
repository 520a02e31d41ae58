//! What a message of the server's log or of a program means, in PostgreSQL 13 to 19.

mod copying;
mod damage;
mod outside;

use super::{Consequence, From, Row, Sign};

const MISSING: &str = "No such file or directory";

const fn row(
    id: &'static str,
    sign: (From, &'static str, &'static str),
    consequence: Consequence,
    meaning: &'static str,
    way_out: &'static str,
    examples: &'static [&'static str],
) -> Row {
    let (from, begins, holds) = sign;
    Row { id, sign: Sign::Words { from, begins, holds }, meaning, consequence, way_out, examples }
}

/// What a copy of the primary mends.
const fn mends(
    id: &'static str,
    begins: &'static str,
    holds: &'static str,
    meaning: &'static str,
    examples: &'static [&'static str],
) -> Row {
    row(
        id,
        (From::Server, begins, holds),
        Consequence::Clone,
        meaning,
        "Witch clones the primary's database when the start fails again and again",
        examples,
    )
}

/// What lies outside of the directory, or would come along with a copy.
const fn remains(
    id: &'static str,
    begins: &'static str,
    holds: &'static str,
    meaning: &'static str,
    way_out: &'static str,
    examples: &'static [&'static str],
) -> Row {
    row(id, (From::Server, begins, holds), Consequence::Operator, meaning, way_out, examples)
}

/// The end of a session, a receiver, or of a process that the postmaster ends: no reason why a server ended.
const fn passes(id: &'static str, begins: &'static str, examples: &'static [&'static str]) -> Row {
    row(id, (From::Server, begins, ""), Consequence::Wait, "it ended one session or receiver, not the server", "nothing", examples)
}

/// What `pg_rewind` says when only a copy helps.
const fn hopeless(
    id: &'static str,
    begins: &'static str,
    holds: &'static str,
    meaning: &'static str,
    examples: &'static [&'static str],
) -> Row {
    row(id, (From::Rewind, begins, holds), Consequence::Clone, meaning, "Witch clones the primary's database", examples)
}

/// The table. The first row that fits counts; the tests see that no example fits a second one.
pub fn all_words() -> impl Iterator<Item = &'static Row> {
    [damage::ROWS, outside::ROWS, copying::ROWS, ELSEWHERE].into_iter().flatten().copied()
}

/// What ended a session or a receiver, what a standby says of its upstream, and what `pg_rewind` says.
static ELSEWHERE: &[&Row] = &[
    &passes(
        "receiver-ends",
        "could not receive data from WAL stream",
        &["could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed"],
    ),
    &passes(
        "receiver-cannot-connect",
        "could not connect to the primary server",
        &["could not connect to the primary server: connection refused"],
    ),
    &passes(
        "receiver-cannot-connect-16",
        "streaming replication receiver \"",
        &["streaming replication receiver \"witch_2\" could not connect to the primary server: x"],
    ),
    &passes(
        "receiver-cannot-stream",
        "could not start WAL streaming",
        &["could not start WAL streaming: ERROR:  replication slot \"witch_2\" does not exist"],
    ),
    &passes("receiver-behind", "highest timeline ", &["highest timeline 1 of the primary is behind recovery timeline 2"]),
    &passes(
        "receiver-loads-nothing",
        "could not send data to WAL stream",
        &["could not send data to WAL stream: server closed the connection unexpectedly"],
    ),
    &passes(
        "process-ended",
        "terminating ",
        &[
            "terminating connection due to administrator command",
            "terminating walreceiver due to timeout",
            "terminating walreceiver process due to administrator command",
        ],
    ),
    &passes(
        "session-not-yet",
        "the database system is ",
        &[
            "the database system is starting up",
            "the database system is shutting down",
            "the database system is not yet accepting connections",
        ],
    ),
    &passes("session-wrong-password", "password authentication failed for user ", &["password authentication failed for user \"x\""]),
    &passes("session-wrong-peer", "Peer authentication failed for user ", &["Peer authentication failed for user \"x\""]),
    &passes(
        "session-wrong-way",
        "no pg_hba.conf entry for ",
        &["no pg_hba.conf entry for host \"1.2.3.4\", user \"x\", database \"y\", no encryption"],
    ),
    &passes(
        "session-rejected",
        "pg_hba.conf rejects ",
        &["pg_hba.conf rejects connection for host \"1.2.3.4\", user \"x\", database \"y\", no encryption"],
    ),
    &passes("session-unknown-role", "role \"", &["role \"x\" does not exist", "role \"x\" is not permitted to log in"]),
    &passes(
        "session-unknown-database",
        "database \"",
        &["database \"x\" does not exist", "database \"x\" is not currently accepting connections"],
    ),
    &passes("session-too-many", "sorry, too many clients already", &["sorry, too many clients already"]),
    &passes(
        "session-reserved",
        "remaining connection slots are reserved for ",
        &["remaining connection slots are reserved for roles with the SUPERUSER attribute"],
    ),
    &passes("session-lost", "connection to client lost", &["connection to client lost"]),
    &passes("session-protocol", "unsupported frontend protocol ", &["unsupported frontend protocol 1234.5679: server supports 3.0 to 3.0"]),
    &passes(
        "session-too-many-for-role",
        "too many connections for ",
        &["too many connections for role \"x\"", "too many connections for database \"x\""],
    ),
    &passes(
        "sender-too-many",
        "number of requested standby connections exceeds max_wal_senders",
        &["number of requested standby connections exceeds max_wal_senders (currently 10)"],
    ),
    &passes("session-not-allowed", "permission denied", &["permission denied for database \"x\"", "permission denied to start WAL sender"]),
    &row(
        "hint-removed",
        (From::Standby, "could not receive data from WAL stream: ERROR:  requested WAL segment ", "has already been removed"),
        Consequence::Compare,
        "the upstream may no longer have the log that the standby needs",
        "Witch asks the primary, and clones if it is so",
        &["could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed"],
    ),
    &row(
        "hint-ahead",
        (From::Standby, "could not receive data from WAL stream: ERROR:  requested starting point ", "is ahead of the WAL flush position"),
        Consequence::Compare,
        "the standby may have log that the primary never had",
        "Witch compares the two",
        &[
            "could not receive data from WAL stream: ERROR:  requested starting point 0/7000000 is ahead of the WAL flush position of this server 0/6000148",
        ],
    ),
    &row(
        "hint-other-history",
        (From::Standby, "could not start WAL streaming: ERROR:  requested starting point ", "is not in this server's history"),
        Consequence::Compare,
        "the standby may have log that the primary never had",
        "Witch compares the two",
        &["could not start WAL streaming: ERROR:  requested starting point 0/4000000 on timeline 1 is not in this server's history"],
    ),
    &row(
        "hint-ahead-at-start",
        (From::Standby, "could not start WAL streaming: ERROR:  requested starting point ", "is ahead of the WAL flush position"),
        Consequence::Compare,
        "the standby may have log that the primary never had",
        "Witch compares the two",
        &[
            "could not start WAL streaming: ERROR:  requested starting point 0/7000000 is ahead of the WAL flush position of this server 0/6000148",
        ],
    ),
    &row(
        "hint-forked",
        (From::Standby, "new timeline ", "forked off current database system timeline"),
        Consequence::Compare,
        "the standby may have log that the primary never had",
        "Witch compares the two",
        &["new timeline 2 forked off current database system timeline 1 before current recovery point 0/5000098"],
    ),
    &row(
        "hint-behind",
        (From::Standby, "highest timeline ", "of the primary is behind recovery timeline"),
        Consequence::Compare,
        "the standby may have log that the primary never had",
        "Witch compares the two",
        &["highest timeline 1 of the primary is behind recovery timeline 2"],
    ),
    &hopeless(
        "rewind-log-recycled",
        "could not find previous WAL record",
        "",
        "the log back to the fork is gone here",
        &["could not find previous WAL record at 0/3000028", "could not find previous WAL record at 0/3000028: invalid record length"],
    ),
    &hopeless(
        "rewind-log-unreadable",
        "could not read WAL record",
        "",
        "the log back to the fork is damaged here",
        &["could not read WAL record at 0/3000028: x"],
    ),
    &hopeless(
        "rewind-log-missing",
        "could not open file \"",
        MISSING,
        "a file that the rewind needs is missing",
        &["could not open file \"/data/pg_wal/000000010000000000000003\": No such file or directory"],
    ),
    &hopeless(
        "rewind-no-fork",
        "could not find common ancestor",
        "",
        "the two histories have nothing in common",
        &["could not find common ancestor of the source and target cluster's timelines"],
    ),
    &hopeless(
        "rewind-no-hints",
        "target server needs to use either data checksums",
        "",
        "a rewind would not see every block that changed",
        &["target server needs to use either data checksums or \"wal_log_hints = on\""],
    ),
    &hopeless(
        "rewind-other-version",
        "clusters are not compatible",
        "",
        "the two were made by different programs",
        &["clusters are not compatible with this version of pg_rewind"],
    ),
    &hopeless(
        "rewind-control-file",
        "unexpected control file size",
        "",
        "the control file is damaged",
        &["unexpected control file size 0, expected 8192"],
    ),
    &row(
        "rewind-refused",
        (From::Rewind, "connection to server", ""),
        Consequence::Operator,
        "pg_rewind cannot log in at the primary",
        "see that database.user can log in at the primary from this node, by password and pg_hba.conf",
        &["connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  password authentication failed for user \"postgres\""],
    ),
    &row(
        "rewind-refused-before-14",
        (From::Rewind, "could not connect to server", ""),
        Consequence::Operator,
        "pg_rewind cannot log in at the primary",
        "see that database.user can log in at the primary from this node, by password and pg_hba.conf",
        &["could not connect to server: FATAL:  password authentication failed for user \"postgres\""],
    ),
    &row(
        "rewind-not-allowed",
        (From::Rewind, "could not fetch ", ""),
        Consequence::Operator,
        "pg_rewind may not read the primary's files, or its session there ended",
        "make database.user a superuser; see the primary's log",
        &[
            "could not fetch file list: ERROR:  permission denied for function pg_ls_dir",
            "could not fetch remote file \"x\": ERROR:  permission denied for function pg_read_binary_file",
        ],
    ),
    &row(
        "rewind-closed-files",
        (From::Rewind, "could not open ", "Permission denied"),
        Consequence::Operator,
        "something in the data directory belongs to another user",
        "give what its words name to the server's user (chown), or move it out of the data directory",
        &[
            "could not open directory \"/data/lost+found\": Permission denied",
            "could not open target file \"/data/server.key\": Permission denied",
            "could not open file \"/data/x\" for reading: Permission denied",
        ],
    ),
    &row(
        "rewind-no-room",
        (From::Rewind, "could not write file \"", ""),
        Consequence::Operator,
        "the disk of this node is full or fails",
        "make room on the file system, or see the kernel's log",
        &["could not write file \"/data/base/5/1\": No space left on device"],
    ),
    &row(
        "rewind-no-program",
        (From::Rewind, "program \"postgres\"", ""),
        Consequence::Operator,
        "pg_rewind finds no server of its version beside it",
        "install the server's package whole, or set postgres.bin_dir right",
        &[
            "program \"postgres\" is needed by pg_rewind but was not found in the same directory as \"/bin/pg_rewind\"",
            "program \"postgres\" was found by \"x\" but was not the same version as pg_rewind",
        ],
    ),
];
