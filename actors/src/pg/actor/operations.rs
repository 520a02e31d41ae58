//! Everything that Witch does to a PostgreSQL installation and its data directory.
//!
//! Plain functions over a [`Site`]: each does one thing, has a deadline, and either has done it or says what happened, why, and what to do.
//! None of them decides: the adapter's machine does. None starts a server that listens: the guard does.
//!
//! Dropping a function's future ends what it was doing, with every process that it started.

mod account;
mod adopting;
mod capacity;
mod clearing;
mod clone;
mod configuration;
mod connection;
mod databases;
mod directory;
mod diverged;
mod durable;
mod failure;
mod fitness;
mod founding;
mod installation;
mod lineage;
mod lock;
mod lock_files;
mod marker;
mod marks;
mod next_start;
mod own_files;
mod own_session;
mod position;
mod probe;
mod program;
mod replication;
mod rewind;
mod rights;
mod roles;
mod running_port;
mod senders;
mod session;
mod shared_memory;
mod signals;
mod slots;
mod sockets;
mod survey;
mod user_files;
mod walk;
mod wary;

pub use account::{clone_is_whole, clones, spend_clone};
pub use capacity::{log_line_prefix, standby_arguments};
pub use clone::{Progress, basebackup, copy_is_possible, discard_previous, remove_discarded};
pub use configuration::{follow, server_arguments, set_standby_signal, write_configuration};
pub use connection::{SqlFailure, Whom};
pub use databases::{DATABASE, is_without_database};
pub use directory::{Stranger, control_head, create, foreign_server, inspect_directory, startup_faults};
pub use diverged::{Preserved, preserve_diverged};
pub use failure::Failure;
pub use fitness::{installed, installed_for};
pub use founding::{adopt, initdb};
pub use installation::{Installation, NotInstalled};
pub use lineage::{log_goes_on, relate};
pub use lock_files::remove_stale_locks;
pub use marker::{Marker, Note, Unfinished, marker};
pub use marks::{lineage, note_marks};
pub(super) use next_start::fails;
pub use next_start::faults_of_files;
pub use position::{EndOfWal, controldata, end_of_closed, end_of_wal, lacks, newest_promotion, own_ancestry, promotion};
pub use probe::{Answer, probe_fresh, try_login};
pub use replication::introduce;
pub use rewind::{can_be_asked, checkpoint_remote, rewind, upstream_ancestry};
pub use roles::unfit_roles;
pub use running_port::not_in_force;
pub use senders::{Replay, Sender};
pub use session::{Observation, Receiver, Session};
pub use shared_memory::releasing_mode;
pub(super) use signals::tell;
pub use signals::{is_in_production, reload, trigger_promotion};
pub(super) use survey::Survey;

use crate::pg::Settings;
use std::path::{Path, PathBuf};

/// The PostgreSQL of this node: its programs and its settings.
#[derive(Clone, Debug)]
pub struct Site {
    /// What the node's file says.
    pub settings: Settings,
    /// The programs that were found.
    pub installation: Installation,
}

impl Site {
    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(&self.settings.data_dir)
    }

    /// Witch's own folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        PathBuf::from(&self.settings.state_dir)
    }

    /// The same PostgreSQL with its data elsewhere: a clone that is not yet in its place.
    fn at(&self, data_dir: &Path) -> Self {
        let mut elsewhere = self.clone();
        elsewhere.settings.data_dir = data_dir.to_string_lossy().into_owned();
        elsewhere
    }
}

/// Does what may wait for a disk on a thread that may wait: the runtime's own thread carries the lease.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the runtime cancels it, and with that ends whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
