//! When which fault comes: drawn from a seed up front. Pure.

use super::shape::ALL as SHAPES;
use super::{Fault, Who};
use crate::live::{Disk, Folder, Part, Pressure, Slowness, Verb};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Before the first fault: the clients show what an undisturbed cluster looks like.
const OVERTURE_MS: u64 = 6_000;
/// After the last one nothing new begins.
const FINALE_MS: u64 = 15_000;
/// Between the end of a fault and the beginning of the next, so that many faults meet a cluster that has just healed, and some one that has not.
const PAUSE_MS: std::ops::Range<u64> = 5_000..16_000;
/// Out of so many faults one more begins while another lasts.
const OVERLAP_OUT_OF: u32 = 4;

/// One fault, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Begins so long after the start of the run.
    pub at_ms: u64,
    /// Is repaired so much later.
    pub lasts_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// All faults of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// For so many nodes.
    pub nodes: usize,
    /// So long the clients are at work.
    pub length_ms: u64,
    /// By their beginning.
    pub steps: Vec<Step>,
}

impl Schedule {
    /// Draws one. Faults that want a verb of `lacking` are left out. Every other kind comes once before any comes twice.
    #[must_use]
    pub fn draw(seed: u64, nodes: usize, length_ms: u64, lacking: &[Verb]) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut deck = Vec::new();
        let mut steps = Vec::new();
        let mut at_ms = OVERTURE_MS;
        while at_ms + FINALE_MS < length_ms {
            let first = deal(&mut deck, &mut random, nodes, lacking, at_ms);
            let mut end = at_ms + first.lasts_ms;
            // Where nothing runs nothing more can be hurt.
            let alone = first.fault.wants_a_whole_cluster() || first.fault == Fault::KillAll;
            let middle = at_ms + first.lasts_ms / 2;
            let first_fault = first.fault.clone();
            steps.push(first);
            // A log to which nobody writes never notices its disk.
            let wants_company = matches!(first_fault, Fault::Disk { folder: Folder::Witch, .. });
            if !alone && middle + FINALE_MS < length_ms && (wants_company || random.random_ratio(1, OVERLAP_OUT_OF)) {
                let second = deal(&mut deck, &mut random, nodes, lacking, middle);
                if second.fault.wants_a_whole_cluster() {
                    // Not now: it goes back under the others.
                    deck.insert(0, second.fault);
                } else {
                    end = end.max(middle + second.lasts_ms);
                    steps.push(second);
                }
            }
            at_ms = end + random.random_range(PAUSE_MS);
        }
        Self { seed, nodes, length_ms, steps }
    }
}

/// The next fault of the deck, which is made anew when it is empty.
fn deal(deck: &mut Vec<Fault>, random: &mut SmallRng, nodes: usize, lacking: &[Verb], at_ms: u64) -> Step {
    let fault = deck.pop().unwrap_or_else(|| {
        *deck = every_kind(random, nodes);
        deck.retain(|fault| fault.verb().is_none_or(|verb| !lacking.contains(&verb)));
        deck.shuffle(random);
        deck.pop().expect("killing needs no special verb, so the deck is never empty")
    });
    let lasts = match &fault {
        // These are over at once, or end by themselves.
        Fault::SwitchOver | Fault::RestartDaemons => 0..1,
        Fault::Kill { part: Part::Backend | Part::Server | Part::Guard, .. } => 0..1,
        // Some within a lease, some long after it.
        Fault::Kill { part: Part::Daemon, .. } => 200..8_000,
        Fault::Stop { .. } => 1_000..12_000,
        Fault::Kill { .. } | Fault::KillAllBut { .. } | Fault::KillAll | Fault::Empty { .. } => 500..10_000,
        Fault::SetClock { .. } | Fault::Pause | Fault::Press { .. } | Fault::Disk { .. } => 5_000..12_000,
        Fault::Cut { .. } | Fault::Slow { .. } => 3_000..15_000,
    };
    Step { at_ms, lasts_ms: random.random_range(lasts), fault }
}

