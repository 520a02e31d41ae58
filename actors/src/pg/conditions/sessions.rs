//! What keeps Witch from asking a server, or a role or host from logging in.

use super::Row;
use crate::model::Bar;

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&OTHER_DATABASE, &NO_DATABASE, &RIGHTS];

/// The usual database cannot be entered, and another can.
pub static OTHER_DATABASE: Row = Row {
    id: "other-database",
    sign: "Witch's sessions are in another database than `postgres`",
    meaning: "the database `postgres` is gone or closed to connections, and Witch's sessions keep the other one from being dropped or renamed, and \
              `template1` from being copied",
    bars: Bar::Nothing,
    way_out: "run CREATE DATABASE postgres, or ALTER DATABASE postgres ALLOW_CONNECTIONS true",
};

/// None can.
pub static NO_DATABASE: Row = Row {
    id: "no-database",
    sign: "every database that Witch knows of refuses its connections: SQLSTATE 3D000 or 55000",
    meaning: "nobody can ask this server how far it is, or promote it over a session",
    bars: Bar::Promotion,
    way_out: "stop the cluster's writers, and open one in single-user mode on the primary: ALTER DATABASE template1 ALLOW_CONNECTIONS true",
};

/// The replication role lacks what the other nodes need.
pub static RIGHTS: Row = Row {
    id: "replication-rights",
    sign: "the replication role cannot be granted what it needs to read this primary's files",
    meaning: "a node that comes back asks as the superuser instead, and pg_rewind may fail",
    bars: Bar::Nothing,
    way_out: "see that the role exists, and that no event trigger on DDL refuses the GRANT",
};
