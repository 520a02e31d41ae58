//! How long the client that follows the primary had to wait, and after which fault. Pure.

use super::deeds::deeds;
use crate::history::{Event, History};
use crate::workload::FAITHFUL;
use actors::machine::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A shorter wait is no outage but a slow machine.
const TOLERANCE: Duration = Duration::from_millis(500);

/// A gap between two acknowledged writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last acknowledgement before it.
    pub from: Timestamp,
    /// The first one after it, or the end of the run.
    pub until: Timestamp,
}

impl Outage {
    /// How long it was.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.until.since(self.from)
    }
}

/// Every gap of the faithful client that is longer than the tolerance.
#[must_use]
pub(super) fn outages(history: &History) -> Vec<Outage> {
    gaps(history).into_iter().filter(|outage| outage.duration() > TOLERANCE).collect()
}

fn gaps(history: &History) -> Vec<Outage> {
    let mut ends: Vec<Timestamp> = history
        .records
        .iter()
        .filter_map(|record| match record.event {
            Event::Acknowledged { client: FAITHFUL, stamp, .. } => Some(stamp.ended),
            _ => None,
        })
        .collect();
    ends.sort();
    // The clients end with the one that looks at the daemons: what is not over by then is an outage until then.
    let over = history.records.iter().rev().find(|record| matches!(record.event, Event::Looked { .. }));
    ends.extend(over.map(|record| record.at).filter(|over| ends.last().is_some_and(|last| over > last)));
    ends.windows(2).map(|pair| Outage { from: pair[0], until: pair[1] }).collect()
}

/// The longest wait that a step of the schedule can have caused: from its beginning until the next one's.
#[must_use]
pub(super) fn by_step(history: &History) -> BTreeMap<usize, Duration> {
    let gaps = gaps(history);
    let done: Vec<_> = deeds(history).into_iter().filter(super::deeds::Deed::was_done).collect();
    let mut waits = BTreeMap::new();
    for deed in &done {
        let Some(at) = deed.at else { continue };
        let next = done.iter().filter_map(|other| other.at).filter(|&other| other > at).min();
        // A gap across the next fault is the next one's, unless it was an outage by then.
        let its = gaps.iter().filter(|gap| gap.until > at && next.is_none_or(|next| gap.from + TOLERANCE < next));
        if let Some(longest) = its.map(Outage::duration).max() {
            waits.insert(deed.number, longest);
        }
    }
    waits
}

/// The waits of one kind of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The kind.
    pub title: String,
    /// Shortest first.
    pub waits: Vec<Duration>,
}

impl Distribution {
    /// The wait that so many percent did not exceed (nearest rank).
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.waits.len() * percent).div_ceil(100).max(1);
        self.waits.get(rank - 1).copied().unwrap_or_default()
    }
}

/// The waits gathered by kind of fault, the worst kind first.
#[must_use]
pub fn by_fault(history: &History) -> Vec<Distribution> {
    let waits = by_step(history);
    let mut kinds: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for deed in deeds(history) {
        if let Some(&wait) = waits.get(&deed.number) {
            kinds.entry(deed.title).or_default().push(wait);
        }
    }
    let mut distributions: Vec<Distribution> = kinds
        .into_iter()
        .map(|(title, mut waits)| {
            waits.sort();
            Distribution { title, waits }
        })
        .collect();
    distributions.sort_by_key(|distribution| std::cmp::Reverse(distribution.percentile(100)));
    distributions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::script::{at, history, inserted};
    use actors::model::NodeId;

    #[test]
    fn an_outage_that_does_not_end_lasts_until_the_end_of_the_run() {
        let looked = |count| vec![Event::Looked { node: NodeId(1), look: None }; count];
        let run = |looks| outages(&history(vec![inserted(1, (1, 1), 0, 10)].into_iter().chain(looked(looks)).collect()));
        // One record a millisecond.
        assert_eq!(run(700), [Outage { from: at(5), until: at(700) }]);
        assert_eq!(run(300), []);
    }

    fn of(millis: &[u64]) -> Distribution {
        Distribution { title: String::new(), waits: millis.iter().map(|&millis| Duration::from_millis(millis)).collect() }
    }

    #[test]
    fn percentiles_are_waits_that_really_happened() {
        let ten = of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!([50, 90, 100].map(|percent| ten.percentile(percent).as_millis()), [5, 9, 10]);
        assert_eq!(of(&[7]).percentile(50), Duration::from_millis(7));
        assert_eq!(of(&[]).percentile(50), Duration::ZERO);
    }
}
