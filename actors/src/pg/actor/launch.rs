//! How the guard is told to start the server.

use super::Shop;
use super::commands::OF_RECOVERY;
use super::operations::{
    Failure, NotInstalled, Site, Survey, installed, log_line_prefix, remove_stale_locks, server_arguments, set_standby_signal,
    standby_arguments, write_configuration,
};
use crate::guard;
use crate::guard::wire::Launch;
use crate::model::{Endpoint, Epoch};
use crate::pg::{Life, Note, Outcome};
use crate::tree::clock::wall;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The guard answers once the server's process exists.
const START_MAX: Duration = Duration::from_secs(10);
/// What of the daemon's environment is about the daemon: its own keys, of which some are secret, and its service manager, to which a server
/// would report its own end as the daemon's.
const OURS: [&str; 6] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
/// Variables of libpq and of the server that have an underscore; the others have none, and those of other programs do.
const MISLEADING: [&str; 2] = ["PGCONNECT_TIMEOUT", "PG_GRANDPARENT_PID"];
/// The guard takes no longer message, and a server's arguments have to fit beside it.
const ENVIRONMENT_MAX: usize = 40 << 10;
/// How glibc looks up names, whatever `/etc/resolv.conf` says.
const RESOLVER: &str = "RES_OPTIONS";
/// A promotion waits for the end of the WAL receiver, which hears nothing while it looks up the name of a dead primary: ten seconds by
/// default if no name server answers, or if the name died with its host, as in a network of containers. It tries again soon enough.
const RESOLVER_IMPATIENT: &str = "timeout:1 attempts:1";

/// Where the server's log goes.
pub(super) fn log_file(site: &Site) -> PathBuf {
    site.state_dir().join("postgres.log")
}

/// Where the process id of the server that a guard of ours started last stands; or, while one is being started, when that began.
pub(super) fn pid_file(site: &Site) -> PathBuf {
    site.state_dir().join("postgres.pid")
}

/// Whether a guard of ours started the server with that postmaster, which began at that second of the day's clock.
pub(super) fn is_noted(site: &Site, postmaster: u32, began: Option<u64>) -> bool {
    let note = std::fs::read_to_string(pid_file(site)).unwrap_or_default();
    Note::parse(&note).is_some_and(|note| note.is_of(postmaster, began))
}

/// Notes the server that the guard runs, where a daemon died before it could.
pub(super) fn note_down(site: &Site, postmaster: u32) -> std::io::Result<()> {
    std::fs::write(pid_file(site), Note::Runs(postmaster).to_string())
}

/// What the server is to be.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Primary(Epoch),
    Standby(Option<Endpoint>),
}

