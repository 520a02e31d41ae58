//! Whether the run showed anything, and whether the cluster came back.

use super::Verdict;
use crate::history::{Event, History};
use crate::workload::{BANK, FAITHFUL, LISTS, STUBBORN};

pub(super) fn judge(history: &History) -> [Verdict; 3] {
    [came_back(history), was_used(history), was_struck(history)]
}

fn came_back(history: &History) -> Verdict {
    let violation = match history.end() {
        None => Some("the history has no end: the run broke off, or the databases could not be read".to_owned()),
        Some(end) => end.unhealed.as_ref().map(|missing| format!("when all was repaired, {missing}")),
    };
    Verdict {
        claim: "once all faults are over, one primary accepts writes and all others stream from it, without an operator",
        rules: "L1-L3",
        checked: 1,
        violations: violation.into_iter().collect(),
    }
}

fn was_used(history: &History) -> Verdict {
    let clients = || {
        history.records.iter().filter_map(|record| if let Event::Acknowledged { client, .. } = record.event { Some(client) } else { None })
    };
    let of = |wanted: u32| clients().filter(|client| *client == wanted).count();
    let seen = |wanted: fn(&Event) -> bool| history.records.iter().filter(|record| wanted(&record.event)).count();
    let counts = [
        ("row was inserted by the client that follows the primary", of(FAITHFUL)),
        // Not each of them: a node need not be primary at any time.
        ("row was inserted by a client that stays with one database", clients().filter(|client| STUBBORN.contains(client)).count()),
        ("value was appended by the first client of the lists", of(LISTS[0])),
        ("value was appended by the second client of the lists", of(LISTS[1])),
        ("transfer was made", of(BANK)),
        ("list was read", seen(|event| matches!(event, Event::List { .. }))),
        ("primary counted the money", seen(|event| matches!(event, Event::Total { in_recovery: false, .. }))),
        ("standby counted the money", seen(|event| matches!(event, Event::Total { in_recovery: true, .. }))),
        ("daemon was looked at", seen(|event| matches!(event, Event::Looked { look: Some(_), .. }))),
    ];
    let violations = counts.iter().filter(|(_, count)| *count == 0).map(|(what, _)| format!("no {what}")).collect();
    Verdict { claim: "every client did some of its work, or nothing was shown", rules: "-", checked: counts.len(), violations }
}

/// A fault may find nobody to strike, or nobody who could be spared; most do not.
fn was_struck(history: &History) -> Verdict {
    let planned = history.setting.schedule.steps.len();
    let done = history.records.iter().filter(|record| matches!(record.event, Event::Inflicted { .. })).count();
    let violations = if done * 2 < planned || planned == 0 { vec![format!("{done} of {planned} faults were done")] } else { Vec::new() };
    Verdict { claim: "half of the faults were done, or little was shown", rules: "-", checked: planned, violations }
}

#[cfg(test)]
mod tests {
    use super::super::script::{end, history, inserted};
    use super::*;
    use crate::nemesis::{Fault, Step};
    use actors::machine::Timestamp;

    #[test]
    fn a_run_that_broke_off_or_did_not_heal_is_no_success() {
        let ended = |unhealed: Option<&str>| {
            let mut end = end(&[], &[]);
            end.unhealed = unhealed.map(str::to_owned);
            came_back(&history(vec![Event::Ended(Box::new(end))])).holds()
        };
        assert!(ended(None) && !ended(Some("n1 does not stream")) && !came_back(&history(Vec::new())).holds());
    }

    #[test]
    fn a_run_without_faults_shows_nothing() {
        let step = Step { at_ms: 0, lasts_ms: 0, fault: Fault::SwitchOver };
        let struck = |done: usize| {
            let inflicted =
                |step| Event::Inflicted { step, title: String::new(), began: Timestamp::default(), nodes: Vec::new(), remark: None };
            let mut history = history((0..done).map(inflicted).collect());
            history.setting.schedule.steps = vec![step.clone(); 4];
            was_struck(&history).holds()
        };
        assert!(struck(2) && !struck(1));
        assert!(!was_struck(&history(Vec::new())).holds());
    }

    #[test]
    fn a_client_that_did_nothing_is_told() {
        let history = history(vec![inserted(1, (1, 1), 0, 10)]);
        let verdict = was_used(&history);
        assert_eq!(verdict.violations.len(), 8, "{verdict:?}");
    }
}
