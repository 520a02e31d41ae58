//! What this node does with its own database.

use super::Rule;

/// What the applied state says of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Appointment {
    /// The node does not know the state yet, or knows it only up to an epoch before that of the lease it holds.
    Unknown,
    /// Nobody was ever appointed, or the last primary is released and it was not us.
    Nobody,
    /// Somebody else is primary and accepts writes.
    Other,
    /// Somebody else is appointed and does not accept writes yet.
    OtherPending,
    /// We are the unreleased primary.
    Mine,
    /// We were it, and the state says that we released it.
    MineReleased,
}

/// The right to run a writable database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Lease {
    /// The guard has not told yet what it holds, or the log has not told yet what for.
    Unknown,
    /// Held for the epoch that the state names.
    Held,
    /// Not held.
    Missing,
}

/// This node's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Local {
    /// The adapter has not reported.
    Unknown,
    /// Nothing, or something half-made.
    Bare,
    /// Another cluster's (S11).
    Foreign,
    /// Files that Witch cannot run.
    Unusable,
    /// A server runs that is not ours to touch.
    Stranger,
    /// No process.
    Stopped,
    /// Read-only for certain.
    Standby,
    /// Being stopped.
    Stopping,
    /// Writable, or about to be.
    Leading,
    /// Does not answer.
    Hung,
}

/// Whether the primary has decided to give up its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Leaving {
    /// No.
    No,
    /// For a switchover, as soon as its target is seen streaming.
    Soon,
    /// For a switchover: in good order.
    InOrder,
    /// Because its server cannot go on: at once.
    AtOnce,
    /// It is on disk that it has (S8).
    Recorded,
}

/// The view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) struct View {
    pub(in crate::fsm) appointment: Appointment,
    pub(in crate::fsm) lease: Lease,
    pub(in crate::fsm) local: Local,
    pub(in crate::fsm) leaving: Leaving,
    /// The adapter proved, under an order to stop, that no process of the server is left.
    pub(in crate::fsm) proved_gone: bool,
    /// No order to make or to run a primary is in force, and the adapter has looked since that is so.
    pub(in crate::fsm) withdrawn: bool,
    /// The cluster has a database.
    pub(in crate::fsm) founded: bool,
    /// The process was told to end.
    pub(in crate::fsm) stopping: bool,
    /// An operator holds failover.
    pub(in crate::fsm) paused: bool,
    /// This node has just started and may still get its old lease.
    pub(in crate::fsm) patient: bool,
    /// A switchover is under way.
    pub(in crate::fsm) switching: bool,
    /// No Raft leader was known for so long that there is nobody to tell anything.
    pub(in crate::fsm) leaderless: bool,
}

impl View {
    fn mine(&self) -> bool {
        self.appointment == Appointment::Mine
    }

    fn harmless(&self) -> bool {
        self.withdrawn && matches!(self.local, Local::Bare | Local::Stopped | Local::Standby)
    }

    /// Its server was told to stop while it accepted writes, and is not gone yet.
    fn steps_down(&self) -> bool {
        self.local == Local::Stopping && (self.stopping || self.leaving != Leaving::No)
    }

