//! Money does not come from nothing, on any database at any time.

use super::Verdict;
use crate::history::{Event, History};

pub(super) fn judge(history: &History) -> Verdict {
    let wanted = history.setting.total;
    let mut checked = 0;
    let mut violations = Vec::new();
    for record in &history.records {
        if let Event::Total { total, node, in_recovery } = record.event {
            checked += 1;
            if total != wanted {
                let role = if in_recovery { "standby" } else { "primary" };
                let seconds = record.at.since(history.began).as_secs_f64();
                violations.push(format!("{} as a {role} had {total} in all accounts at {seconds:.1} s, not {wanted}", history.name(node)));
            }
        }
    }
    if let Some(end) = history.end() {
        checked += 1;
        if end.total != wanted {
            violations.push(format!("{} are in all accounts in the end, not {wanted}", end.total));
        }
    }
    Verdict { claim: "the total of all accounts never changes, on primary and standbys", rules: "-", checked, violations }
}

#[cfg(test)]
mod tests {
    use super::super::script::{end, history};
    use super::*;
    use actors::model::NodeId;

    #[test]
    fn money_from_nothing_is_caught_on_any_database_and_at_the_end() {
        let counted = |total| Event::Total { total, node: NodeId(2), in_recovery: true };
        assert!(judge(&history(vec![counted(6000)])).holds());
        assert!(!judge(&history(vec![counted(6000), counted(5999)])).holds());
        let mut poor = end(&[], &[]);
        poor.total = 0;
        assert!(!judge(&history(vec![Event::Ended(Box::new(poor))])).holds());
    }
}
