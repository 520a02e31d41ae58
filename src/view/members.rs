//! The members of a cluster as a table.

use super::plain_table;
use super::quantity::{bytes, span};
use super::verdict::{name_of, sentences};
use actors::model::{Health, MemberStatus, Role, Server, Status};
use std::time::Duration;

/// A report older than this is worth a word.
const OLD_MS: u64 = 3000;

/// What `witch status` shows: a line on the cluster, what is the matter in words, and a row for each member. `lease_left` is the primary's,
/// by its own clock.
pub(crate) fn render(status: &Status, lease_left: Option<Duration>) -> String {
    let mut text = head(status);
    text.push('\n');
    for sentence in sentences(status) {
        text.push_str(&format!("  {sentence}\n"));
    }
    let mut table = plain_table(&["NODE", "NAME", "ROLE", "HEALTH", "TIMELINE", "LSN", "LAG", "STREAMING", "LEASE", "NOTE"]);
    for member in &status.members {
        table.add_row(row(member, lease_left));
    }
    text.push('\n');
    text.push_str(&table.trim_fmt());
    text.push('\n');
    text
}

fn head(status: &Status) -> String {
    let cluster = status.state.as_ref().map_or("unknown", |state| &state.cluster);
    let epoch = status.state.as_ref().map_or_else(|| "-".into(), |state| state.epoch.to_string());
    let leader = status.leader.map_or_else(|| "none".into(), |leader| name_of(status, leader));
    let paused = if status.state.as_ref().is_some_and(|state| state.paused) { "   PAUSED" } else { "" };
    format!("cluster {cluster}   epoch {epoch}   leader {leader} (term {}){paused}   seen by {}", status.term, status.name)
}

fn row(member: &MemberStatus, lease_left: Option<Duration>) -> Vec<String> {
    let database = member.report.as_ref().and_then(|report| report.database.as_ref());
    let position = database.and_then(|database| database.position);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let is_primary = member.role == Role::Primary;
    let streaming = database.filter(|_| !is_primary).map(|database| if database.streaming { "yes" } else { "no" }.to_string());
    vec![
        member.node.to_string(),
        member.name.clone(),
        role(member.role).into(),
        health(member.health).into(),
        or_dash(position.map(|position| position.timeline.to_string())),
        or_dash(position.map(|position| position.lsn.to_string())),
        or_dash(member.lag_bytes.filter(|_| !is_primary).map(bytes)),
        or_dash(streaming),
        or_dash(lease_left.filter(|_| is_primary).map(span)),
        note(member),
    ]
}

/// Everything about a member that is not as usual.
fn note(member: &MemberStatus) -> String {
    let Some(report) = &member.report else {
        return if member.health == Health::Green { String::new() } else { "never heard".into() };
    };
    let mut notes = Vec::new();
    if let Some(age) = member.report_age_ms.filter(|age| *age > OLD_MS) {
        notes.push(format!("last heard {} ago", span(Duration::from_millis(age))));
    }
    if report.stopping {
        notes.push("shutting down".into());
    }
    if let Some(database) = &report.database {
        notes.extend(unusual(database.server).map(String::from));
        if let Some(operation) = &database.operation {
            let percent = operation.percent.map_or_else(String::new, |percent| format!(" {percent} %"));
            let detail = if operation.detail.is_empty() { String::new() } else { format!(" ({})", operation.detail) };
            notes.push(format!("{}{percent}{detail}", operation.name));
        }
        notes.extend(database.trouble.clone());
        notes.extend(database.conditions.iter().map(|condition| condition.text.clone()));
        if database.overdue {
            notes.push("takes too long to start".into());
        }
        match database.deaths {
            0 => {}
            1 => notes.push("died once in ten minutes".into()),
            deaths => notes.push(format!("died {deaths} times in ten minutes")),
        }
    }
    if report.tags.nofailover {
        notes.push("nofailover".into());
    }
    if report.tags.noloadbalance {
        notes.push("noloadbalance".into());
    }
    notes.join("; ")
}

const fn unusual(server: Server) -> Option<&'static str> {
    match server {
        Server::Standby | Server::Primary => None,
        Server::Stopped => Some("stopped"),
        Server::StartingStandby => Some("starting"),
        Server::StartingPrimary => Some("starting as primary"),
        Server::Stopping => Some("stopping"),
        Server::Hung => Some("hung"),
        Server::Stranger => Some("a server runs that Witch did not start"),
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Standby => "standby",
        Role::Witness => "witness",
        Role::Unknown => "unknown",
    }
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Green => "green",
        Health::Yellow => "yellow",
        Health::Red => "red",
    }
}
