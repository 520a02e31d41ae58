//! A new life of the daemon, above a server that may have gone on writing meanwhile.

use super::*;

/// Requests are numbered from one again in each life of the daemon: only the nonce tells a late grant to an earlier life apart.
#[test]
fn each_life_asks_for_its_lease_under_its_own_nonce() {
    for boot in [Boot(7), Boot(8)] {
        let mut bench = Bench::born(1);
        bench.machine = Machine::new(Config { boot, ..config(1) });
        bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
        let asked = bench.effects.iter().find_map(|effect| match effect {
            Effect::Raft(raft::Order::RequestLease(request)) => Some(request.boot),
            _ => None,
        });
        assert_eq!(asked, Some(boot));
    }
}

#[test]
fn a_restarted_daemon_takes_its_running_primary_over() {
    let mut bench = Bench::born(1);
    bench.commit(Some(1), Command::Appoint { node: NodeId(1), why: Why::default(), lost_at_least: None, at: None });
    bench.commit(None, Command::Founded { node: NodeId(1), system_identifier: OURS });
    bench.report(database(Server::Primary, 100));
    assert_eq!(*bench.order(), Order::Watch, "the guard has not told yet what it holds");
    let end = at(bench.now + 2000);
    bench.tell(Input::GuardFound { lease: Some((Epoch(1), end)) });
    assert_eq!(*bench.order(), lead(1));
    bench.pass(1500);
    assert_eq!(*bench.order(), Order::Fence, "the old lease is no better than any other");
}

#[test]
fn a_running_primary_is_left_to_the_guard_until_the_log_is_read() {
    let mut machine = Machine::new(config(1));
    machine.step(at(1000), Input::GuardFound { lease: Some((Epoch(1), at(3000))) });
    let reported = Reported { order: 0, database: database(Server::Primary, 100), founded: None, stopped: None };
    machine.step(at(1010), Input::Reported(Box::new(reported)));
    assert_eq!(machine.ordered.map(|ordered| ordered.order), Some(Order::Watch));
}

#[test]
fn a_new_life_knows_what_the_old_one_was_told() {
    let bench = Bench::founded(1, 1);
    let facts = alloc::vec![
        Input::Raft(Fact::Committed { index: 4, state: Box::new(bench.state.clone()), ignored: None }),
        Input::GuardFound { lease: Some((Epoch(1), at(20_000))) },
    ];
    let mut reborn = Machine::new(Config { started: at(19_000), ..config(1) });
    reborn.step(at(19_000), Input::Recalled(facts));
    reborn.step(
        at(19_001),
        Input::Reported(Box::new(Reported { order: 0, database: database(Server::Primary, 100), founded: None, stopped: None })),
    );
    assert_eq!(reborn.ordered.map(|ordered| ordered.order), Some(lead(1)));
}
