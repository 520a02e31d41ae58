//! What a client that writes all the time remembers: every acknowledged write, and so every outage and every loss.

use crate::invariants::Acknowledgement;
use actors::machine::Timestamp;
use actors::model::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An acknowledged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Unique among all that the client ever tried.
    pub id: i64,
    /// Who acknowledged it, and when.
    pub acknowledgement: Acknowledgement,
}

/// A gap between two acknowledged writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last acknowledgement before it.
    pub from: Timestamp,
    /// The first acknowledgement after it.
    pub until: Timestamp,
    /// Who acknowledged before.
    pub before: NodeId,
    /// Who acknowledged after.
    pub after: NodeId,
}

impl Outage {
    /// How long the client had to wait.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.until.since(self.from)
    }
}

/// Every acknowledged write, in the order in which the client got to know.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    writes: Vec<Write>,
    /// Statements that failed or ran out of time: nobody knows whether they were committed, and nobody was promised anything.
    uncertain: u64,
}

impl Ledger {
    /// Enters an acknowledged write.
    pub fn acknowledge(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Enters an attempt of unknown fate.
    pub fn give_up(&mut self) {
        self.uncertain += 1;
    }

    /// All acknowledged writes.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// How many attempts have an unknown fate.
    #[must_use]
    pub const fn uncertain(&self) -> u64 {
        self.uncertain
    }

    /// The last acknowledged write.
    #[must_use]
    pub fn last(&self) -> Option<Write> {
        self.writes.last().copied()
    }

    /// The first write that began after `instant`.
    #[must_use]
    pub fn first_begun_after(&self, instant: Timestamp) -> Option<Write> {
        self.writes.iter().find(|write| write.acknowledgement.began > instant).copied()
    }

    /// How many writes were acknowledged from `from` (exclusive) to `until` (inclusive).
    #[must_use]
    pub fn count_between(&self, from: Timestamp, until: Timestamp) -> usize {
        self.writes.iter().rev().filter(|write| write.acknowledgement.ended > from && write.acknowledgement.ended <= until).count()
    }

    /// Every gap that is longer than `tolerance`, oldest first.
    #[must_use]
    pub fn outages(&self, tolerance: Duration) -> Vec<Outage> {
        self.gaps().filter(|outage| outage.duration() > tolerance).collect()
    }

    /// The longest gap that ended after `instant`: the outage that a fault at that instant caused.
    #[must_use]
    pub fn longest_outage_since(&self, instant: Timestamp) -> Option<Outage> {
        self.gaps().filter(|outage| outage.until > instant).max_by_key(Outage::duration)
    }

    /// The longest gap that ended after `instant`, up to the first write after it that is `wanted`. None as long as there is none.
    #[must_use]
    pub fn longest_outage_until(&self, instant: Timestamp, wanted: impl Fn(&Acknowledgement) -> bool) -> Option<Outage> {
        let is_it = |write: &&Write| write.acknowledgement.ended > instant && wanted(&write.acknowledgement);
        let end = self.writes.iter().find(is_it)?.acknowledgement.ended;
        self.gaps().filter(|outage| outage.until > instant && outage.until <= end).max_by_key(Outage::duration)
    }

    fn gaps(&self) -> impl Iterator<Item = Outage> + '_ {
        self.writes.windows(2).map(|pair| Outage {
            from: pair[0].acknowledgement.ended,
            until: pair[1].acknowledgement.ended,
            before: pair[0].acknowledgement.node,
            after: pair[1].acknowledgement.node,
        })
    }

    /// Compares with what the database holds in the end.
    #[must_use]
    pub fn reconcile(&self, found: &[i64]) -> Reconciled {
        let mut copies: BTreeMap<i64, u64> = BTreeMap::new();
        for &id in found {
            *copies.entry(id).or_default() += 1;
        }
        let known: BTreeSet<i64> = self.writes.iter().map(|write| write.id).collect();
        Reconciled {
            acknowledged: self.writes.len(),
            lost: self.writes.iter().filter(|write| !copies.contains_key(&write.id)).copied().collect(),
            duplicated: copies.values().filter(|&&count| count > 1).count(),
            unacknowledged: copies.keys().filter(|id| !known.contains(id)).count(),
        }
    }
}

/// What became of the acknowledged writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// So many were acknowledged.
    pub acknowledged: usize,
    /// These are gone.
    pub lost: Vec<Write>,
    /// So many are there more than once.
    pub duplicated: usize,
    /// So many are there although nobody was told; that is allowed.
    pub unacknowledged: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::model::Timeline;

    fn ledger(writes: &[(i64, u64, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for &(id, node, millis) in writes {
            let at = Timestamp::from_micros(millis * 1000);
            let acknowledgement =
                Acknowledgement { node: NodeId(node), timeline: Timeline(1), began: at - Duration::from_millis(1), ended: at };
            ledger.acknowledge(Write { id, acknowledgement });
        }
        ledger
    }

    #[test]
    fn a_gap_is_an_outage_only_beyond_the_tolerance() {
        let ledger = ledger(&[(1, 1, 10), (2, 1, 20), (3, 2, 520), (4, 2, 530)]);
        let outages = ledger.outages(Duration::from_millis(100));
        assert_eq!(outages.len(), 1);
        assert_eq!((outages[0].before, outages[0].after), (NodeId(1), NodeId(2)));
        assert_eq!(outages[0].duration(), Duration::from_millis(500));
        assert_eq!(ledger.outages(Duration::from_millis(500)), []);
    }

    #[test]
    fn the_outage_of_a_fault_is_looked_for_after_the_fault() {
        let ledger = ledger(&[(1, 1, 0), (2, 1, 900), (3, 1, 910), (4, 2, 1000)]);
        let at = |millis: u64| Timestamp::from_micros(millis * 1000);
        assert_eq!(ledger.longest_outage_since(at(905)).map(|outage| outage.duration()), Some(Duration::from_millis(90)));
        assert_eq!(ledger.longest_outage_since(at(1000)), None);
        assert_eq!(ledger.first_begun_after(at(905)).map(|write| write.id), Some(3));
        assert_eq!(ledger.longest_outage_until(at(5), |write| write.node == NodeId(2)).map(|outage| outage.until), Some(at(900)));
        assert_eq!(ledger.longest_outage_until(at(5), |write| write.node == NodeId(3)), None);
        assert_eq!(ledger.count_between(at(900), at(1000)), 2);
    }

    #[test]
    fn a_missing_row_is_a_loss_and_an_extra_row_is_not() {
        let reconciled = ledger(&[(1, 1, 0), (2, 1, 10), (4, 2, 20)]).reconcile(&[1, 3, 4, 4]);
        assert_eq!(reconciled.acknowledged, 3);
        assert_eq!(reconciled.lost.iter().map(|write| write.id).collect::<Vec<_>>(), [2]);
        assert_eq!((reconciled.duplicated, reconciled.unacknowledged), (1, 1));
    }
}