/// Every kind of fault once, with victims and sizes drawn anew.
fn every_kind(random: &mut SmallRng, nodes: usize) -> Vec<Fault> {
    let any = |random: &mut SmallRng| match random.random_range(0..4) {
        0 | 1 => Who::Primary,
        2 => Who::Standby,
        _ => Who::Node(random.random_range(0..nodes)),
    };
    let mut faults = vec![Fault::KillAll, Fault::SwitchOver, Fault::SwitchOver, Fault::RestartDaemons, Fault::Pause];
    faults.extend(
        [Part::Backend, Part::Server, Part::Daemon, Part::Guard, Part::Everything].map(|part| Fault::Kill { who: Who::Primary, part }),
    );
    faults.extend([Part::Daemon, Part::Everything].map(|part| Fault::Kill { who: any(random), part }));
    faults.push(Fault::Kill { who: Who::RaftLeader, part: Part::Everything });
    faults.extend([Part::Server, Part::Daemon, Part::Guard, Part::Everything].map(|part| Fault::Stop { who: Who::Primary, part }));
    faults.push(Fault::Stop { who: Who::RaftLeader, part: Part::Daemon });
    faults.extend([Who::Primary, Who::Standby].map(|who| Fault::KillAllBut { who }));
    faults.extend([Folder::Database, Folder::Witch].map(|folder| Fault::Empty { who: any(random), folder }));
    faults.extend([3_600, -3_600].map(|seconds| Fault::SetClock { who: any(random), seconds }));
    faults.extend(SHAPES.map(|shape| Fault::Cut { shape, who: any(random) }));
    faults.push(Fault::Cut { shape: SHAPES[1], who: Who::Primary });
    faults.push(Fault::Cut { shape: SHAPES[0], who: Who::Standby });
    let rates = [256, 1_000, 4_000];
    let slowness = Slowness { kbit_per_second: *rates.choose(random).expect("there are some"), queue_ms: random.random_range(50..400) };
    faults.push(Fault::Slow { who: any(random), slowness });
    for folder in [Folder::Database, Folder::Witch] {
        faults.push(Fault::Disk { who: any(random), folder, disk: Disk { full: true, sync_ms: 0 } });
        let sync_ms = random.random_range(50..1_500);
        faults.push(Fault::Disk { who: any(random), folder, disk: Disk { full: false, sync_ms } });
    }
    let pressure = Pressure { processes: random.random_range(2..5), memory_mib: 256, seconds: 30 };
    faults.push(Fault::Press { who: any(random), pressure });
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
        assert_eq!(Schedule::draw(7, 3, HOUR_MS, &[]), Schedule::draw(7, 3, HOUR_MS, &[]));
        assert_ne!(Schedule::draw(7, 3, HOUR_MS, &[]).steps, Schedule::draw(8, 3, HOUR_MS, &[]).steps);
    }

    #[test]
    fn a_schedule_survives_being_written_down() {
        let schedule = Schedule::draw(7, 3, HOUR_MS, &[]);
        assert_eq!(serde_json::from_str::<Schedule>(&serde_json::to_string(&schedule).unwrap()).unwrap(), schedule);
    }

    #[test]
    fn every_kind_of_fault_comes_within_an_hour() {
        let kind = |fault: &Fault| serde_json::to_value(fault).unwrap()["kind"].as_str().unwrap().to_owned();
        let drawn: BTreeSet<String> = Schedule::draw(1, 3, HOUR_MS, &[]).steps.iter().map(|step| kind(&step.fault)).collect();
        let known: BTreeSet<String> = every_kind(&mut SmallRng::seed_from_u64(0), 3).iter().map(kind).collect();
        assert_eq!((drawn, known.len()), (known, 13));
    }

    #[test]
    fn what_the_hosts_lack_is_left_out() {
        let steps = Schedule::draw(1, 3, HOUR_MS, &[Verb::Cut, Verb::SetDisk]).steps;
        assert!(!steps.iter().any(|step| matches!(step.fault, Fault::Cut { .. } | Fault::Disk { .. })) && !steps.is_empty());
    }

    #[test]
    fn a_fault_that_destroys_shares_its_time_with_no_other_and_all_end_before_the_run() {
        for seed in 0..50 {
            let schedule = Schedule::draw(seed, 3, HOUR_MS, &[]);
            for pair in schedule.steps.windows(2) {
                let overlap = pair[1].at_ms < pair[0].at_ms + pair[0].lasts_ms;
                assert!(!overlap || pair.iter().all(|step| !step.fault.wants_a_whole_cluster()), "{pair:?}");
                assert!(pair[0].at_ms <= pair[1].at_ms);
            }
            assert!(schedule.steps.iter().all(|step| step.at_ms + FINALE_MS < HOUR_MS));
        }
    }
}
