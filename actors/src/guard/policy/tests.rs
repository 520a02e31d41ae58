//! Every rule of the guard as a sentence, and then all of them at once against a seeded world that does its worst.

use super::super::control_file::{ControlFile, DbState};
use super::super::wire::{Answer, ExitCause, ExitStatus, Identity, Launch, PROTOCOL, Refusal, Request, Said, Status, StopMode};
use super::*;
use crate::model::{Lsn, SystemIdentifier, Timeline};
use alloc::string::ToString;

mod world;

const MARGIN: Duration = Duration::from_millis(500);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn identity() -> Identity {
    Identity { protocol: PROTOCOL, pid: 1, pgdata: "/data".to_string(), kill_margin: MARGIN }
}

fn launch(as_primary: Option<Epoch>) -> Launch {
    let program = "/bin/postgres".to_string();
    Launch { as_primary, program, args: vec![], env: vec![], working_dir: "/".to_string(), log_file: "/dev/null".to_string() }
}

fn control(state: DbState, time: i64) -> ControlFile {
    ControlFile {
        system_identifier: SystemIdentifier(1),
        pg_control_version: 1300,
        catalog_version: 1,
        state,
        time,
        checkpoint: Lsn(1),
        redo: Lsn(1),
        timeline: Timeline(1),
    }
}

fn looked(state: DbState, time: i64) -> Input {
    Input::Looked(Look { control: Some(control(state, time)), standby_signal: true })
}

/// A policy whose daemon has said hello.
struct Guard(Policy);

impl Guard {
    fn new() -> Self {
        let mut guard = Self(Policy::new(identity()));
        assert_eq!(guard.ask(0, Request::Hello { protocol: PROTOCOL }), [answer(Answer::Hello(identity()))]);
        guard
    }

    fn ask(&mut self, now: u64, request: Request) -> Vec<Effect> {
        self.0.step(at(now), Input::Requested { id: 7, request })
    }

    fn tell(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.0.step(at(now), input)
    }

    fn wake(&mut self, now: u64) -> Vec<Effect> {
        self.tell(now, Input::Woken)
    }

    fn lease(&mut self, now: u64, epoch: u64, end: u64) -> Vec<Effect> {
        self.ask(now, Request::Lease { epoch: Epoch(epoch), end: at(end) })
    }

    fn drop_lease(&mut self, now: u64, epoch: u64) -> Vec<Effect> {
        self.ask(now, Request::DropLease { epoch: Epoch(epoch) })
    }

    /// A primary started at 0 under a lease for epoch 1 until `end`.
    fn with_primary(end: u64) -> Self {
        let mut guard = Self::new();
        guard.lease(0, 1, end);
        let start = launch(Some(Epoch(1)));
        assert_eq!(guard.ask(0, Request::Start(start.clone())), [Effect::Start(start)]);
        let control = Some(control(DbState::ShutDown, 0));
        assert_eq!(guard.tell(0, Input::Started { pid: 42, control }), [answer(Answer::Started { pid: 42 })]);
        guard
    }

    /// A standby started at 0 on a directory that says `state`.
    fn with_standby(state: DbState) -> Self {
        let mut guard = Self::new();
        let start = launch(None);
        assert_eq!(guard.ask(0, Request::Start(start.clone())), [Effect::Start(start)]);
        let control = Some(control(state, 0));
        assert_eq!(guard.tell(0, Input::Started { pid: 42, control }), [answer(Answer::Started { pid: 42 })]);
        guard
    }

    fn status(&mut self, now: u64) -> Status {
        match self.ask(now, Request::Status).as_slice() {
            [Effect::Say(Said::Answer { answer: Answer::Status(status), .. })] => status.clone(),
            other => panic!("no status but {other:?}"),
        }
    }
}

fn answer(answer: Answer) -> Effect {
    say(7, answer)
}

fn refused(refusal: Refusal) -> [Effect; 1] {
    [answer(Answer::Refused(refusal))]
}

const NOTHING: [Effect; 0] = [];

#[test]
fn a_primary_is_killed_when_only_the_margin_of_its_lease_is_left() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.0.wake_at(), Some(at(2500)));
    assert_eq!(guard.wake(2499), NOTHING);
    assert_eq!(guard.wake(2500), [Effect::Kill]);
    assert_eq!(guard.wake(2501), NOTHING, "it is being killed already");
}

#[test]
fn a_renewal_keeps_a_primary_alive() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.lease(2400, 1, 5400), [answer(Answer::Leased { end: at(5400) })]);
    assert_eq!(guard.wake(2500), NOTHING);
    assert_eq!(guard.0.wake_at(), Some(at(4900)));
    assert_eq!(guard.wake(4900), [Effect::Kill]);
}

