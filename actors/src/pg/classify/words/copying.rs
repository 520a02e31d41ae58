//! What `pg_basebackup` says when it is tried again in vain.

use super::{Consequence, From, Row, row};

const fn refused(
    id: &'static str,
    begins: &'static str,
    holds: &'static str,
    meaning: &'static str,
    way_out: &'static str,
    examples: &'static [&'static str],
) -> Row {
    row(id, (From::Copy, begins, holds), Consequence::Operator, meaning, way_out, examples)
}

/// The rows.
pub(super) static ROWS: &[&Row] = &[
    &refused(
        "copy-of-damage",
        "checksum error occurred",
        "",
        "pages of the primary are damaged, and would be so in the copy",
        "the primary's log names the files (`checksum verification failed in file`); switch over to a standby that is not damaged, or restore what they hold",
        &["checksum error occurred"],
    ),
    &refused(
        "copy-of-closed-files",
        "could not initiate base backup: ERROR:  could not open ",
        "Permission denied",
        "the primary's server may not read something in its data directory",
        "on the primary's host, give what its words name to the server's user (chown), or move it out of the data directory",
        &["could not initiate base backup: ERROR:  could not open directory \"./lost+found\": Permission denied"],
    ),
    &refused(
        "copy-over-files",
        "directory \"",
        "exists but is not empty",
        "a tablespace of the primary has its folder here, and other files lie in that",
        "empty that folder if nobody needs what is in it",
        &["directory \"/srv/fast\" exists but is not empty"],
    ),
    &refused(
        "copy-without-folder",
        "could not create directory \"",
        "",
        "a folder of the copy, such as that of a tablespace, cannot be made here",
        "make it for the server's user: install -d -m 0700 -o USER FOLDER",
        &["could not create directory \"/srv/fast\": Permission denied"],
    ),
    &refused(
        "copy-without-access",
        "could not access directory \"",
        "",
        "a folder of the copy, such as that of a tablespace, belongs to another user here",
        "give it to the server's user (chown)",
        &["could not access directory \"/srv/fast\": Permission denied"],
    ),
    &refused(
        "copy-without-room",
        "could not write to file \"",
        "No space left on device",
        "the disk of this node is full",
        "make room on the file system",
        &["could not write to file \"/data/base/5/1\": No space left on device"],
    ),
    &refused(
        "copy-by-other-version",
        "incompatible server version",
        "",
        "pg_basebackup is older than the primary's server",
        "install the programs of the primary's version",
        &["incompatible server version 17.2"],
    ),
];
