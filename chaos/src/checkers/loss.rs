//! What became of the acknowledged changes: nothing may be there twice, and little may be gone, and only by an unplanned failover.
//!
//! A failover ends a timeline at a point; what the old primary acknowledged beyond it is lost. So a loss is always the *tail* of a timeline that
//! ended unplanned, and its length in the log is what D1 bounds: the candidate was at most `max_replication_lag` behind the last position that was known of the
//! primary, and that is as old as the last report that anybody heard.

use super::{Promise, Verdict};
use crate::history::{Change, End, Event, History};
use actors::model::{Epoch, EventKind, Lsn, NodeId, Timeline};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A report is sent every second, takes a while on a busy machine, and is heard for the last time up to as long before the fault.
const REPORT_AGE: Duration = Duration::from_secs(4);
/// The appointments by which nothing may be lost.
const PLANNED: [&str; 2] = ["complete-the-switchover", "return-from-switchover"];
/// Those of the old primary, by which nothing of its own may be lost.
const RETURNS: [&str; 2] = ["return-to-the-complete", "return-to-the-old"];

/// How a timeline ended.
#[derive(Clone, Copy, Debug)]
struct Ending {
    /// There the next one begins.
    fork: Lsn,
    planned: bool,
}

pub(super) fn judge(history: &History, promises: &[Promise]) -> Vec<Verdict> {
    let Some(end) = history.end() else { return Vec::new() };
    let kept = Kept::of(end);
    let (kept_ones, lost): (Vec<&Promise>, Vec<&Promise>) = promises.iter().partition(|promise| kept.has(promise.change));
    let decisions = Decisions::of(history);
    let endings = endings(&decisions, end);
    let failovers = endings.values().filter(|ending| !ending.planned).count();
    let verdict = |claim, rules, violations| Verdict { claim, rules, checked: promises.len(), violations };
    vec![
        verdict("no change is there twice, and none that nobody asked for", "-", extra(history, promises, &kept)),
        verdict("what is lost is the tail of a timeline: no change outlives one that came before it", "D1, L2", holes(&kept_ones, &lost)),
        verdict(
            "nothing is lost by a switchover, by a restart in place, or on the timeline that is in force",
            "D4",
            unplanned_only(history, &lost, &endings, &decisions),
        ),
        Verdict {
            claim: "an unplanned failover loses no more than max_replication_lag",
            rules: "D1",
            checked: failovers,
            violations: bounded(history, promises, &lost, &endings),
        },
    ]
}

/// What is there in the end.
struct Kept {
    changes: BTreeMap<Change, usize>,
}

impl Kept {
    fn of(end: &End) -> Self {
        let mut changes = BTreeMap::new();
        let rows = end.rows.iter().map(|&id| Change::Insert { id });
        let transfers = end.transfers.iter().map(|&id| Change::Transfer { id });
        let items = end.lists.iter().flat_map(|(key, items)| items.iter().map(|&value| Change::Append { key: *key, value }));
        for change in rows.chain(transfers).chain(items) {
            *changes.entry(change).or_default() += 1;
        }
        Self { changes }
    }

    fn has(&self, change: Change) -> bool {
        self.changes.contains_key(&change)
    }
}

/// What is lost of a run, for the report. None: the run broke off, so nobody knows.
#[must_use]
pub fn lost(history: &History) -> Option<usize> {
    let kept = Kept::of(history.end()?);
    Some(super::promises(history).iter().filter(|promise| !kept.has(promise.change)).count())
}

fn extra(history: &History, promises: &[Promise], kept: &Kept) -> Vec<String> {
    let unsure = history.records.iter().filter_map(|record| match record.event {
        Event::Unsure { change } => Some(change),
        _ => None,
    });
    let tried: BTreeSet<Change> = promises.iter().map(|promise| promise.change).chain(unsure).collect();
    let mut violations = Vec::new();
    for (change, &copies) in &kept.changes {
        if copies > 1 {
            violations.push(format!("{change:?} is there {copies} times"));
        }
        if !tried.contains(change) {
            violations.push(format!("{change:?} is there, and no client ever tried it"));
        }
    }
    violations
}