    fn recorded(&self) -> bool {
        self.mine() && self.leaving == Leaving::Recorded
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fsm) enum Action {
    /// Change nothing.
    Watch,
    /// Make or adopt the cluster's database.
    Found,
    /// Accept writes.
    Lead,
    /// Be readable without an upstream.
    StandAlone,
    /// Follow the primary.
    Follow,
    /// Checkpoint, then stop in good order.
    StepDown,
    /// Stop.
    Stop,
    /// End every process of the server now.
    Fence,
    /// Bring to disk that this epoch is over for us.
    RecordRelease,
    /// Tell the cluster so.
    ProposeRelease,
    /// End the process.
    Exit,
}

/// The table.
pub(in crate::fsm) static RULES: &[Rule<View, Action>] = &[
    Rule {
        id: "fence-without-lease",
        when: |view| {
            view.lease == Lease::Missing
                && (view.local == Local::Leading || view.mine() && (view.local == Local::Hung || view.steps_down()))
        },
        then: Action::Fence,
        because: "a primary which cannot prove its lease may already have a successor",
    },
    Rule {
        id: "fence-after-release",
        when: |view| view.recorded() && matches!(view.local, Local::Leading | Local::Stopping | Local::Hung),
        then: Action::Fence,
        because: "this node has given its word that the epoch is over",
    },
    Rule {
        id: "end-without-quorum",
        when: |view| view.stopping && view.recorded() && view.harmless() && view.local != Local::Standby && view.leaderless,
        then: Action::Exit,
        because: "the release is on record here and is told at the next start: nobody is there to be told now",
    },
    Rule {
        id: "tell-the-release",
        when: |view| view.recorded() && view.harmless(),
        then: Action::ProposeRelease,
        because: "no process of the old epoch is left, so a successor need not wait for the lease to run out",
    },
    Rule {
        id: "await-proof",
        when: |view| view.recorded(),
        then: Action::Watch,
        because: "a release is told only when it is certain that no server of the old epoch is left",
    },
    Rule {
        id: "stop-in-pause",
        when: |view| view.stopping && view.mine() && view.paused && view.proved_gone,
        then: Action::Exit,
        because: "failover is paused: this node keeps its appointment and goes on when it is started again",
    },
    Rule {
        id: "release-at-the-end",
        when: |view| view.stopping && view.mine() && view.proved_gone,
        then: Action::RecordRelease,
        because: "this node is told to end and its database is stopped, so somebody else may take over at once",
    },
    Rule {
        id: "step-down-at-the-end",
        when: |view| view.stopping && view.mine(),
        then: Action::StepDown,
        because: "this node is told to end and hands over in good order",
    },
    Rule {
        id: "end",
        when: |view| {
            view.stopping
                && (view.proved_gone
                    || matches!(view.local, Local::Unknown | Local::Bare | Local::Foreign | Local::Unusable | Local::Stranger))
        },
        then: Action::Exit,
        because: "this node is told to end and no database of it is left running",
    },
    Rule { id: "stop-at-the-end", when: |view| view.stopping, then: Action::Stop, because: "this node is told to end" },
    Rule {
        id: "release",
        when: |view| view.mine() && matches!(view.leaving, Leaving::InOrder | Leaving::AtOnce) && view.proved_gone,
        then: Action::RecordRelease,
        because: "the database is stopped for good in this epoch, so the lease need not run out",
    },
    Rule {
        id: "step-down-for-switchover",
        when: |view| view.mine() && view.leaving == Leaving::InOrder,
        then: Action::StepDown,
        because: "an operator asked for another primary",
    },
    Rule {
        id: "give-up",
        when: |view| view.mine() && view.leaving == Leaving::AtOnce,
        then: Action::Fence,
        because: "the server cannot go on here and an eligible candidate waits",
    },
    Rule {
        id: "leave-the-foreign-alone",
        when: |view| view.local == Local::Foreign,
        then: Action::Watch,
        because: "the data directory belongs to another database cluster: it is never started, rewound or wiped",
    },
    Rule {
        id: "leave-the-unusable-alone",
        when: |view| matches!(view.local, Local::Unusable | Local::Stranger),
        then: Action::Watch,
        because: "what is on the data directory is not Witch's to touch until an operator has looked",
    },
    Rule {
        id: "look-at-the-database-first",
        when: |view| view.local == Local::Unknown,
        then: Action::Watch,
        because: "nothing is started before it is known whose database lies here",
    },
    Rule {
        id: "found",
        when: |view| view.mine() && !view.founded && view.lease == Lease::Held,
        then: Action::Found,
        because: "this node is appointed and the cluster has no database yet",
    },
    Rule {
        id: "lead-until-the-target-streams",
        when: |view| view.mine() && view.founded && view.lease == Lease::Held && view.leaving == Leaving::Soon,
        then: Action::Lead,
        because: "the switchover's target has not been seen streaming since it was asked for, and without that it would not receive the end of \
                  the log: clients are served meanwhile",
    },
    Rule {
        id: "lead",
        when: |view| view.mine() && view.founded && view.lease == Lease::Held,
        then: Action::Lead,
        because: "this node is appointed and holds the lease",
    },
    Rule {
        id: "await-the-log",
        when: |view| view.appointment == Appointment::Unknown,
        then: Action::Watch,
        because: "the log has not told yet, or not as far as the lease that is held, whose turn it is; the guard ends a writable server whose \
                  lease runs out meanwhile",
    },
    Rule {
        id: "await-the-guard",
        when: |view| view.lease == Lease::Unknown && (view.mine() || matches!(view.local, Local::Leading | Local::Hung)),
        then: Action::Watch,
        because: "the guard may hold a lease from before the daemon started",
    },
    Rule {
        id: "await-the-lease",
        when: |view| view.mine() && (!view.founded || view.patient && view.local == Local::Stopped),
        then: Action::Watch,
        because: "this node is appointed and asks for its lease",
    },
    Rule {
        id: "read-only-without-lease",
        when: |view| view.mine(),
        then: Action::StandAlone,
        because: "without a lease the database may be read but not written",
    },
    Rule {
        id: "follow-the-primary",
        when: |view| view.founded && view.appointment == Appointment::Other,
        then: Action::Follow,
        because: "another node is primary",
    },
    Rule {
        id: "expect-the-primary",
        when: |view| view.founded && view.appointment == Appointment::OtherPending,
        then: Action::Follow,
        because: "another node is being promoted: stream from it as soon as that works, and rewind or clone nothing yet",
    },
    Rule {
        id: "await-the-target",
        when: |view| view.appointment == Appointment::MineReleased && view.switching,
        then: Action::Watch,
        because: "the switchover's target is about to be appointed",
    },
    Rule {
        id: "read-only-without-primary",
        when: |view| view.founded && matches!(view.appointment, Appointment::Nobody | Appointment::MineReleased),
        then: Action::StandAlone,
        because: "nobody is primary: the database may be read, and tells how far it is",
    },
    Rule { id: "watch", when: |_| true, then: Action::Watch, because: "this node does not know yet what its database shall be" },
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn views() -> impl Iterator<Item = View> {
        use Appointment as A;
        use Local as L;
        let appointments = [A::Unknown, A::Nobody, A::Other, A::OtherPending, A::Mine, A::MineReleased];
        let locals = [L::Unknown, L::Bare, L::Foreign, L::Unusable, L::Stranger, L::Stopped, L::Standby, L::Stopping, L::Leading, L::Hung];
        let leases = [Lease::Unknown, Lease::Held, Lease::Missing];
        let leavings = [Leaving::No, Leaving::Soon, Leaving::InOrder, Leaving::AtOnce, Leaving::Recorded];
        appointments.into_iter().flat_map(move |appointment| {
            locals.into_iter().flat_map(move |local| {
                leases.into_iter().flat_map(move |lease| {
                    leavings.into_iter().flat_map(move |leaving| {
                        (0..256_u32).map(move |bits| {
                            let bit = |number: u32| bits & (1 << number) != 0;
                            View {
                                appointment,
                                lease,
                                local,
                                leaving,
                                proved_gone: bit(0),
                                founded: bit(1),
                                stopping: bit(2),
                                paused: bit(3),
                                patient: bit(4),
                                switching: bit(5),
                                leaderless: bit(6),
                                withdrawn: bit(7),
                            }
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn every_view_matches_and_every_row_is_first_somewhere() {
        let reached: BTreeSet<_> = views().map(|view| super::super::first(RULES, &view).id).collect();
        let all: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(reached, all);
        assert_eq!(all.len(), RULES.len(), "ids are unique");
    }

    #[test]
    fn only_the_appointed_with_a_lease_ever_leads() {
        for view in views() {
            let action = super::super::first(RULES, &view).then;
            if action == Action::Lead {
                assert_eq!((view.appointment, view.lease), (Appointment::Mine, Lease::Held), "{view:?}");
                assert!(matches!(view.leaving, Leaving::No | Leaving::Soon), "{view:?}");
            }
        }
    }

    #[test]
    fn a_writable_database_without_a_lease_is_always_fenced() {
        let may_write = |view: &View| view.local == Local::Leading || view.mine() && view.steps_down();
        for view in views().filter(|view| view.lease == Lease::Missing && may_write(view)) {
            assert_eq!(super::super::first(RULES, &view).then, Action::Fence, "{view:?}");
        }
    }

    #[test]
    fn a_server_that_may_be_leading_under_a_lease_yet_unknown_is_only_stopped_for_an_operator() {
        for view in views().filter(|view| view.lease == Lease::Unknown && view.local == Local::Leading && view.leaving == Leaving::No) {
            let action = super::super::first(RULES, &view).then;
            assert!(view.stopping || action == Action::Watch, "{view:?} {action:?}");
        }
    }

    #[test]
    fn a_server_that_still_runs_when_its_epoch_is_released_is_always_fenced() {
        let runs = |view: &View| matches!(view.local, Local::Leading | Local::Stopping | Local::Hung);
        for view in views().filter(|view| view.recorded() && runs(view)) {
            assert_eq!(super::super::first(RULES, &view).then, Action::Fence, "{view:?}");
        }
    }

    #[test]
    fn nothing_is_recorded_or_told_as_released_while_the_server_may_write() {
        for view in views() {
            match super::super::first(RULES, &view).then {
                Action::RecordRelease => assert!(view.proved_gone && view.appointment == Appointment::Mine, "{view:?}"),
                Action::ProposeRelease => assert!(view.harmless() && view.leaving == Leaving::Recorded, "{view:?}"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_node_leaves_its_release_untold_only_if_it_is_on_record_and_nobody_is_there_to_be_told() {
        for view in views().filter(|view| view.appointment == Appointment::Mine && view.leaving == Leaving::Recorded && !view.paused) {
            if super::super::first(RULES, &view).then == Action::Exit {
                assert!(view.stopping && view.leaderless && matches!(view.local, Local::Bare | Local::Stopped), "{view:?}");
            }
        }
    }

    #[test]
    fn foreign_unusable_and_unseen_directories_are_left_alone() {
        for view in views().filter(|view| matches!(view.local, Local::Unknown | Local::Foreign | Local::Unusable | Local::Stranger)) {
            let action = super::super::first(RULES, &view).then;
            let touches = matches!(action, Action::Found | Action::Lead | Action::Follow | Action::StandAlone);
            assert!(!touches, "{view:?} {action:?}");
        }
    }
}
