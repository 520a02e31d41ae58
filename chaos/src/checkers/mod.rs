//! What must hold of every chaos run, judged from its history alone. Pure: a saved history is judged again the same way.
//!
//! Only what is certain counts. A change is committed somewhere between its beginning and its answer, so two changes are in an order only if
//! one was answered before the other began; a change of unknown fate may be there or not.

mod activity;
mod bank;
mod lists;
mod loss;
mod rulers;

pub use loss::lost;

use crate::history::{Change, Event, History, Stamp};
use crate::invariants::at_most_one_writer;
use actors::model::Lsn;

/// At most so many violations of one kind are told; one is enough to fail.
const TOLD: usize = 20;

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What must hold, as a sentence.
    pub claim: &'static str,
    /// The rules of the safety protocol behind it.
    pub rules: &'static str,
    /// How many things were looked at: a claim over nothing shows nothing.
    pub checked: usize,
    /// What broke it.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Whether it holds.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

/// An acknowledged change.
#[derive(Clone, Copy, Debug)]
struct Promise {
    change: Change,
    stamp: Stamp,
    lsn: Lsn,
}

fn promises(history: &History) -> Vec<Promise> {
    let acknowledged = |event: &Event| match *event {
        Event::Acknowledged { change, stamp, lsn, .. } => Some(Promise { change, stamp, lsn }),
        _ => None,
    };
    history.records.iter().filter_map(|record| acknowledged(&record.event)).collect()
}

/// Judges a run.
#[must_use]
pub fn judge(history: &History) -> Vec<Verdict> {
    let promises = promises(history);
    let mut verdicts = vec![one_writer(&promises)];
    verdicts.extend(rulers::judge(history));
    verdicts.extend(loss::judge(history, &promises));
    verdicts.extend(lists::judge(history, &promises));
    verdicts.push(bank::judge(history));
    verdicts.extend(activity::judge(history));
    for verdict in &mut verdicts {
        let more = verdict.violations.len().saturating_sub(TOLD);
        verdict.violations.truncate(TOLD);
        if more > 0 {
            verdict.violations.push(format!("and {more} more"));
        }
    }
    verdicts
}

fn one_writer(promises: &[Promise]) -> Verdict {
    let acknowledgements: Vec<_> = promises.iter().map(|promise| promise.stamp.acknowledgement()).collect();
    Verdict {
        claim: "at no instant do two databases accept writes",
        rules: "S1-S9",
        checked: promises.len(),
        violations: at_most_one_writer(&acknowledgements).iter().map(ToString::to_string).collect(),
    }
}

/// Histories that tests write by hand.
#[cfg(test)]
pub(crate) mod script {
    use crate::history::{Change, End, Event, History, Record, SCHEMA, Setting, Stamp};
    use crate::nemesis::Schedule;
    use actors::machine::Timestamp;
    use actors::model::{EventKind, Lsn, NodeId, Timeline, WallClock, Why};

    /// Milliseconds.
    pub(crate) fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    pub(crate) fn stamp((node, timeline): (u64, u32), began: u64, ended: u64) -> Stamp {
        Stamp { node: NodeId(node), timeline: Timeline(timeline), epoch: None, began: at(began), ended: at(ended) }
    }

    pub(crate) fn acknowledged(change: Change, stamp: Stamp, lsn: u64) -> Event {
        Event::Acknowledged { change, client: 1, stamp, lsn: Lsn(lsn) }
    }

    pub(crate) fn inserted(id: i64, by: (u64, u32), began: u64, lsn: u64) -> Event {
        acknowledged(Change::Insert { id }, stamp(by, began, began + 5), lsn)
    }

    pub(crate) fn decided(index: u64, epoch: u64, kind: EventKind) -> Event {
        let entry = actors::model::Event { index, at: WallClock(0), epoch: actors::model::Epoch(epoch), kind };
        Event::Decided { entry }
    }

    pub(crate) fn appointed(node: u64, rule: &str) -> EventKind {
        EventKind::Appointed { node: NodeId(node), replaces: None, why: why(rule), lost_at_least: None }
    }

    pub(crate) fn promoted(node: u64, timeline: u32, lsn: u64) -> EventKind {
        EventKind::Promoted { node: NodeId(node), timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    pub(crate) fn why(rule: &str) -> Why {
        serde_json::from_value(serde_json::json!({ "rule": rule, "because": "a test wants it" })).unwrap()
    }

    /// An end that holds these rows, on these timelines.
    pub(crate) fn end(rows: &[i64], lineage: &[(u32, u64)]) -> End {
        let lineage = lineage.iter().map(|&(timeline, lsn)| (Timeline(timeline), Lsn(lsn))).collect();
        End { unhealed: None, rows: rows.to_vec(), lists: Vec::new(), transfers: Vec::new(), total: 6000, lineage }
    }

    pub(crate) fn history(events: Vec<Event>) -> History {
        let schedule = Schedule { seed: 1, nodes: 3, length_ms: 1000, steps: Vec::new() };
        let setting = Setting {
            schema: SCHEMA,
            witch: "witch".to_owned(),
            postgres: "postgres".to_owned(),
            hosts: "paper".to_owned(),
            nodes: (1..4).map(|id| (NodeId(id), format!("n{id}"))).collect(),
            total: 6000,
            max_replication_lag: 1000,
            lacking: Vec::new(),
            schedule,
        };
        let records = events.into_iter().enumerate().map(|(index, event)| Record { at: at(index as u64), event }).collect();
        History { setting, began: at(0), records }
    }
}

#[cfg(test)]
mod tests {
    use super::script::{end, history, inserted};
    use super::*;

    #[test]
    fn two_writers_are_found_in_a_history() {
        let sound = [inserted(1, (1, 1), 0, 100), inserted(2, (2, 2), 20, 200)];
        assert!(one_writer(&promises(&history(sound.to_vec()))).holds());
        let late = [inserted(1, (2, 2), 0, 100), inserted(2, (1, 1), 20, 200)];
        assert!(!one_writer(&promises(&history(late.to_vec()))).holds());
    }

    #[test]
    fn a_history_survives_being_written_down() {
        let events = vec![inserted(1, (1, 1), 0, 100), Event::Ended(Box::new(end(&[1], &[(1, 0)])))];
        let history = history(events);
        let began = crate::history::Record { at: history.began, event: Event::Began(Box::new(history.setting.clone())) };
        let lines = std::iter::once(&began).chain(&history.records).map(|record| serde_json::to_string(record).unwrap() + "\n");
        let mut text: String = lines.collect();
        text.push_str("{\"at\":1,\"eve");
        let read = History::parse(&text).unwrap();
        assert_eq!((read.setting, read.records), (history.setting, history.records));
    }

    #[test]
    fn many_violations_of_one_kind_are_cut_short() {
        let rows: Vec<Event> = (0..50).map(|id| inserted(id, (1, 1), 10 * id as u64, 100)).collect();
        let events = rows.into_iter().chain([Event::Ended(Box::new(end(&[49], &[(1, 0)])))]).collect();
        let verdicts = judge(&history(events));
        assert!(verdicts.iter().any(|verdict| verdict.violations.last().is_some_and(|last| last == "and 29 more")), "{verdicts:#?}");
    }
}
