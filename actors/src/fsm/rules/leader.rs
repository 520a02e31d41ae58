//! What the Raft leader proposes.

use super::Rule;
use crate::raft::Gate;

/// What the reports say about the founding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Founding {
    /// The cluster has its database.
    Done,
    /// Not all data nodes have told what they have.
    Waiting,
    /// It is clear who founds.
    Chosen,
    /// An operator has to decide.
    Refused,
}

/// How far a switchover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Switching {
    /// None is under way.
    No,
    /// The old primary has not released yet.
    Running,
    /// It has not, and the target cannot be reached or is being stopped.
    TargetGone,
    /// The old primary, or the new one, takes too long.
    Overdue,
    /// It has, and the target has received the end of its log (D4).
    TargetReady,
    /// The target has not, yet.
    TargetPending,
    /// The target takes too long, or cannot have received it.
    TargetLate,
    /// The target is appointed.
    Appointed,
}

/// Whether somebody other than the old primary may be appointed (D1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Candidate {
    /// Nobody.
    None,
    /// Somebody, but candidates may still receive more.
    Moving,
    /// Somebody, and it is clear who is best; but the old primary told where its log ends, and nobody has received that much.
    Short,
    /// Somebody, and it is clear who is best.
    Settled,
}

/// The view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) struct View {
    /// This node leads, has applied an entry of its term, and has no appointment in flight.
    pub(in crate::fsm) in_charge: bool,
    pub(in crate::fsm) gate: Gate,
    pub(in crate::fsm) paused: bool,
    pub(in crate::fsm) founding: Founding,
    pub(in crate::fsm) switching: Switching,
    pub(in crate::fsm) candidate: Candidate,
    /// The old primary reports, and its database could lead again.
    pub(in crate::fsm) old_is_well: bool,
    /// The old primary does not report, and may still do so, as after a start of the whole cluster.
    pub(in crate::fsm) old_may_return: bool,
    /// The primary was appointed so lately that it cannot have asked for its lease yet.
    pub(in crate::fsm) newly_appointed: bool,
}