#[test]
fn the_end_of_a_lease_never_moves_back() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.lease(100, 1, 2000), [answer(Answer::Leased { end: at(3000) })]);
    assert_eq!(guard.0.wake_at(), Some(at(2500)));
}

#[test]
fn a_lease_for_a_newer_appointment_replaces_the_older_one() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.lease(100, 2, 2900), [answer(Answer::Leased { end: at(2900) })]);
    let refusal = Refusal::Outdated { epoch: Epoch(1), current: Epoch(2) };
    assert_eq!(guard.lease(200, 1, 9000), refused(refusal));
    assert_eq!(guard.wake(2400), [Effect::Kill]);
}

#[test]
fn a_dropped_epoch_has_no_lease_ever_again() {
    let mut guard = Guard::new();
    guard.lease(0, 3, 3000);
    assert_eq!(guard.drop_lease(0, 3), [answer(Answer::Done)]);
    for epoch in 1..=3 {
        let refusal = Refusal::Dropped { epoch: Epoch(epoch), dropped: Epoch(3) };
        assert_eq!(guard.lease(0, epoch, 9000), refused(refusal));
    }
    assert_eq!(guard.ask(0, Request::Start(launch(Some(Epoch(3))))), refused(Refusal::NoLease { epoch: Epoch(3) }));
    assert_eq!(guard.drop_lease(0, 1), [answer(Answer::Done)], "an older drop changes nothing");
    assert_eq!(guard.status(0).dropped, Some(Epoch(3)));
    assert_eq!(guard.lease(0, 4, 9000), [answer(Answer::Leased { end: at(9000) })]);
}

#[test]
fn to_drop_an_older_epoch_leaves_the_lease_alone() {
    let mut guard = Guard::new();
    guard.lease(0, 3, 3000);
    guard.drop_lease(0, 2);
    assert!(guard.0.lease_holds_for(at(0), Epoch(3)));
}

#[test]
fn to_drop_the_lease_of_a_writable_server_kills_it_at_once() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.drop_lease(10, 1), [Effect::Kill, answer(Answer::Done)]);
}

#[test]
fn no_server_starts_as_a_primary_without_enough_of_its_own_lease() {
    let mut guard = Guard::new();
    let start = |guard: &mut Guard, now, epoch| guard.ask(now, Request::Start(launch(Some(Epoch(epoch)))));
    assert_eq!(start(&mut guard, 0, 1), refused(Refusal::NoLease { epoch: Epoch(1) }));
    guard.lease(0, 1, 3000);
    assert_eq!(start(&mut guard, 2500, 1), refused(Refusal::NoLease { epoch: Epoch(1) }));
    assert_eq!(start(&mut guard, 100, 2), refused(Refusal::NoLease { epoch: Epoch(2) }));
    assert_eq!(start(&mut guard, 2499, 1), [Effect::Start(launch(Some(Epoch(1))))]);
}

#[test]
fn a_lease_that_is_dropped_during_the_start_kills_what_comes_of_it() {
    let mut guard = Guard::new();
    guard.lease(0, 1, 3000);
    guard.ask(0, Request::Start(launch(Some(Epoch(1)))));
    guard.drop_lease(0, 1);
    let effects = guard.tell(1, Input::Started { pid: 42, control: None });
    assert_eq!(effects, [Effect::Kill, answer(Answer::Started { pid: 42 })]);
}

#[test]
fn a_standby_outlives_every_lease() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    guard.lease(0, 1, 700);
    assert_eq!(guard.wake(100), [Effect::Look]);
    assert_eq!(guard.tell(100, looked(DbState::InArchiveRecovery, 1)), NOTHING);
    assert_eq!(guard.0.wake_at(), Some(at(200)));
    assert_eq!(guard.wake(5000), [Effect::Look]);
    assert_eq!(guard.tell(5000, looked(DbState::InArchiveRecovery, 1)), NOTHING);
}

#[test]
fn a_standby_is_looked_at_once_more_when_the_lease_is_as_good_as_over() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    guard.lease(0, 1, 650);
    guard.wake(100);
    guard.tell(100, looked(DbState::InArchiveRecovery, 1));
    assert_eq!(guard.0.wake_at(), Some(at(150)));
    assert_eq!(guard.wake(150), [Effect::Look]);
    assert_eq!(guard.0.wake_at(), Some(at(250)));
    assert_eq!(guard.tell(150, looked(DbState::InProduction, 2)), [Effect::Kill]);
}

