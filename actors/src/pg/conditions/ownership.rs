//! What a user's own files and settings do to the cluster.

use super::Row;
use crate::model::Bar;

/// A setting of the user's that does not hold.
pub static OVERRIDDEN: Row = Row {
    id: "setting-overridden",
    sign: "`synchronous_standby_names = '*' (postgresql.conf:12) is '' under Witch`",
    meaning: "a cluster depends on this setting, so what the file says does not count",
    bars: Bar::Nothing,
    way_out: "take the line out of the file; docs/postgresql.md has the settings that Witch owns and the keys of witch.toml",
};

/// A file was mended.
pub static REWRITTEN: Row = Row {
    id: "configuration-mended",
    sign: "`the last line of postgresql.conf, which includes witch.conf, was missing`, `taken out of postgresql.auto.conf: ...`",
    meaning: "somebody, or a configuration tool, wrote over what Witch needs in the last minutes; it was written again and read by the server",
    bars: Bar::Nothing,
    way_out: "keep the line in the tool's template, or set what it sets in [postgres.parameters] and [postgres] pg_hba",
};

/// A folder for sockets that is of no use.
pub static SOCKET_FOLDER: Row = Row {
    id: "socket-folder-unusable",
    sign: "`/run/postgresql: it does not exist`",
    meaning: "the server has no socket in this folder of unix_socket_directories, since it would not start with it: local programs cannot connect there",
    bars: Bar::Nothing,
    way_out: "make the folder writable for the server's user (systemd-tmpfiles makes it anew at a boot); it is used from the next start on",
};

/// The rows of this topic.
pub static ROWS: &[&Row] = &[&OVERRIDDEN, &REWRITTEN, &SOCKET_FOLDER];
