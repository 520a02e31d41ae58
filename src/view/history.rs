//! The history of a cluster, one line an event.

use super::quantity::{bytes, span};
use actors::model::{Event, EventKind, NodeId, WallClock, Why};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

/// What `witch history` shows, oldest first. Times are those of the zone.
pub(crate) fn render(events: &[Event], names: &BTreeMap<NodeId, String>, zone: &TimeZone) -> String {
    if events.is_empty() {
        return "nothing has happened yet\n".into();
    }
    let mut text = String::new();
    let mut begun = None;
    for event in events {
        if matches!(event.kind, EventKind::SwitchoverBegun { .. }) {
            begun = Some(event.at);
        }
        let lasted = begun.map(|begun| event.at.since(begun));
        text.push_str(&format!("{}  epoch {:<3} {}\n", time(event.at, zone), event.epoch.0, sentence(&event.kind, names, lasted)));
    }
    text
}

fn time(at: WallClock, zone: &TimeZone) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{millis} ms"), |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string())
}

fn sentence(kind: &EventKind, names: &BTreeMap<NodeId, String>, lasted: Option<Duration>) -> String {
    let name = |node: &NodeId| names.get(node).cloned().unwrap_or_else(|| format!("node {node}"));
    match kind {
        EventKind::Appointed { node, replaces, why, lost_at_least } => {
            let replaces = replaces.as_ref().filter(|replaced| *replaced != node);
            let after = replaces.map_or_else(String::new, |replaced| format!(" after {}", name(replaced)));
            let lost = match (replaces, lost_at_least) {
                (_, Some(0)) => ", nothing known to be lost".into(),
                (_, Some(lost)) => format!(", lost: at least {}", bytes(*lost)),
                (Some(_), None) => ", lost: unknown".into(),
                (None, None) => String::new(),
            };
            format!("{} appointed primary{after}{lost}{}", name(node), reason(why))
        }
        EventKind::Founded { node, system_identifier } => {
            format!("{} founded the cluster's database, system identifier {system_identifier}", name(node))
        }
        EventKind::Promoted { node, timeline, lsn } => format!("{} accepts writes on timeline {timeline} from {lsn}", name(node)),
        EventKind::Released { node, timeline, final_lsn, why } => {
            let end = final_lsn.map_or_else(|| "an unknown end".into(), |lsn| lsn.to_string());
            format!("{} gave up the lead on timeline {timeline} at {end}{}", name(node), reason(why))
        }
        EventKind::SwitchoverBegun { id, from, to } => format!("switchover from {} to {} begun, id {id}", name(from), name(to)),
        EventKind::SwitchoverEnded { id, failure } => {
            let lasted = lasted.map_or_else(String::new, |lasted| format!(" after {}", span(lasted)));
            match failure {
                None => format!("switchover done{lasted}, id {id}"),
                Some(failure) => format!("switchover failed{lasted}, id {id}: {failure}"),
            }
        }
        EventKind::Paused { paused: true } => "failover paused by an operator".into(),
        EventKind::Paused { paused: false } => "failover resumed by an operator".into(),
        EventKind::MemberReplaced { node } => format!("{} had lost its log and joined anew", name(node)),
    }
}

fn reason(why: &Why) -> String {
    if why.rule.is_empty() { String::new() } else { format!("  [{}] {}", why.rule, why.because) }
}