/// Why the server was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    #[error(transparent)]
    Prepare(#[from] Failure),
    #[error("there is no guard, and nobody else may start a server; see the guard's log")]
    Unguarded,
    #[error(transparent)]
    Guard(#[from] guard::Error),
    #[error("cannot note down the server's process id: {0}; see that Witch's folder is writable and not full")]
    Note(std::io::Error),
}

/// Configures and starts the server.
pub(super) async fn start(shop: &Shop, what: Start) -> Result<Outcome, NotStarted> {
    let client = shop.surroundings.tether.client().ok_or(NotStarted::Unguarded)?;
    // The programs may be others by now: what is started is what is installed, and known as that.
    let installation = match installed(shop.site()).await {
        // Without its companions a server still starts; what is missing is in the status.
        Err(Failure::Installed(NotInstalled::Incomplete { .. })) => shop.site().installation.clone(),
        installed => installed?,
    };
    let site = &Site { installation, ..shop.site().clone() };
    if let Start::Standby(Some(upstream)) = &what {
        shop.refusals.primary_is(upstream);
    }
    let (as_primary, upstream) = match what {
        Start::Primary(epoch) => (Some(epoch), None),
        Start::Standby(upstream) => (None, upstream),
    };
    write_configuration(site, upstream.as_ref()).await?;
    set_standby_signal(site, as_primary.is_none()).await?;
    remove_stale_locks(site).await?;
    let mut arguments = if as_primary.is_some() { server_arguments(site).await } else { standby_arguments(site).await? };
    // This once: what stands on the command line holds against every file.
    if as_primary.is_none() && shop.does_without_commands() {
        arguments.extend(OF_RECOVERY.iter().flat_map(|name| ["-c".to_owned(), format!("{name}=")]));
    }
    // Only a server that does not come up is judged by its words, and a primary's are only shown.
    let prefix = if as_primary.is_some() { None } else { log_line_prefix(site).await };
    shop.with_log(move |log| log.begin_with(prefix.as_deref())).await;
    let second = wall().0 / 1000;
    tokio::fs::write(pid_file(site), Note::Starts(second).to_string()).await.map_err(NotStarted::Note)?;
    let started = client.start(launch(site, as_primary, arguments), START_MAX).await;
    if matches!(started, Err(guard::Error::Refused(_))) {
        // Nothing was begun, so whoever runs there from now on is somebody else's.
        tokio::fs::remove_file(pid_file(site)).await.map_err(NotStarted::Note)?;
    }
    let pid = started?;
    tokio::fs::write(pid_file(site), Note::Runs(pid).to_string()).await.map_err(NotStarted::Note)?;
    Survey::note(site, pid).await.map_err(NotStarted::Note)?;
    Ok(Outcome::Started(Life(pid)))
}

fn launch(site: &Site, as_primary: Option<Epoch>, mut args: Vec<String>) -> Launch {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    // The complaints of a standby are read from its log.
    args.extend(["-c".to_owned(), "lc_messages=C".to_owned()]);
    Launch {
        as_primary,
        program: text(site.installation.program("postgres")),
        args,
        env: environment(std::env::vars_os()),
        working_dir: text(site.data_dir()),
        log_file: text(log_file(site)),
    }
}

/// The daemon's environment, for `archive_command` and its like, without what is the daemon's own or would mislead the server. Where the
/// operator says nothing of the resolver, the server looks names up impatiently.
fn environment(ours: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let mut all = vec![(RESOLVER.to_owned(), RESOLVER_IMPATIENT.to_owned())];
    let mut size = 0;
    for (name, value) in ours {
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
        if is_kept_back(&name) {
            continue;
        }
        size += name.len() + value.len() + 16;
        if size > ENVIRONMENT_MAX {
            tracing::warn!(name, "the environment is too large: the server is started without this variable and those after it");
            break;
        }
        if name == RESOLVER {
            all.retain(|(other, _)| other != RESOLVER);
        }
        all.push((name, value));
    }
    all
}

fn is_kept_back(name: &str) -> bool {
    let of_libpq = name == "PGCONNECT_TIMEOUT" || name.starts_with("PG") && !name.contains('_');
    name.to_ascii_uppercase().starts_with("WITCH_") || of_libpq || OURS.contains(&name) || MISLEADING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched_with(ours: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut all = environment(ours.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        all.sort_unstable();
        all
    }

    #[test]
    fn the_server_looks_names_up_impatiently_unless_the_operator_says_otherwise() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(launched_with(&[("PATH", "/bin")]), [pair("PATH", "/bin"), pair("RES_OPTIONS", "timeout:1 attempts:1")]);
        assert_eq!(launched_with(&[("RES_OPTIONS", "timeout:3")]), [pair("RES_OPTIONS", "timeout:3")]);
    }

    #[test]
    fn a_command_of_the_server_finds_its_environment_and_none_of_the_daemons_secrets() {
        let kept = [
            ("AWS_SECRET_ACCESS_KEY", "a"),
            ("PGBACKREST_REPO1_CIPHER_PASS", "b"),
            ("PG_OOM_ADJUST_FILE", "c"),
            ("RES_OPTIONS", "d"),
            ("WALG_S3_PREFIX", "e"),
        ];
        let mut ours = kept.to_vec();
        for name in [
            "WITCH_CLUSTER__TOKEN",
            "witch_database__password",
            "PGHOST",
            "PGPASSWORD",
            "PGDATA",
            "PGOPTIONS",
            "PGCONNECT_TIMEOUT",
            "NOTIFY_SOCKET",
        ] {
            ours.push((name, "misleading or secret"));
        }
        assert_eq!(launched_with(&ours), kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let huge = "x".repeat(ENVIRONMENT_MAX);
        assert_eq!(launched_with(&[("HUGE", &huge)]).len(), 1, "the guard would not take it");
    }
}
