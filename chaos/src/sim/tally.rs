//! How often what happened: a rule or a fault that never fires is a question.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Counts, over one run or over many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    rules: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn rule(&mut self, id: &str) {
        match self.rules.get_mut(id) {
            Some(count) => *count += 1,
            None => {
                self.rules.insert(id.to_owned(), 1);
            }
        }
    }

    pub(super) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(super) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// Adds what another run counted.
    pub fn merge(&mut self, other: &Self) {
        for (rule, count) in &other.rules {
            *self.rules.entry(rule.clone()).or_default() += count;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// Every rule of the tables and every fault that never came about.
    #[must_use]
    pub fn never(&self, beyond: bool) -> Vec<String> {
        // A row that means that nothing is to be decided is never told.
        let silent = ["not-in-charge"];
        let rows = actors::fsm::document();
        let rows = rows.lines().filter_map(|line| line.split('`').nth(1)).filter(|_| true).map(str::to_owned);
        let rules = rows.filter(|row| {
            row.contains('-') || row == "lead" || row == "found" || row == "release" || row == "watch" || row == "end" || row == "paused"
        });
        let plan = actors::pg::plan::RULES.iter().map(|rule| rule.id.to_owned());
        let rules = rules.chain(plan).filter(|rule| !silent.contains(&rule.as_str()) && !self.rules.contains_key(rule));
        let faults = super::KIND_NAMES.iter().filter(|name| !self.faults.contains_key(*name) && (beyond || **name != "freeze-host"));
        rules.map(|rule| format!("rule {rule}")).chain(faults.map(|name| format!("fault {name}"))).collect()
    }

    /// A table for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::new();
        let rules = self.rules.iter().map(|(rule, count)| (format!("rule {rule}"), count));
        let faults = self.faults.iter().map(|(fault, count)| (format!("fault {fault}"), count));
        let counts = self.counts.iter().map(|(what, count)| ((*what).to_owned(), count));
        for (what, count) in rules.chain(faults).chain(counts) {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "{count:>10}  {what}");
        }
        out
    }
}
