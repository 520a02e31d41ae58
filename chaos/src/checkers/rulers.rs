//! Leases and appointments: what the daemons said of themselves, and what the log says they decided.

use super::Verdict;
use crate::history::{Event, History};
use actors::machine::Timestamp;
use actors::model::{Epoch, EventKind, NodeId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn judge(history: &History) -> [Verdict; 2] {
    [leases_follow_epochs(history), one_story(history)]
}

/// A node that was seen to hold a lease.
#[derive(Clone, Copy)]
struct Held {
    epoch: Epoch,
    node: NodeId,
    at: Timestamp,
    end: Timestamp,
}

/// A lease lasts until the end that its holder told last, also while nobody hears the holder, unless it released the epoch.
fn leases_follow_epochs(history: &History) -> Verdict {
    let looks = history.records.iter().filter_map(|record| match &record.event {
        Event::Looked { node, look: Some(look) } => Some((*node, look)),
        _ => None,
    });
    let leases = looks.filter_map(|(node, look)| Some(Held { epoch: look.epoch?, node, at: look.said_at, end: look.lease_end? }));
    let mut held: Vec<Held> = leases.filter(|lease| lease.end > lease.at).collect();
    held.sort_by_key(|lease| lease.at);
    let released: BTreeSet<Epoch> =
        decided(history).filter(|entry| matches!(entry.kind, EventKind::Released { .. })).map(|entry| entry.epoch).collect();
    let mut violations = Vec::new();
    // Of each holder what it told last.
    let mut before: BTreeMap<(Epoch, NodeId), Held> = BTreeMap::new();
    for &now in &held {
        for old in before.values().filter(|old| old.node != now.node) {
            let (early, late) = (history.name(old.node), history.name(now.node));
            if old.epoch == now.epoch {
                violations.push(format!("{early} and {late} both held leases for epoch {}", now.epoch));
            } else if old.epoch > now.epoch {
                let behind = now.at.since(old.at).as_millis();
                violations.push(format!(
                    "{late} held a lease for epoch {}, {behind} ms after {early} held one for epoch {}",
                    now.epoch, old.epoch
                ));
            } else if old.end > now.at && !released.contains(&old.epoch) {
                let left = old.end.since(now.at).as_millis();
                violations.push(format!(
                    "{late} held a lease for epoch {}, {left} ms before that of {early} for epoch {} was over",
                    now.epoch, old.epoch
                ));
            }
        }
        before.insert((now.epoch, now.node), now);
    }
    Verdict { claim: "at no instant do two nodes hold a lease", rules: "S1-S5", checked: held.len(), violations }
}

fn decided(history: &History) -> impl Iterator<Item = &actors::model::Event> {
    history.records.iter().filter_map(|record| match &record.event {
        Event::Decided { entry } => Some(entry),
        _ => None,
    })
}

/// All nodes tell the same history, and epochs grow in it.
fn one_story(history: &History) -> Verdict {
    // One entry of the log may make two events of the history: the second is the end of a switchover.
    let mut entries: BTreeMap<(u64, bool), &actors::model::Event> = BTreeMap::new();
    let mut violations = Vec::new();
    for entry in decided(history) {
        let ends = matches!(entry.kind, EventKind::SwitchoverEnded { .. });
        let known = entries.entry((entry.index, ends)).or_insert(entry);
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

#[cfg(test)]
mod tests {
    use super::super::script::{appointed, at, decided, history, why};
    use super::*;
    use crate::history::Look;
    use actors::model::{RequestId, Term, Timeline};

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

    /// Nobody hears the old holder any more, and its lease is not over.
    #[test]
    fn a_lease_lasts_until_its_end_unless_it_is_released() {
        let handed_on_at = |said| vec![looked(1, 1, 0, 100), looked(1, 1, 50, 150), looked(2, 2, said, 300)];
        assert!(!leases_follow_epochs(&history(handed_on_at(140))).holds());
        assert!(leases_follow_epochs(&history(handed_on_at(150))).holds());
        let kind = EventKind::Released { node: NodeId(1), timeline: Timeline(1), final_lsn: None, why: why("release") };
        let released = handed_on_at(60).into_iter().chain([decided(7, 1, kind)]).collect();
        assert!(leases_follow_epochs(&history(released)).holds());
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
        let paused = decided(1, 1, EventKind::Paused { paused: true });
        assert!(!one_story(&history(vec![entry(1, 1, 1), paused])).holds());
        let ended = decided(1, 1, EventKind::SwitchoverEnded { id: RequestId(3), failure: None });
        assert!(one_story(&history(vec![entry(1, 1, 1), ended])).holds());
    }
}