#[test]
fn a_standby_on_a_crashed_primary_is_judged_by_what_it_writes_and_not_by_what_it_found() {
    let mut guard = Guard::with_standby(DbState::InProduction);
    assert_eq!(guard.tell(10, looked(DbState::InProduction, 0)), NOTHING, "as it was before the start");
    assert_eq!(guard.tell(20, looked(DbState::InCrashRecovery, 1)), NOTHING, "it replays its own WAL and stays a standby");
    assert_eq!(guard.tell(30, looked(DbState::InArchiveRecovery, 1)), NOTHING);
    assert_eq!(guard.tell(40, looked(DbState::InProduction, 0)), [Effect::Kill], "the same once more means a promotion");
}

#[test]
fn the_crash_recovery_of_a_promoted_standby_counts_as_writable() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    let control = Some(control(DbState::InCrashRecovery, 1));
    assert_eq!(guard.tell(10, Input::Looked(Look { control, standby_signal: false })), [Effect::Kill]);
}

#[test]
fn a_promotion_in_the_second_of_the_start_is_known_by_the_missing_signal_file() {
    let mut guard = Guard::with_standby(DbState::InProduction);
    let control = Some(control(DbState::InProduction, 0));
    assert_eq!(guard.tell(10, Input::Looked(Look { control, standby_signal: false })), [Effect::Kill]);
}

#[test]
fn whatever_is_not_known_to_be_a_standby_counts_as_writable() {
    for state in [DbState::Startup, DbState::ShutDown, DbState::ShuttingDown, DbState::InProduction] {
        let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
        assert_eq!(guard.tell(10, looked(state, 1)), [Effect::Kill], "{state}");
    }
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    assert_eq!(guard.tell(10, Input::Looked(Look { control: None, standby_signal: true })), [Effect::Kill], "unreadable");
}

#[test]
fn a_server_started_as_a_primary_counts_as_writable_whatever_it_writes() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.tell(10, looked(DbState::InArchiveRecovery, 1)), NOTHING);
    assert_eq!(guard.wake(2500), [Effect::Kill]);
}

#[test]
fn a_promotion_under_a_lease_lives_as_long_as_the_lease() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    guard.lease(0, 1, 3000);
    assert_eq!(guard.tell(100, looked(DbState::InProduction, 1)), NOTHING);
    assert!(guard.status(100).server.unwrap().writable);
    assert_eq!(guard.wake(2500), [Effect::Kill]);
}

#[test]
fn a_promotion_that_is_slow_to_finish_does_not_outlive_the_lease() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    let expect = |guard: &mut Guard, now| guard.ask(now, Request::ExpectPromotion { epoch: Epoch(1) });
    assert_eq!(expect(&mut guard, 0), refused(Refusal::NoLease { epoch: Epoch(1) }));
    guard.lease(0, 1, 3000);
    assert_eq!(expect(&mut guard, 0), [answer(Answer::Done)]);
    assert_eq!(guard.tell(100, looked(DbState::InArchiveRecovery, 1)), NOTHING);
    assert_eq!(guard.wake(2500), [Effect::Kill]);
}

#[test]
fn a_promotion_is_expected_only_of_a_server_that_runs() {
    let mut guard = Guard::new();
    guard.lease(0, 1, 3000);
    assert_eq!(guard.ask(0, Request::ExpectPromotion { epoch: Epoch(1) }), refused(Refusal::NoServer));
}

#[test]
fn the_end_is_announced_only_when_no_process_is_left() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    assert_eq!(guard.tell(10, Input::PostmasterEnded(ExitStatus::Signal(9))), [Effect::Kill], "a dead postmaster's survivors are killed");
    assert!(guard.status(15).server.unwrap().ending);
    assert_eq!(guard.ask(15, Request::Start(launch(None))), refused(Refusal::ServerPresent));
    let exit = Exit { pid: Some(42), status: Some(ExitStatus::Signal(9)), cause: ExitCause::Unexpected, survivors_killed: 3, at: at(20) };
    assert_eq!(guard.tell(20, Input::NoneLeft { survivors_killed: 3 }), [Effect::Say(Said::ServerExited(exit))]);
    let status = guard.status(30);
    assert_eq!((status.server, status.last_exit), (None, Some(exit)));
}

#[test]
fn a_stop_that_was_asked_for_is_not_unexpected() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    assert_eq!(guard.ask(5, Request::Stop(StopMode::Fast)), [Effect::Stop(StopMode::Fast), answer(Answer::Done)]);
    guard.tell(10, Input::PostmasterEnded(ExitStatus::Code(0)));
    guard.tell(11, Input::NoneLeft { survivors_killed: 0 });
    assert_eq!(guard.status(12).last_exit.map(|exit| exit.cause), Some(ExitCause::Stopped));
    assert_eq!(guard.ask(13, Request::Stop(StopMode::Fast)), [answer(Answer::Done)], "there is nothing to stop");
}