/// Changes that are gone although a later one of the same timeline is there. Another node's timeline is another one, whatever its number.
fn holes(kept: &[&Promise], lost: &[&Promise]) -> Vec<String> {
    let mut last: BTreeMap<(Timeline, NodeId), &Promise> = BTreeMap::new();
    for promise in kept {
        let latest = last.entry((promise.stamp.timeline, promise.stamp.node)).or_insert(promise);
        if promise.stamp.began > latest.stamp.began {
            *latest = promise;
        }
    }
    let outlived = lost.iter().filter_map(|gone| {
        let later = last.get(&(gone.stamp.timeline, gone.stamp.node)).filter(|later| later.stamp.began > gone.stamp.ended)?;
        Some(format!(
            "{:?}, acknowledged by node {} on timeline {}, is gone, and {:?}, begun {} ms later there, is not",
            gone.change,
            gone.stamp.node,
            gone.stamp.timeline,
            later.change,
            later.stamp.began.since(gone.stamp.ended).as_millis()
        ))
    });
    outlived.collect()
}

/// What the log says of promotions, and by which rules there were any.
struct Decisions<'a> {
    /// In the log's order: who told that it began this timeline, where, and for which epoch.
    reigns: Vec<(Epoch, NodeId, Timeline, Lsn)>,
    rules: BTreeMap<Epoch, &'a str>,
}

impl<'a> Decisions<'a> {
    fn of(history: &'a History) -> Self {
        let mut decisions = Self { reigns: Vec::new(), rules: BTreeMap::new() };
        for record in &history.records {
            let Event::Decided { entry } = &record.event else { continue };
            match &entry.kind {
                EventKind::Promoted { node, timeline, lsn } => decisions.reigns.push((entry.epoch, *node, *timeline, *lsn)),
                EventKind::Appointed { why, .. } => {
                    decisions.rules.insert(entry.epoch, &why.rule);
                }
                _ => {}
            }
        }
        decisions
    }

    /// Whether one of these rules appointed the primary of that epoch.
    fn is_by(&self, epoch: Epoch, rules: &[&str]) -> bool {
        self.rules.get(&epoch).is_some_and(|rule| rules.contains(rule))
    }

    /// The epoch in which another node began a timeline of the same number after this one had, whether or not this one ever told.
    fn twin(&self, of: NodeId, number: Timeline) -> Option<Epoch> {
        let mut told = self.reigns.iter().filter(|(_, _, timeline, _)| *timeline == number);
        if told.clone().any(|(_, node, ..)| *node == of) {
            told.find(|(_, node, ..)| *node == of);
        }
        told.find(|(_, node, ..)| *node != of).map(|(epoch, ..)| *epoch)
    }
}

/// Every timeline that was followed by another, and how it ended.
fn endings(decisions: &Decisions<'_>, end: &End) -> BTreeMap<Timeline, Ending> {
    let mut begins: BTreeMap<Timeline, Lsn> = BTreeMap::new();
    for &(timeline, lsn) in &end.lineage {
        begins.entry(timeline).or_insert(lsn);
    }
    let mut reigns: BTreeMap<Timeline, (Epoch, NodeId)> = BTreeMap::new();
    for (epoch, node, timeline, lsn) in &decisions.reigns {
        begins.entry(*timeline).or_insert(*lsn);
        reigns.entry(*timeline).or_insert((*epoch, *node));
    }
    let planned = |old, new| {
        let Some(&(epoch, node)) = reigns.get(&new) else { return false };
        // A node that goes on under its own epoch, or is appointed again for want of another, goes on from its own disk.
        let goes_on = reigns.get(&old).is_some_and(|&(before, by)| before == epoch || by == node && decisions.is_by(epoch, &RETURNS));
        goes_on || decisions.is_by(epoch, &PLANNED)
    };
    let pairs = begins.iter().zip(begins.iter().skip(1));
    pairs.map(|((&old, _), (&new, &fork))| (old, Ending { fork, planned: planned(old, new) })).collect()
}

