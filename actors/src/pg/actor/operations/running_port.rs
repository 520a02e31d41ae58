//! The port that a server listens on is the one that it was started with, whatever the file says by now.

use super::Site;
use crate::model::Condition;
use crate::pg::conditions::addresses::PORT_NOT_IN_FORCE;

/// The line of `postmaster.pid` with the port.
const PORT: usize = 3;

/// By the server's own word in its lock file; the file's port before there is one.
pub(super) async fn running_port(site: &Site) -> u16 {
    let text = tokio::fs::read_to_string(site.data_dir().join("postmaster.pid")).await.unwrap_or_default();
    text.lines().nth(PORT).and_then(|line| line.trim().parse().ok()).filter(|port| *port != 0).unwrap_or(site.settings.port)
}

/// That a running server was started with another port than the file has.
pub async fn not_in_force(site: &Site) -> Option<Condition> {
    let (running, wanted) = (running_port(site).await, site.settings.port);
    (running != wanted).then(|| PORT_NOT_IN_FORCE.seen(format!("the server listens on port {running}, database.port is {wanted}")))
}
