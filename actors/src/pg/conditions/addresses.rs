//! Files that name other addresses than the cluster's log.

use super::Row;
use crate::model::Bar;

/// A file is wrong about another node.
pub static FILE_DIFFERS: Row = Row {
    id: "file-differs",
    sign: "`witch.toml` of a node names another address, port or name of a peer than the cluster uses",
    meaning: "each node tells the others where it is, and what it tells counts; this file is only where it was looked for first",
    bars: Bar::Nothing,
    way_out: "correct [[peers]] in this file, or [cluster] and [database] in the file of the node that it is about; a restart of the daemon reads it \
              and interrupts no client",
};

/// A node's new address is in its file and not in the log.
pub static NOT_TOLD_YET: Row = Row {
    id: "address-not-told-yet",
    sign: "`witch.toml` of a node gives it another address, port or name than the cluster uses",
    meaning: "its address was changed, and no leader has taken that into the log yet, so the others may look for it at the old one",
    bars: Bar::Nothing,
    way_out: "wait a second; if it stays, see that no other node has its name, and that a majority of the nodes reach each other, at the addresses in their files or \
              at those of before",
};

/// A server that was started with the port of before.
pub static PORT_NOT_IN_FORCE: Row = Row {
    id: "port-not-in-force",
    sign: "a running server listens on another port than `database.port`",
    meaning: "the file was changed while the server ran, and PostgreSQL takes another port only when it starts; until then the cluster and its clients \
              find it at the old one",
    bars: Bar::Nothing,
    way_out: "on a standby, stop the daemon and start it again, which stops the server (`systemctl restart` leaves it running); on the primary, switch \
              over, which starts the server anew",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&FILE_DIFFERS, &NOT_TOLD_YET, &PORT_NOT_IN_FORCE];
