//! What became of a fault, in numbers and in words.

use chaos::live::{Fault, Incident};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

/// An incident that is over, or was overtaken by the next one. All times are milliseconds since the fault.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Account {
    pub(super) fault: String,
    pub(super) node: u64,
    pub(super) detected_ms: Option<u64>,
    /// The rule behind the first decision after the fault, and its reason.
    pub(super) rule: Option<String>,
    pub(super) because: Option<String>,
    pub(super) fenced_ms: Option<u64>,
    pub(super) appointed_ms: Option<u64>,
    pub(super) promoted_ms: Option<u64>,
    pub(super) first_write_ms: Option<u64>,
    /// Who acknowledged it.
    pub(super) successor: Option<u64>,
    /// How long the client had to wait between two acknowledged writes.
    pub(super) outage_ms: Option<u64>,
    pub(super) rejoined_ms: Option<u64>,
    pub(super) writes_lost: Option<usize>,
    /// Whether the rules forbid that this fault loses an acknowledged write.
    pub(super) must_lose_nothing: bool,
}

impl Account {
    pub(super) fn of(incident: &Incident) -> Self {
        let millis = |duration: Option<Duration>| duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let why = incident.detected.as_ref().map(|(_, decision)| decision.why.clone());
        Self {
            fault: incident.fault.to_string(),
            node: incident.node.0,
            detected_ms: millis(incident.detected.as_ref().map(|(after, _)| *after)),
            rule: why.as_ref().map(|why| why.rule.clone()),
            because: why.map(|why| why.because),
            fenced_ms: millis(incident.fenced),
            appointed_ms: millis(incident.appointed),
            promoted_ms: millis(incident.promoted),
            first_write_ms: millis(incident.first_write),
            successor: incident.successor.map(|node| node.0),
            outage_ms: millis(incident.outage),
            rejoined_ms: millis(incident.rejoined),
            writes_lost: incident.lost,
            must_lose_nothing: incident.fault.must_lose_nothing(),
        }
    }

    /// Whether nothing was lost that the rules protect.
    pub(super) fn keeps_the_rules(&self) -> bool {
        self.writes_lost.is_some_and(|lost| lost == 0 || !self.must_lose_nothing)
    }

    /// One line a fact, in the order in which they happened; the headline stands above them already.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let mut tell = |what: &str, at: Option<u64>| facts.extend(at.map(|at| (at, what.to_owned())));
        let rule = self.rule.as_deref().unwrap_or_default();
        let because = self.because.as_deref().unwrap_or_default();
        tell(&format!("detected: {rule} ({because})"), self.detected_ms);
        tell("fenced: no process of the old server is left", self.fenced_ms);
        tell("a successor appointed", self.appointed_ms);
        tell("promoted", self.promoted_ms);
        let successor = self.successor.unwrap_or_default();
        tell(&format!("first write acknowledged again, by n{successor}"), self.first_write_ms);
        tell("all nodes stream again", self.rejoined_ms);
        facts.sort();
        let mut lines: Vec<_> = facts.into_iter().map(|(at, what)| format!("  {at:>6} ms  {what}")).collect();
        let mut last = String::new();
        if let Some(outage) = self.outage_ms {
            write!(last, "  the client waited {outage} ms").expect("a string takes all");
        }
        if let Some(lost) = self.writes_lost {
            write!(last, "; acknowledged writes lost: {lost}").expect("a string takes all");
        }
        lines.push(last);
        lines.retain(|line| !line.is_empty());
        lines
    }
}

/// What is done to whom.
pub(super) fn headline(fault: &str, node: u64) -> String {
    let what = match fault.parse() {
        Ok(Fault::Crash) => "the server process is killed",
        Ok(Fault::Kill) => "every process of the node is killed at once",
        Ok(Fault::Freeze) => "every process of the server is stopped, so that it hangs",
        Ok(Fault::Cut) => "the node's cable is out",
        Ok(Fault::Switchover) => "an operator moves the primary elsewhere",
        Err(_) => fault,
    };
    format!("{fault} n{node}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(fault: &str, lost: Option<usize>, must_lose_nothing: bool) -> Account {
        Account {
            fault: fault.into(),
            node: 1,
            detected_ms: Some(12),
            rule: Some("the-rule".into()),
            because: Some("a reason".into()),
            fenced_ms: Some(20),
            appointed_ms: None,
            promoted_ms: None,
            first_write_ms: Some(140),
            successor: Some(1),
            outage_ms: Some(150),
            rejoined_ms: Some(900),
            writes_lost: lost,
            must_lose_nothing,
        }
    }

    #[test]
    fn a_loss_breaks_the_rules_only_where_they_forbid_it() {
        assert!(account("crash", Some(0), true).keeps_the_rules());
        assert!(!account("crash", Some(1), true).keeps_the_rules());
        assert!(account("kill", Some(3), false).keeps_the_rules());
        assert!(!account("kill", None, false).keeps_the_rules(), "what was not counted was not shown");
    }

    #[test]
    fn an_account_tells_what_happened_in_order_and_skips_what_did_not() {
        let told = account("crash", Some(0), true).lines().join("\n");
        assert_eq!(
            told,
            "      12 ms  detected: the-rule (a reason)\n      20 ms  fenced: no process of the old server is left\n     140 ms  first write acknowledged again, by n1\n     900 ms  all nodes stream again\n  the client waited 150 ms; acknowledged writes lost: 0"
        );
    }
}
