//! One probe, stepped by hand: next effects and next wake.

use super::*;
use crate::model::{Epoch, Tags};
use alloc::vec;

const US: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn report(node: NodeId, boot: u64, seq: u64, epoch: u64) -> Report {
    Report { node, boot: Boot(boot), seq, epoch: Epoch(epoch), stopping: false, tags: Tags::default(), database: None }
}

fn ours(seq: u64, epoch: u64) -> Report {
    report(US, 1, seq, epoch)
}

fn theirs(boot: u64, seq: u64, epoch: u64) -> Report {
    report(PEER, boot, seq, epoch)
}

fn probe() -> Probe {
    Probe::new(PEER, Config::default())
}

/// The probe after it heard its peer once, at the second 1.
fn acquainted() -> Probe {
    let mut probe = probe();
    probe.step(at(0), Input::Woken);
    probe.step(at(1000), Input::Heard(theirs(7, 1, 0)));
    probe
}

/// Wakes the probe whenever it wants to be woken, until `end`, and collects what it orders, with the milliseconds.
fn sleep_until(probe: &mut Probe, end: u64) -> Vec<(u64, Effect)> {
    let mut all = Vec::new();
    while let Some(wake) = probe.wake_at().filter(|wake| *wake <= at(end)) {
        let effects = probe.step(wake, Input::Woken);
        assert!(!effects.is_empty(), "woken at {wake:?} for nothing");
        all.extend(effects.into_iter().map(|effect| (wake.as_micros() / 1000, effect)));
    }
    all
}

fn sent(effects: &[Effect]) -> Vec<u64> {
    effects.iter().filter_map(|effect| if let Effect::Send(report) = effect { Some(report.seq) } else { None }).collect()
}

fn told(effects: &[Effect]) -> Option<Observed> {
    effects.iter().find_map(|effect| if let Effect::Tell(observed) = effect { Some(observed.clone()) } else { None })
}

#[test]
fn a_peer_that_was_never_heard_is_red_and_its_database_is_asked_once_its_silence_has_lasted() {
    let mut probe = probe();
    let effects = probe.step(at(0), Input::Woken);
    let expected = Observed { peer: PEER, health: Health::Red, report: None, heard_at: None, database_answers: None };
    assert_eq!(effects, vec![Effect::Tell(expected)]);
    assert_eq!(sleep_until(&mut probe, 4000), vec![(3250, Effect::AskDatabase { number: 1 })]);
}

#[test]
fn our_report_goes_out_at_once_and_then_at_every_interval() {
    let mut probe = acquainted();
    assert_eq!(sent(&probe.step(at(1100), Input::Reported(ours(1, 0)))), [1]);
    let mut times = Vec::new();
    for second in 2..6 {
        probe.step(at(second * 1000), Input::Heard(theirs(7, second, 0)));
        times.extend(sleep_until(&mut probe, second * 1000 + 999).into_iter().map(|(millis, _)| millis));
    }
    assert_eq!(times, [2100, 3100, 4100, 5100]);
}

#[test]
fn a_burst_of_changes_is_sent_as_one() {
    let mut probe = acquainted();
    assert_eq!(sent(&probe.step(at(1100), Input::Reported(ours(1, 0)))), [1]);
    for change in 2..=9 {
        assert_eq!(sent(&probe.step(at(1100 + change), Input::Reported(ours(change, change)))), [0_u64; 0]);
    }
    assert_eq!(sleep_until(&mut probe, 1200), vec![(1120, Effect::Send(ours(9, 9)))]);
}

#[test]
fn the_same_account_under_a_new_number_waits_for_its_turn() {
    let mut probe = acquainted();
    probe.step(at(1100), Input::Reported(ours(1, 0)));
    assert_eq!(probe.step(at(1500), Input::Reported(ours(2, 0))), vec![]);
    assert_eq!(sleep_until(&mut probe, 2100), vec![(2100, Effect::Send(ours(2, 0)))]);
}

#[test]
fn a_new_link_gets_our_report_at_once() {
    let mut probe = acquainted();
    probe.step(at(1100), Input::Reported(ours(1, 0)));
    assert_eq!(sent(&probe.step(at(1500), Input::Linked)), [1]);
}

