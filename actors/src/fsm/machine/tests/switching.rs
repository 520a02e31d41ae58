//! The old primary's part in a switchover: an outage begins only when the target can receive the end of the log.

use super::*;

const TARGET: u64 = 2;

fn primary_that_is_asked_to_step_down() -> Bench {
    let mut bench = Bench::founded(1, 1);
    bench.report(database(Server::Standby, 100));
    bench.grant();
    bench.report(database(Server::Primary, 100));
    bench.observe(TARGET, Health::Green, database(Server::Standby, 100), 1);
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(TARGET) });
    bench
}

fn target_reports(bench: &mut Bench, streaming: bool) {
    bench.observe(TARGET, Health::Green, Database { streaming, ..database(Server::Standby, 100) }, 1);
}

#[test]
fn a_primary_goes_on_writing_until_the_target_is_seen_streaming_anew() {
    let mut bench = primary_that_is_asked_to_step_down();
    let lead = lead(1);
    assert_eq!(*bench.order(), lead, "the report is from before");
    target_reports(&mut bench, true);
    assert_eq!(*bench.order(), lead, "and so may be what is told at once");
    bench.pass(100);
    target_reports(&mut bench, false);
    assert_eq!((bench.order().clone(), bench.machine.node_rule), (lead, "lead-until-the-target-streams"));
    target_reports(&mut bench, true);
    assert_eq!(*bench.order(), Order::StepDown);
    target_reports(&mut bench, false);
    assert_eq!(*bench.order(), Order::StepDown, "the stream ends with the server");
}

#[test]
fn a_switchover_whose_target_never_streams_is_called_off_without_an_outage() {
    let mut bench = primary_that_is_asked_to_step_down();
    for _ in 0..9 {
        bench.pass(450);
        bench.grant();
        target_reports(&mut bench, false);
        assert_eq!(*bench.order(), lead(1));
    }
    bench.commit(None, Command::AbortSwitchover { id: RequestId(9), reason: "too late".into() });
    assert_eq!((bench.order().clone(), bench.machine.node_rule), (lead(1), "lead"));
}

#[test]
fn a_server_that_cannot_go_on_is_given_up_whether_or_not_the_target_streams() {
    let mut bench = primary_that_is_asked_to_step_down();
    bench.report(database(Server::Hung, 100));
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn everybody_reports_often_while_a_switchover_is_under_way() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    bench.commit(None, Command::BeginSwitchover { id: RequestId(9), to: NodeId(2) });
    bench.effects.clear();
    for _ in 0..10 {
        bench.pass(50);
    }
    assert!(bench.effects.iter().filter(|effect| matches!(effect, Effect::Report(_))).count() >= 9);
}
