//! From a long schedule of faults to a short one that breaks the same rule.

use super::run::run;
use super::story::Story;

/// Leaves out whatever is not needed for that rule to break, in ever smaller pieces. `patience`: so many runs at the most.
#[must_use]
pub fn shrink(story: &Story, rule: &str, patience: usize) -> Story {
    shrink_by(story, patience, |candidate| run(candidate, false).violation.is_some_and(|violation| violation.rule == rule))
}

fn shrink_by(story: &Story, patience: usize, mut fails: impl FnMut(&Story) -> bool) -> Story {
    let mut best = story.clone();
    let mut left = patience;
    let mut piece = best.faults.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < best.faults.len() {
            if left == 0 {
                return best;
            }
            left -= 1;
            let mut candidate = best.clone();
            let end = (at + piece).min(candidate.faults.len());
            candidate.faults.drain(at..end);
            if fails(&candidate) {
                best = candidate;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Fault, Timed, Who};

    #[test]
    fn only_the_faults_that_are_needed_are_left() {
        let faults = (0..40).map(|at| Timed { at, fault: Fault::KillGuard(Who::Node(usize::try_from(at).unwrap())) }).collect();
        let story = Story { seed: 1, beyond: false, nodes: 3, heal_at: 100, faults };
        let needs = |at: u64| move |story: &Story| story.faults.iter().any(|timed| timed.at == at);
        let small = shrink_by(&story, 1000, |story| needs(7)(story) && needs(31)(story));
        assert_eq!(small.faults.iter().map(|timed| timed.at).collect::<Vec<_>>(), [7, 31]);
    }

    #[test]
    fn patience_ends_the_search_with_what_still_fails() {
        let faults: Vec<_> = (0..40).map(|at| Timed { at, fault: Fault::KillGuard(Who::Leader) }).collect();
        let story = Story { seed: 1, beyond: false, nodes: 3, heal_at: 100, faults };
        let small = shrink_by(&story, 1, |_| true);
        assert_eq!(small.faults.len(), 20);
    }
}
