//! Rules are rows: the first that matches decides, and the last always matches.

pub(super) mod leader;
pub(super) mod node;

use crate::model::Why;
use alloc::string::String;
use core::fmt::Write;

/// A row. Ids are never reused: logs, status, history and tests cite them.
pub(super) struct Rule<View, Action: 'static> {
    pub(super) id: &'static str,
    pub(super) when: fn(&View) -> bool,
    pub(super) then: Action,
    pub(super) because: &'static str,
}

impl<View, Action> Rule<View, Action> {
    pub(super) fn why(&self) -> Why {
        Why { rule: String::from(self.id), because: String::from(self.because) }
    }
}

/// The first row that matches.
pub(super) fn first<View, Action>(rules: &'static [Rule<View, Action>], view: &View) -> &'static Rule<View, Action> {
    rules.iter().find(|rule| (rule.when)(view)).expect("the last row of every table always matches; a test enumerates all views")
}

fn table<View, Action: core::fmt::Debug>(out: &mut String, rules: &'static [Rule<View, Action>]) {
    out.push_str("| # | rule | then | because |\n|---|---|---|---|\n");
    for (number, rule) in rules.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| {} | `{}` | {:?} | {} |", number + 1, rule.id, rule.then, rule.because);
    }
}

/// The tables as `docs/rules.md` shows them.
#[must_use]
pub fn document() -> String {
    let mut out = String::from(
        "# Rules\n\nGenerated from `actors/src/fsm/rules/`; do not edit. In each table the first row that matches decides. Every decision in the\n\
         log, in the status and in the history cites its row.\n\n## What a node does with its database\n\n",
    );
    table(&mut out, node::RULES);
    out.push_str("\n## What the Raft leader proposes\n\n");
    table(&mut out, leader::RULES);
    out
}
