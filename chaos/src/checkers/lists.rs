//! Lists that only grow: their values stay in order, a read shows what was acknowledged before it, and reads on one primary never go back.

use super::{Promise, Verdict};
use crate::history::{Change, Event, History, Stamp};
use actors::model::{NodeId, Timeline};
use std::collections::{BTreeMap, BTreeSet};

/// A list as it was read.
struct Read<'a> {
    items: &'a [i64],
    stamp: Stamp,
}

/// The reads of each list in each reign, by their beginning.
type Reads<'a> = BTreeMap<(i32, NodeId, Timeline), Vec<Read<'a>>>;

pub(super) fn judge(history: &History, promises: &[Promise]) -> [Verdict; 3] {
    let mut reads: Reads<'_> = BTreeMap::new();
    let mut count = 0;
    for record in &history.records {
        if let Event::List { key, items, stamp } = &record.event {
            reads.entry((*key, stamp.node, stamp.timeline)).or_default().push(Read { items, stamp: *stamp });
            count += 1;
        }
    }
    for of_one in reads.values_mut() {
        of_one.sort_by_key(|read| read.stamp.began);
    }
    let verdict = |claim, violations| Verdict { claim, rules: "-", checked: count, violations };
    [
        verdict("reads of a primary never go back in time", going_back(&reads)),
        verdict("a read shows every append that was acknowledged before it", overlooked(&reads, promises)),
        verdict("no list is ever reordered", reordered(history, &reads)),
    ]
}

/// A read that does not begin with all that an earlier one of the same reign had shown.
fn going_back(reads: &Reads<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    for ((key, node, timeline), of_one) in reads {
        // By their end: what had been shown for certain when a read began.
        let mut shown: Vec<&Read<'_>> = of_one.iter().collect();
        shown.sort_by_key(|read| read.stamp.ended);
        let mut shown = shown.into_iter().peekable();
        let mut longest: &[i64] = &[];
        for read in of_one {
            while let Some(earlier) = shown.next_if(|earlier| earlier.stamp.ended < read.stamp.began) {
                if earlier.items.len() > longest.len() {
                    longest = earlier.items;
                }
            }
            if !read.items.starts_with(longest) {
                let (had, has) = (longest.len(), read.items.len());
                violations.push(format!(
                    "list {key} on node {node}, timeline {timeline}: {had} values were shown, then {has} that do not begin with them"
                ));
            }
        }
    }
    violations
}

/// An append that was acknowledged before a read of the same reign began and is not in it.
fn overlooked(reads: &Reads<'_>, promises: &[Promise]) -> Vec<String> {
    let mut violations = Vec::new();
    for promise in promises {
        let Change::Append { key, value } = promise.change else { continue };
        let of_one = reads.get(&(key, promise.stamp.node, promise.stamp.timeline)).map_or(&[][..], Vec::as_slice);
        let blind = of_one.iter().find(|read| read.stamp.began > promise.stamp.ended && !read.items.contains(&value));
        if let Some(read) = blind {
            let later = read.stamp.began.since(promise.stamp.ended).as_millis();
            violations.push(format!(
                "{value} was appended to list {key} on node {}, and a read there {later} ms later did not show it",
                promise.stamp.node
            ));
        }
    }
    violations
}

/// A read whose surviving values stand otherwise in the end: they must be the beginning of the final list, and what is lost their tail.
fn reordered(history: &History, reads: &Reads<'_>) -> Vec<String> {
    let Some(end) = history.end() else { return Vec::new() };
    let finals: BTreeMap<i32, &Vec<i64>> = end.lists.iter().map(|(key, items)| (*key, items)).collect();
    let mut violations = BTreeSet::new();
    for ((key, node, timeline), of_one) in reads {
        let last = finals.get(key).map_or(&[][..], |items| items.as_slice());
        for read in of_one {
            let common = read.items.iter().zip(last).take_while(|(seen, kept)| seen == kept).count();
            if let Some(moved) = read.items[common..].iter().find(|value| last.contains(value)) {
                violations.insert(format!("{moved} stands elsewhere in list {key} than node {node} showed it on timeline {timeline}"));
            }
        }
    }
    violations.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::script::{acknowledged, end, history, stamp};
    use super::*;

    const PRIMARY: (u64, u32) = (1, 1);

    fn read(items: &[i64], by: (u64, u32), began: u64, ended: u64) -> Event {
        Event::List { key: 1, items: items.to_vec(), stamp: stamp(by, began, ended) }
    }

    /// Which of the three claims are broken, if the list is so in the end.
    fn broken(mut events: Vec<Event>, last: &[i64]) -> Vec<usize> {
        let mut end = end(&[], &[(1, 0)]);
        end.lists = vec![(1, last.to_vec())];
        events.push(Event::Ended(Box::new(end)));
        let history = history(events);
        let verdicts = judge(&history, &super::super::promises(&history));
        (0..3).filter(|&claim| !verdicts[claim].holds()).collect()
    }

    fn appended(value: i64, began: u64) -> Event {
        acknowledged(Change::Append { key: 1, value }, stamp(PRIMARY, began, began + 5), 10)
    }

    #[test]
    fn a_list_that_grows_is_sound() {
        let events = vec![appended(1, 0), read(&[1], PRIMARY, 10, 15), appended(2, 20), read(&[1, 2], PRIMARY, 30, 35)];
        assert_eq!(broken(events, &[1, 2, 3]), Vec::<usize>::new());
    }

    #[test]
    fn a_read_that_goes_back_is_caught_and_two_at_once_are_not() {
        assert_eq!(broken(vec![read(&[1, 2], PRIMARY, 0, 5), read(&[1], PRIMARY, 10, 15)], &[1, 2]), [0]);
        assert_eq!(broken(vec![read(&[1, 2], PRIMARY, 0, 12), read(&[1], PRIMARY, 10, 15)], &[1, 2]), Vec::<usize>::new());
    }

    #[test]
    fn a_new_primary_may_show_less_than_the_old_one() {
        assert_eq!(broken(vec![read(&[1, 2], PRIMARY, 0, 5), read(&[1, 3], (2, 2), 10, 15)], &[1, 3]), Vec::<usize>::new());
    }

    #[test]
    fn an_acknowledged_append_that_a_later_read_does_not_show_is_caught() {
        assert_eq!(broken(vec![appended(1, 0), read(&[], PRIMARY, 10, 15)], &[1]), [1]);
        assert_eq!(broken(vec![appended(1, 0), read(&[], PRIMARY, 4, 15)], &[1]), Vec::<usize>::new());
    }

    #[test]
    fn values_that_change_places_are_caught() {
        assert_eq!(broken(vec![read(&[1, 2], PRIMARY, 0, 5)], &[2, 1]), [2]);
        // A hole: 1 was lost and 2 was not.
        assert_eq!(broken(vec![read(&[1, 2], PRIMARY, 0, 5)], &[2]), [2]);
    }
}
