//! Programs and libraries on the host that are not those of the running server.

use super::Row;
use crate::model::Bar;

/// The programs were replaced by others of the same major version.
pub static PENDING_RESTART: Row = Row {
    id: "pending-restart",
    sign: "`pending restart: 15.20 installed, 15.18 runs`",
    meaning: "the programs were replaced while the server runs, and a receiver that starts now may not find what it needs in the new libraries",
    bars: Bar::Nothing,
    way_out: "a standby that does not stream for it is restarted by Witch; for the primary ask for a switchover, which brings it back as a standby of \
              the new version",
};

/// Programs are gone.
pub static MISSING: Row = Row {
    id: "programs-missing",
    sign: "`/usr/lib/postgresql/15/bin has no postgres, pg_rewind`",
    meaning: "the running server goes on, but once it ends it cannot be started, rewound or cloned here",
    bars: Bar::AmongEquals,
    way_out: "install the packages of the server's version, or name the right folder in postgres.bin_dir and restart witch",
};

/// What is there is another PostgreSQL.
pub static UNUSABLE: Row = Row {
    id: "programs-unusable",
    sign: "`the programs in ... are of version 17.2, and the database is of version 15`",
    meaning: "the running server goes on, but nothing is started, rewound or cloned with programs of another version",
    bars: Bar::AmongEquals,
    way_out: "install the packages of the database's version, or name their folder in postgres.bin_dir and restart witch",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&PENDING_RESTART, &MISSING, &UNUSABLE];