#[test]
fn every_report_of_the_peer_is_told_and_a_repeated_one_is_a_sign_of_life() {
    let mut probe = acquainted();
    for second in 2..10 {
        let observed = told(&probe.step(at(second * 1000), Input::Heard(theirs(7, 1, 0)))).expect("a sign of life is told");
        assert_eq!((observed.health, observed.heard_at), (Health::Green, Some(at(second * 1000))));
        assert_eq!(sleep_until(&mut probe, second * 1000 + 999), vec![]);
    }
}

#[test]
fn a_late_report_is_ignored() {
    let mut probe = acquainted();
    probe.step(at(1100), Input::Heard(theirs(7, 5, 3)));
    assert_eq!(probe.step(at(1200), Input::Heard(theirs(7, 4, 2))), vec![]);
}

#[test]
fn a_report_in_somebody_elses_name_is_ignored() {
    let mut probe = acquainted();
    assert_eq!(probe.step(at(1200), Input::Heard(report(NodeId(3), 7, 9, 9))), vec![]);
}

#[test]
fn a_new_life_of_the_peer_counts_from_anew_and_its_former_life_is_over() {
    let mut probe = acquainted();
    probe.step(at(1100), Input::Heard(theirs(7, 50, 3)));
    let observed = told(&probe.step(at(1200), Input::Heard(theirs(8, 1, 4)))).expect("the new life is told");
    assert_eq!(observed.report, Some(theirs(8, 1, 4)));
    assert_eq!(probe.step(at(1300), Input::Heard(theirs(7, 51, 3))), vec![]);
}

#[test]
fn a_late_report_of_a_life_long_past_does_not_silence_the_present_one_for_ever() {
    let mut probe = acquainted();
    probe.step(at(1100), Input::Heard(theirs(8, 1, 4)));
    probe.step(at(1200), Input::Heard(theirs(9, 1, 4)));
    probe.step(at(1300), Input::Heard(theirs(7, 2, 0)));
    let heard = (2..10).find(|second| {
        let observed = told(&probe.step(at(second * 1000), Input::Heard(theirs(9, *second, 5))));
        observed.is_some_and(|observed| observed.report.is_some_and(|report| report.boot == Boot(9)) && observed.health == Health::Green)
    });
    assert_eq!(heard, Some(5), "as soon as the past life has been silent for long enough");
}

#[test]
fn silence_turns_a_peer_yellow_then_red_and_its_last_word_stays_known() {
    let mut probe = acquainted();
    let effects = sleep_until(&mut probe, 5000);
    let observed =
        |health| Observed { peer: PEER, health, report: Some(theirs(7, 1, 0)), heard_at: Some(at(1000)), database_answers: None };
    let expected = vec![
        (2250, Effect::Tell(observed(Health::Yellow))),
        (4250, Effect::AskDatabase { number: 1 }),
        (4250, Effect::Tell(observed(Health::Red))),
    ];
    assert_eq!(effects, expected);
}

#[test]
fn the_second_opinion_is_told_until_the_peer_is_heard_again() {
    let mut probe = acquainted();
    sleep_until(&mut probe, 5000);
    let opinion = |number| Input::Asked(Opinion { number, reachable: true });
    assert_eq!(told(&probe.step(at(5000), opinion(1))).and_then(|observed| observed.database_answers), Some(true));
    let heard = told(&probe.step(at(5100), Input::Heard(theirs(7, 2, 0)))).expect("it is heard again");
    assert_eq!((heard.health, heard.database_answers), (Health::Green, None));
    assert_eq!(probe.step(at(5200), opinion(1)), vec![], "an answer that comes too late says nothing of a peer that is well");
}

#[test]
fn a_peer_that_stays_red_is_asked_for_again_and_an_old_answer_does_not_count() {
    let mut probe = acquainted();
    let asked: Vec<_> = sleep_until(&mut probe, 12_000)
        .into_iter()
        .filter_map(|(millis, effect)| if let Effect::AskDatabase { number } = effect { Some((millis, number)) } else { None })
        .collect();
    assert_eq!(asked, [(4250, 1), (7500, 2), (10_750, 3)]);
    assert_eq!(probe.step(at(12_000), Input::Asked(Opinion { number: 2, reachable: true })), vec![]);
}

#[test]
fn a_broken_link_is_yellow_at_once_and_a_report_heals_it() {
    let mut probe = acquainted();
    let broken = told(&probe.step(at(1100), Input::Unlinked)).expect("a broken link is told");
    assert_eq!(broken.health, Health::Yellow);
    let healed = told(&probe.step(at(1200), Input::Heard(theirs(7, 2, 0)))).expect("the report is told");
    assert_eq!(healed.health, Health::Green);
}
