//! The operations on real PostgreSQL servers.
//!
//! PostgreSQL refuses to run as root, so as root each test runs itself again as the user `postgres`. Here the tests start and stop the
//! servers; in production the guard does. `WITCH_TEST_BIN_DIR` names the programs of another version.
#![cfg(feature = "shell")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "pg_operations/cloning.rs"]
mod cloning;
#[path = "pg_operations/copies.rs"]
mod copies;
#[path = "pg_operations/evidence.rs"]
mod evidence;
#[path = "pg_operations/founding.rs"]
mod founding;
#[path = "pg_operations/log_end.rs"]
mod log_end;
#[path = "common/ports.rs"]
mod ports;
#[path = "pg_operations/refusing.rs"]
mod refusing;
#[path = "pg_operations/returning.rs"]
mod returning;
#[path = "pg_operations/servers.rs"]
mod servers;
#[path = "pg_operations/sessions.rs"]
mod sessions;
#[path = "pg_operations/settings.rs"]
mod settings;
#[path = "pg_operations/shared_memory.rs"]
mod shared_memory;
#[path = "common/statements.rs"]
mod statements;