#[test]
fn a_primary_that_is_slow_to_stop_is_still_killed_in_time() {
    let mut guard = Guard::with_primary(3000);
    guard.ask(2000, Request::Stop(StopMode::Fast));
    assert_eq!(guard.wake(2500), [Effect::Kill]);
}

#[test]
fn a_kill_is_answered_when_no_process_is_left() {
    let mut guard = Guard::with_primary(3000);
    assert_eq!(guard.ask(10, Request::Kill), [Effect::Kill]);
    assert_eq!(guard.ask(11, Request::Kill), NOTHING);
    assert_eq!(guard.tell(12, Input::PostmasterEnded(ExitStatus::Signal(9))), NOTHING);
    let effects = guard.tell(13, Input::NoneLeft { survivors_killed: 1 });
    assert_eq!(effects[1..], [answer(Answer::Done), answer(Answer::Done)]);
    assert_eq!(guard.ask(14, Request::Kill), [answer(Answer::Done)], "nothing is left already");
}

#[test]
fn a_renewal_is_answered_while_a_kill_takes_its_time() {
    let mut guard = Guard::with_primary(3000);
    guard.ask(10, Request::Kill);
    assert_eq!(guard.lease(20, 1, 4000), [answer(Answer::Leased { end: at(4000) })]);
}

#[test]
fn requests_to_kill_do_not_pile_up() {
    let mut guard = Guard::with_primary(3000);
    for _ in 0..WAITING_MAX {
        guard.ask(10, Request::Kill);
    }
    assert_eq!(guard.ask(10, Request::Kill), refused(Refusal::TooManyWaiting));
}

#[test]
fn a_new_connection_inherits_no_answers_and_says_hello_first() {
    let mut guard = Guard::with_primary(3000);
    guard.ask(10, Request::Kill);
    guard.tell(11, Input::Connected);
    assert_eq!(guard.ask(12, Request::Status), refused(Refusal::NoHello));
    let effects = guard.tell(13, Input::NoneLeft { survivors_killed: 0 });
    assert!(
        matches!(effects.as_slice(), [Effect::Say(Said::ServerExited(_))]),
        "the kill of the old connection is not answered to the new one"
    );
}

#[test]
fn a_daemon_of_another_protocol_is_told_so() {
    let mut guard = Guard(Policy::new(identity()));
    let refusal = Refusal::Protocol { guard: PROTOCOL, daemon: 99 };
    assert_eq!(guard.ask(0, Request::Hello { protocol: 99 }), refused(refusal));
    assert_eq!(guard.ask(0, Request::Kill), refused(Refusal::NoHello));
}

#[test]
fn the_guard_never_leaves_a_server_alone() {
    let mut guard = Guard::with_standby(DbState::ShutDownInRecovery);
    assert_eq!(guard.ask(0, Request::Quit), refused(Refusal::ServerPresent));
    guard.ask(0, Request::Kill);
    assert_eq!(guard.ask(0, Request::Quit), refused(Refusal::ServerPresent));
    guard.tell(1, Input::NoneLeft { survivors_killed: 0 });
    assert_eq!(guard.ask(2, Request::Quit), [answer(Answer::Done), Effect::Quit]);
}

#[test]
fn a_server_that_could_not_be_started_leaves_nothing_behind() {
    let mut guard = Guard::new();
    guard.ask(0, Request::Start(launch(None)));
    let reason = "no such file".to_string();
    let effects = guard.tell(1, Input::NotStarted { reason: reason.clone() });
    assert_eq!(effects, refused(Refusal::NotStarted { reason }));
    assert_eq!(guard.ask(2, Request::Start(launch(None))), [Effect::Start(launch(None))]);
}

#[test]
fn a_server_killed_during_its_start_is_killed_when_it_appears() {
    let mut guard = Guard::new();
    guard.ask(0, Request::Start(launch(None)));
    let effects = guard.ask(1, Request::Kill);
    assert!(matches!(
        effects.as_slice(),
        [Effect::Kill, Effect::Say(Said::Answer { answer: Answer::Refused(Refusal::NotStarted { .. }), .. })]
    ));
    assert_eq!(guard.tell(2, Input::Started { pid: 42, control: None }), [Effect::Kill]);
    guard.tell(3, Input::NoneLeft { survivors_killed: 0 });
    assert_eq!(guard.tell(4, Input::Started { pid: 43, control: None }), [Effect::Kill], "nobody asked for this one");
}
