//! Leases and appointments: what the daemons said of themselves, and what the log says they decided.

use super::Verdict;
use crate::history::{Event, History};
use actors::machine::Timestamp;
use actors::model::{Epoch, EventKind, NodeId};
use std::collections::BTreeMap;

pub(super) fn judge(history: &History) -> [Verdict; 2] {
    [leases_follow_epochs(history), one_story(history)]
}

/// A node that was seen to hold a lease.
#[derive(Clone, Copy)]
struct Held {
    epoch: Epoch,
    node: NodeId,
    at: Timestamp,
}

/// Once a lease of an epoch is held nobody holds one of an earlier epoch, and an epoch belongs to one node.
fn leases_follow_epochs(history: &History) -> Verdict {
    let mut held: Vec<Held> = Vec::new();
    for record in &history.records {
        let Event::Looked { node, look: Some(look) } = &record.event else { continue };
        if let (Some(epoch), Some(end)) = (look.epoch, look.lease_end)
            && end > look.said_at
        {
            held.push(Held { epoch, node: *node, at: look.said_at });
        }
    }
    held.sort_by_key(|held| held.at);
    let mut violations = Vec::new();
    let mut highest: Option<Held> = None;
    let mut holders: BTreeMap<Epoch, NodeId> = BTreeMap::new();
    for &now in &held {
        if let Some(before) = highest.filter(|before| before.epoch > now.epoch && before.node != now.node) {
            let (late, early) = (history.name(now.node), history.name(before.node));
            let behind = now.at.since(before.at).as_millis();
            violations.push(format!(
                "{late} held a lease for epoch {}, {behind} ms after {early} held one for epoch {}",
                now.epoch, before.epoch
            ));
        }
        let holder = *holders.entry(now.epoch).or_insert(now.node);
        if holder != now.node {
            violations.push(format!("{} and {} both held leases for epoch {}", history.name(holder), history.name(now.node), now.epoch));
        }
        if highest.is_none_or(|before| now.epoch >= before.epoch) {
            highest = Some(now);
        }
    }
    Verdict { claim: "at no instant do two nodes hold a lease", rules: "S1-S5", checked: held.len(), violations }
}

/// All nodes tell the same history, and epochs grow in it.
fn one_story(history: &History) -> Verdict {
    // One entry of the log may make two events of the history, never two of a kind.
    let mut entries: BTreeMap<(u64, String), &actors::model::Event> = BTreeMap::new();
    let mut violations = Vec::new();
    let decided = history.records.iter().filter_map(|record| match &record.event {
        Event::Decided { entry } => Some(entry),
        _ => None,
    });
    for entry in decided {
        let known = entries.entry((entry.index, name(&entry.kind))).or_insert(entry);
        if *known != entry {
            violations.push(format!("two nodes tell of entry {} differently: {known:?} and {entry:?}", entry.index));
        }
    }
    let mut epoch = Epoch(0);
    for entry in entries.values() {
        if matches!(entry.kind, EventKind::Appointed { .. }) {
            if entry.epoch <= epoch {
                violations
                    .push(format!("the appointment in entry {} is of epoch {}, and epoch {epoch} was before it", entry.index, entry.epoch));
            }
            epoch = entry.epoch;
        }
    }
    Verdict { claim: "all nodes tell one history, and epochs grow in it", rules: "S1", checked: entries.len(), violations }
}

/// What an event is called where it is written down.
fn name(kind: &EventKind) -> String {
    let written = serde_json::to_value(kind).unwrap_or_default();
    written.get("event").and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::script::{appointed, at, decided, history};
    use super::*;
    use crate::history::Look;
    use actors::model::Term;

    fn looked(node: u64, epoch: u64, said: u64, end: u64) -> Event {
        let (epoch, lease_end) = (Some(Epoch(epoch)), Some(at(end)));
        let look = Look { said_at: at(said), writable: true, readable: false, epoch, lease_end, term: Term(1), leader: None };
        Event::Looked { node: NodeId(node), look: Some(look) }
    }

    #[test]
    fn a_lease_of_an_old_epoch_beside_a_newer_one_is_caught() {
        let sound = vec![looked(1, 1, 0, 100), looked(2, 2, 150, 250), looked(1, 1, 160, 100), looked(1, 3, 300, 400)];
        let verdict = leases_follow_epochs(&history(sound));
        assert!(verdict.holds() && verdict.checked == 3, "{verdict:?}");
        let two = vec![looked(2, 2, 50, 250), looked(1, 1, 60, 100)];
        assert!(!leases_follow_epochs(&history(two)).holds());
    }

    #[test]
    fn an_epoch_with_two_holders_is_caught() {
        assert!(!leases_follow_epochs(&history(vec![looked(1, 4, 0, 100), looked(2, 4, 500, 600)])).holds());
    }

    #[test]
    fn the_order_in_which_looks_were_written_down_does_not_matter() {
        assert!(!leases_follow_epochs(&history(vec![looked(1, 1, 60, 100), looked(2, 2, 50, 250)])).holds());
    }

    #[test]
    fn two_stories_of_one_entry_and_an_epoch_that_does_not_grow_are_caught() {
        let entry = |index, epoch, node| decided(index, epoch, appointed(node, "found"));
        assert!(one_story(&history(vec![entry(1, 1, 1), entry(2, 2, 2), entry(1, 1, 1)])).holds());
        assert!(!one_story(&history(vec![entry(1, 1, 1), entry(1, 1, 2)])).holds());
        assert!(!one_story(&history(vec![entry(1, 2, 1), entry(2, 2, 2)])).holds());
    }
}
