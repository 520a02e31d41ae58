//! Goes through every view there is.

use super::*;
use alloc::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

const WISHES: [Wish; 8] = [Wish::Watch, Wish::Found, Wish::Lead, Wish::StandAlone, Wish::Follow, Wish::StepDown, Wish::Stop, Wish::Fence];
const GROUNDS: [Ground; 4] = [Ground::Bare, Ground::Database, Ground::Foreign, Ground::Unusable];
const SERVERS: [Server; 8] = [
    Server::Stopped,
    Server::StartingStandby,
    Server::Standby,
    Server::StartingPrimary,
    Server::Primary,
    Server::Stopping,
    Server::Hung,
    Server::Stranger,
];
const STOPS: [Stop; 4] = [Stop::Unasked, Stop::Asked, Stop::Late, Stop::Overrun];
const STREAMS: [Streaming; 3] = [Streaming::Seen, Streaming::Expected, Streaming::Missing];
const UPKEEPS: [Upkeep; 3] = [Upkeep::Nothing, Upkeep::Configure, Upkeep::Restart];
const RUNGS: [Rung; 4] = [Rung::Compare, Rung::Start, Rung::Rewind, Rung::Clone];

fn every_view(mut look: impl FnMut(&View)) {
    for (wish, upkeep) in WISHES.into_iter().flat_map(|wish| UPKEEPS.map(|upkeep| (wish, upkeep))) {
        for ground in GROUNDS {
            for server in SERVERS {
                for stop in STOPS {
                    for stream in STREAMS {
                        for rung in RUNGS {
                            for flags in 0..1024_u32 {
                                let flag = |bit: u32| flags & (1 << bit) != 0;
                                look(&View {
                                    wish,
                                    ground,
                                    server,
                                    stop,
                                    stream,
                                    rung,
                                    orphaned: flag(0),
                                    was_primary: flag(1),
                                    checkpointed: flag(2),
                                    founded: flag(3),
                                    tended: flag(4),
                                    promoted: flag(5),
                                    aimed: flag(6),
                                    preserved: flag(7),
                                    in_recovery: flag(8),
                                    unasked: flag(9),
                                    upkeep,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_view_has_a_rule_and_no_order_is_overstepped() {
    let mut reached = BTreeSet::new();
    every_view(|view| {
        let rule = plan(view);
        reached.insert(rule.id);
        let writes = matches!(rule.then, Step::Begin(Kind::StartPrimary | Kind::Promote));
        assert!(!writes || view.wish == Wish::Lead, "{} leads without an order: {view:?}", rule.id);
        let discards = matches!(rule.then, Step::Begin(Kind::Rewind | Kind::Clone));
        assert!(!discards || (view.wish == Wish::Follow && view.promoted), "{} discards without a promoted upstream: {view:?}", rule.id);
        assert!(!discards || view.ground != Ground::Foreign, "{} touches another cluster's database: {view:?}", rule.id);
        assert!(!discards || view.ground == Ground::Bare || view.preserved, "{} discards what was not kept: {view:?}", rule.id);
        let touches_the_directory = matches!(
            rule.then,
            Step::Begin(Kind::InitDb | Kind::Adopt | Kind::StartPrimary | Kind::StartStandby | Kind::Preserve | Kind::Rewind | Kind::Clone)
        );
        assert!(!touches_the_directory || view.server == Server::Stopped, "{} works under a running server: {view:?}", rule.id);
        if view.orphaned {
            assert_eq!(rule.then, Step::Kill, "what has no guard is swept, whatever is wished: {view:?}");
            return;
        }
        let only_tells = matches!(rule.then, Step::Rest | Step::Refuse(Trouble::Stranger));
        assert!(view.wish != Wish::Watch || only_tells, "{} acts while it should watch: {view:?}", rule.id);
        if view.wish == Wish::Fence {
            let wanted = if view.server == Server::Stopped { Step::Rest } else { Step::Kill };
            assert_eq!(rule.then, wanted, "a fence waits for nothing: {view:?}");
        }
    });
    let all: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    let unreached: Vec<_> = all.iter().filter(|id| !reached.contains(**id)).collect();
    assert!(unreached.is_empty(), "never the first that holds: {unreached:?}");
}

#[test]
fn no_two_rules_share_an_id_and_each_says_why() {
    let mut ids = BTreeSet::new();
    for rule in RULES {
        assert!(ids.insert(rule.id), "{} stands twice", rule.id);
        assert!(!rule.because.is_empty() && !rule.because.ends_with('.'), "{}", rule.id);
    }
}

#[test]
fn the_last_rule_always_holds() {
    let last = RULES.last().map(|rule| String::from(rule.id));
    assert_eq!(last.as_deref(), Some("pg-try-on"));
    every_view(|view| assert!(RULES.last().is_some_and(|rule| (rule.when)(view))));
}