fn unplanned_only(history: &History, lost: &[&Promise], endings: &BTreeMap<Timeline, Ending>, decisions: &Decisions<'_>) -> Vec<String> {
    let mut violations = Vec::new();
    for gone in lost {
        let (name, timeline) = (history.name(gone.stamp.node), gone.stamp.timeline);
        let planned = match decisions.twin(gone.stamp.node, timeline) {
            Some(epoch) => Some(decisions.is_by(epoch, &PLANNED)),
            None => endings.get(&timeline).map(|ending| ending.planned),
        };
        match planned {
            None => {
                violations.push(format!("{:?}, acknowledged by {name}, is gone, and its timeline {timeline} was never left", gone.change));
            }
            Some(true) => {
                violations.push(format!("{:?}, acknowledged by {name}, is gone, and timeline {timeline} was left by plan", gone.change));
            }
            Some(false) => {}
        }
    }
    violations
}

fn bounded(history: &History, promises: &[Promise], lost: &[&Promise], endings: &BTreeMap<Timeline, Ending>) -> Vec<String> {
    let mut violations = Vec::new();
    for (timeline, ending) in endings {
        let Some(last) = lost.iter().filter(|gone| gone.stamp.timeline == *timeline).max_by_key(|gone| gone.lsn) else { continue };
        // What was known of the primary at the latest: an old report's worth before its last word.
        let known_by = last.stamp.began - REPORT_AGE;
        let of_timeline = promises.iter().filter(|promise| promise.stamp.timeline == *timeline);
        let known = of_timeline.filter(|promise| promise.stamp.ended <= known_by).map(|promise| promise.lsn).max();
        let Some(known) = known else { continue };
        let behind = known.0.saturating_sub(ending.fork.0);
        if behind > history.setting.max_replication_lag {
            violations.push(format!(
                "timeline {timeline} was left at {}, although {} s before its end the primary was known to be {behind} bytes further; {} are allowed",
                ending.fork,
                REPORT_AGE.as_secs(),
                history.setting.max_replication_lag
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::script::{acknowledged, appointed, decided, end, history, inserted, promoted, stamp};
    use super::*;

    /// Which claims are broken, by their rules.
    fn broken(events: Vec<Event>, end: End) -> Vec<&'static str> {
        let history = history(events.into_iter().chain([Event::Ended(Box::new(end))]).collect());
        let verdicts = judge(&history, &super::super::promises(&history));
        verdicts.iter().filter(|verdict| !verdict.holds()).map(|verdict| verdict.rules).collect()
    }

    /// A run whose second timeline begins at LSN 1000 by this rule, after rows 1 and 2 of the first.
    fn failover(rule: &str, second_row_at: u64) -> Vec<Event> {
        vec![
            decided(1, 1, appointed(1, "found")),
            decided(2, 1, promoted(1, 1, 0)),
            inserted(1, (1, 1), 0, 900),
            inserted(2, (1, 1), 100, second_row_at),
            decided(3, 2, appointed(2, rule)),
            decided(4, 2, promoted(2, 2, 1000)),
            inserted(3, (2, 2), 9000, 1100),
        ]
    }

    const TWO: [(u32, u64); 2] = [(1, 0), (2, 1000)];

    #[test]
    fn a_run_without_loss_is_sound() {
        assert_eq!(broken(failover("complete-the-switchover", 950), end(&[1, 2, 3], &TWO)), Vec::<&str>::new());
    }

    #[test]
    fn the_tail_of_a_timeline_may_be_lost_by_a_failover_and_not_by_a_switchover() {
        assert_eq!(broken(failover("fail-over-after-lease", 1050), end(&[1, 3], &TWO)), Vec::<&str>::new());
        assert_eq!(broken(failover("complete-the-switchover", 1050), end(&[1, 3], &TWO)), ["D4"]);
    }

    #[test]
    fn a_server_that_is_promoted_again_under_its_own_epoch_may_lose_nothing() {
        let events = vec![
            decided(1, 1, appointed(1, "fail-over-after-lease")),
            decided(2, 1, promoted(1, 1, 0)),
            inserted(1, (1, 1), 0, 1050),
            decided(3, 1, promoted(1, 2, 1000)),
        ];
        assert_eq!(broken(events.clone(), end(&[], &TWO)), ["D4"]);
        assert_eq!(broken(events, end(&[1], &TWO)), Vec::<&str>::new());
    }

    #[test]
    fn an_old_primary_that_is_appointed_again_may_lose_nothing_of_its_own() {
        let again = |second: u64, rule| {
            let events = vec![
                decided(1, 1, appointed(1, "found")),
                decided(2, 1, promoted(1, 1, 0)),
                inserted(1, (1, 1), 0, 1050),
                decided(3, 2, appointed(second, rule)),
                decided(4, 2, promoted(second, 2, 1000)),
            ];
            broken(events, end(&[], &TWO))
        };
        assert_eq!(again(1, "return-to-the-complete"), ["D4"]);
        assert_eq!(again(1, "return-to-the-old"), ["D4"]);
        // Another one that was appointed before it, and never told of a promotion.
        assert_eq!(again(2, "return-to-the-old"), Vec::<&str>::new());
    }

    /// The second node died before it could tell that it had begun timeline 2, and the third began one of the same number.
    #[test]
    fn the_tail_of_a_timeline_may_be_lost_by_the_failover_to_its_twin() {
        let twins = |rule| {
            let events = vec![
                decided(1, 1, appointed(1, "found")),
                decided(2, 1, promoted(1, 1, 0)),
                inserted(1, (1, 1), 0, 900),
                decided(3, 2, appointed(2, "fail-over-after-lease")),
                inserted(2, (2, 2), 100, 1050),
                decided(4, 3, appointed(3, rule)),
                decided(5, 3, promoted(3, 2, 1000)),
                inserted(3, (3, 2), 9000, 1100),
            ];
            broken(events, end(&[1, 3], &TWO))
        };
        assert_eq!(twins("fail-over-after-lease"), Vec::<&str>::new());
        assert_eq!(twins("complete-the-switchover"), ["D4"]);
    }

    #[test]
    fn a_row_that_is_lost_before_one_that_is_not_is_caught() {
        assert_eq!(broken(failover("fail-over-after-lease", 1050), end(&[2, 3], &TWO)), ["D1, L2"]);
    }

    #[test]
    fn a_row_that_is_lost_on_the_timeline_in_force_is_caught() {
        assert_eq!(broken(failover("fail-over-after-lease", 950), end(&[1, 2], &TWO)), ["D4"]);
    }

    #[test]
    fn a_loss_beyond_the_allowed_lag_is_caught() {
        let far = |last_began| {
            let mut events = failover("fail-over-after-lease", 5000);
            events.insert(4, inserted(4, (1, 1), last_began, 6000));
            broken(events, end(&[1, 3], &TWO))
        };
        assert_eq!(far(8000), ["D1"]);
        // All of it written within the age of a report: nobody can have known.
        assert_eq!(far(200), Vec::<&str>::new());
    }

    #[test]
    fn a_copy_and_a_row_from_nowhere_are_caught() {
        assert_eq!(broken(failover("fail-over-after-lease", 950), end(&[1, 2, 2, 3], &TWO)), ["-"]);
        assert_eq!(broken(failover("fail-over-after-lease", 950), end(&[1, 2, 3, 77], &TWO)), ["-"]);
    }

    #[test]
    fn appends_and_transfers_are_promises_too() {
        let change = Change::Append { key: 1, value: 7 };
        let events = vec![acknowledged(change, stamp((1, 1), 0, 5), 10), acknowledged(Change::Transfer { id: 1 }, stamp((1, 1), 6, 9), 20)];
        let mut sound = end(&[], &[(1, 0)]);
        sound.transfers = vec![1];
        assert_eq!(broken(events.clone(), sound.clone()), ["D1, L2", "D4"]);
        sound.lists = vec![(1, vec![7])];
        assert_eq!(broken(events, sound), Vec::<&str>::new());
    }

    #[test]
    fn a_change_of_unknown_fate_may_be_there_or_not() {
        let mut events = failover("fail-over-after-lease", 950);
        events.push(Event::Unsure { change: Change::Insert { id: 9 } });
        assert_eq!(broken(events.clone(), end(&[1, 2, 3, 9], &TWO)), Vec::<&str>::new());
        assert_eq!(broken(events, end(&[1, 2, 3], &TWO)), Vec::<&str>::new());
    }
}
