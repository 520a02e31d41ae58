//! What a running server is told without a session: superusers may have taken every connection, a password may be wrong, and a standby that is
//! not open yet lets nobody in. The postmaster obeys its owner's signals all the same.

use super::directory::control_head;
use super::durable::failing;
use super::{Failure, Site, blocking};
use crate::pg::control::ControlState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// The file by which a standby is told to become a primary. A server removes what lies there when it starts.
const PROMOTE: &str = "promote";

/// Tells the standby with that postmaster to become a primary: the way of `pg_ctl promote`. It needs no session and no connection. Said again it
/// wakes a standby that sleeps while readers hold its replay up.
///
/// # Errors
/// The file cannot be made, or that process is no server of this directory.
pub async fn trigger_promotion(site: &Site, postmaster: u32) -> Result<(), Failure> {
    let path = site.data_dir().join(PROMOTE);
    blocking(move || {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        file.map(drop).map_err(failing("create", &path))
    })
    .await?;
    tell(site, postmaster, Signal::SIGUSR1).await
}

/// Makes every process of the server read its configuration again.
///
/// # Errors
/// That process is no server of this directory.
pub async fn reload(site: &Site, postmaster: u32) -> Result<(), Failure> {
    tell(site, postmaster, Signal::SIGHUP).await
}

/// Whether `pg_control` says by now that the server accepts writes.
///
/// # Errors
/// The server is gone.
pub async fn is_in_production(site: &Site, postmaster: u32) -> Result<bool, Failure> {
    if control_head(site).await.is_some_and(|head| head.state == ControlState::InProduction) {
        return Ok(true);
    }
    is_server(site, postmaster).await.map(|_| false)
}

/// Sends a signal to a process of this directory's server, and to nobody else: the number may have gone to a stranger.
pub(in crate::pg::actor) async fn tell(site: &Site, process: u32, signal: Signal) -> Result<(), Failure> {
    let process = is_server(site, process).await?;
    kill(process, signal).map_err(|error| gone(site, process, &error.to_string()))
}

async fn is_server(site: &Site, process: u32) -> Result<Pid, Failure> {
    let (directory, pid) = (site.data_dir(), Pid::from_raw(process.cast_signed()));
    let works_here = blocking(move || {
        let place = |path: &std::path::Path| fs::metadata(path).map(|place| (place.dev(), place.ino())).ok();
        let here = place(&directory);
        here.is_some() && here == place(std::path::Path::new(&format!("/proc/{process}/cwd")))
    });
    if works_here.await { Ok(pid) } else { Err(gone(site, pid, "it does not work in the data directory")) }
}

fn gone(site: &Site, process: Pid, why: &str) -> Failure {
    let reason = format!("process {process} is no server of it any more ({why}); it is looked at anew");
    Failure::Directory { path: site.settings.data_dir.clone(), reason }
}