impl View {
    fn somebody_is_best(&self) -> bool {
        matches!(self.candidate, Candidate::Short | Candidate::Settled)
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Action {
    /// Nothing.
    Wait,
    /// Appoint the one that founds.
    AppointFounder,
    /// Appoint the switchover's target.
    AppointTarget,
    /// Appoint the best candidate.
    AppointBest,
    /// Appoint the old primary again.
    AppointOld,
    /// The switchover cannot be done.
    AbortSwitchover,
}

/// The table.
pub(in crate::fsm) static RULES: &[Rule<View, Action>] = &[
    Rule {
        id: "not-in-charge",
        when: |view| !view.in_charge,
        then: Action::Wait,
        because: "only a leader that has applied an entry of its own term decides, one thing at a time",
    },
    Rule {
        id: "abort-an-overdue-switchover",
        when: |view| view.gate != Gate::Released && view.switching == Switching::Overdue,
        then: Action::AbortSwitchover,
        because: "the old primary did not step down in time, as when the target does not stream, or the new one did not accept writes in time",
    },
    Rule {
        id: "abort-a-switchover-to-nobody",
        when: |view| view.gate != Gate::Released && view.switching == Switching::TargetGone,
        then: Action::AbortSwitchover,
        because: "the target does not report any more, or is being stopped, so the old primary goes on",
    },
    Rule {
        id: "lease-may-be-valid",
        when: |view| view.gate == Gate::Closed,
        then: Action::Wait,
        because: "the primary may hold a lease: nobody is appointed before that is over for certain",
    },
    Rule {
        id: "await-the-appointed",
        when: |view| view.gate == Gate::Lapsed && view.newly_appointed,
        then: Action::Wait,
        because: "the primary was just appointed and is about to ask for its lease",
    },
    Rule {
        id: "complete-the-switchover",
        when: |view| view.gate == Gate::Released && view.switching == Switching::TargetReady,
        then: Action::AppointTarget,
        because: "the old primary stopped and the target has received everything",
    },
    Rule {
        id: "await-the-target",
        when: |view| view.gate == Gate::Released && view.switching == Switching::TargetPending,
        then: Action::Wait,
        because: "the target has not received the end of the old primary's log yet",
    },
    Rule {
        id: "return-from-switchover",
        when: |view| view.gate == Gate::Released && view.switching == Switching::TargetLate && view.old_is_well,
        then: Action::AppointOld,
        because: "the target did not receive the end of the old primary's log, so the old primary goes on and nothing is lost",
    },
    Rule {
        id: "found-unpaused",
        when: |view| view.founding == Founding::Chosen && !view.paused,
        then: Action::AppointFounder,
        because: "the cluster has no database: the one that is there is adopted, or the node of the highest failover_priority makes it",
    },
    Rule {
        id: "founding-refused",
        when: |view| view.founding == Founding::Refused,
        then: Action::Wait,
        because: "an operator must decide which database the cluster shall have",
    },
    Rule {
        id: "founding-waits",
        when: |view| view.founding == Founding::Waiting,
        then: Action::Wait,
        because: "no database is made before every data node has told what it holds",
    },
    Rule {
        id: "paused",
        when: |view| view.paused,
        then: Action::Wait,
        because: "an operator paused failover; `witch resume` lets it go on",
    },
    Rule {
        id: "await-positions",
        when: |view| view.candidate == Candidate::Moving,
        then: Action::Wait,
        because: "the candidates are about to tell where they stand",
    },
    Rule {
        id: "return-to-the-complete",
        when: |view| view.gate == Gate::Released && view.candidate == Candidate::Short && view.old_is_well,
        then: Action::AppointOld,
        because: "the old primary is well, and nobody else has received everything that it acknowledged",
    },
    Rule {
        id: "await-the-complete",
        when: |view| view.gate == Gate::Released && view.candidate == Candidate::Short && view.old_may_return,
        then: Action::Wait,
        because: "nobody has received everything that the old primary acknowledged, and it may be about to return",
    },
    Rule {
        id: "fail-over-after-release",
        when: |view| view.gate == Gate::Released && view.somebody_is_best(),
        then: Action::AppointBest,
        because: "the primary released its epoch, and the candidate with the best position within the allowed lag takes over",
    },
    Rule {
        id: "fail-over-after-lease",
        when: |view| view.gate == Gate::Lapsed && view.somebody_is_best(),
        then: Action::AppointBest,
        because: "the primary's lease is over for certain, and the candidate with the best position within the allowed lag takes over",
    },
    Rule {
        id: "return-to-the-old",
        when: |view| view.gate == Gate::Released && view.old_is_well,
        then: Action::AppointOld,
        because: "nobody else may take over, and the old primary is well",
    },
    Rule {
        id: "no-candidate",
        when: |_| true,
        then: Action::Wait,
        because: "no node may be appointed: each is unreachable, tagged, diverged or too far behind",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn views() -> impl Iterator<Item = View> {
        use Switching as S;
        let switchings = [S::No, S::Running, S::TargetGone, S::Overdue, S::TargetReady, S::TargetPending, S::TargetLate, S::Appointed];
        let foundings = [Founding::Done, Founding::Waiting, Founding::Chosen, Founding::Refused];
        let candidates = [Candidate::None, Candidate::Moving, Candidate::Short, Candidate::Settled];
        [Gate::Closed, Gate::Released, Gate::Lapsed].into_iter().flat_map(move |gate| {
            switchings.into_iter().flat_map(move |switching| {
                foundings.into_iter().flat_map(move |founding| {
                    candidates.into_iter().flat_map(move |candidate| {
                        (0..32_u32).map(move |bits| View {
                            in_charge: bits & 1 != 0,
                            gate,
                            paused: bits & 2 != 0,
                            founding,
                            switching,
                            candidate,
                            old_is_well: bits & 4 != 0,
                            newly_appointed: bits & 8 != 0,
                            old_may_return: bits & 16 != 0,
                        })
                    })
                })
            })
        })
    }

    fn appoints(action: Action) -> bool {
        matches!(action, Action::AppointFounder | Action::AppointTarget | Action::AppointBest | Action::AppointOld)
    }

    #[test]
    fn every_view_matches_and_every_row_is_first_somewhere() {
        let reached: BTreeSet<_> = views().map(|view| super::super::first(RULES, &view).id).collect();
        let all: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(reached, all);
        assert_eq!(all.len(), RULES.len(), "ids are unique");
    }

    #[test]
    fn nobody_is_appointed_behind_a_closed_gate_or_by_a_follower() {
        for view in views().filter(|view| view.gate == Gate::Closed || !view.in_charge) {
            assert!(!appoints(super::super::first(RULES, &view).then), "{view:?}");
        }
    }

    #[test]
    fn a_pause_holds_everything_but_the_end_of_a_switchover() {
        for view in views().filter(|view| view.paused && view.switching == Switching::No) {
            assert_eq!(super::super::first(RULES, &view).then, Action::Wait, "{view:?}");
        }
    }

    #[test]
    fn nobody_who_lacks_something_replaces_an_old_primary_that_has_it_and_is_well() {
        for view in views().filter(|view| view.gate == Gate::Released && view.candidate == Candidate::Short && view.old_is_well) {
            assert_ne!(super::super::first(RULES, &view).then, Action::AppointBest, "{view:?}");
        }
    }

    #[test]
    fn a_target_is_appointed_only_when_it_has_everything() {
        for view in views() {
            if super::super::first(RULES, &view).then == Action::AppointTarget {
                assert_eq!(view.switching, Switching::TargetReady, "{view:?}");
            }
        }
    }
}
