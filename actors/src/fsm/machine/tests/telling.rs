//! What others are told, and how often: the requests of operators, and the status.

use super::*;

#[test]
fn a_request_is_brought_before_the_leader_until_the_state_has_it() {
    let mut bench = Bench::founded(2, 1);
    bench.effects.clear();
    bench.tell(Input::Requested { id: RequestId(4), request: Request::Pause });
    bench.pass(250);
    let asks = |bench: &Bench| bench.effects.iter().filter(|effect| matches!(effect, Effect::Raft(raft::Order::Ask { .. }))).count();
    assert_eq!(asks(&bench), 2);
    bench.commit(None, Command::Pause { id: RequestId(4), paused: true });
    bench.effects.clear();
    bench.pass(250);
    assert_eq!(asks(&bench), 0);
}

#[test]
fn a_status_is_stamped_at_least_four_times_a_second() {
    let mut bench = Bench::founded(2, 1);
    bench.effects.clear();
    for _ in 0..40 {
        bench.pass(50);
    }
    let stamps = bench.effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count();
    assert!(stamps >= 8, "{stamps}");
}

#[test]
fn a_step_that_stamps_nothing_does_not_put_the_next_stamp_off() {
    let mut bench = Bench::founded(2, 1);
    bench.pass(250);
    let stamped_at = bench.now;
    bench.now += 200;
    bench.observe(3, Health::Green, database(Server::Standby, 100), 1);
    assert!(bench.machine.wake_at() <= Some(at(stamped_at + 250)), "{:?}", bench.machine.wake_at());
}
