//! Many seeds, each in one thread, several at a time.

use chaos::sim::{Outcome, Story, Tally, Violation, run};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The rule that a panic breaks: an assertion of a machine, or of the simulator itself.
pub(crate) const PANIC: &str = "panic";

/// What came of many seeds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    seeds: u64,
    simulated: u64,
    wall: f64,
    tally: Tally,
    beyond: BTreeMap<&'static str, u64>,
    writable_after: Vec<u64>,
    failures: u64,
    pub(crate) failed: Option<Story>,
}

/// A story whose panic is a violation like any other.
pub(crate) fn guarded(story: &Story, explain: bool) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(story, explain))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            violation: Some(Violation { rule: PANIC, at: 0, text: text.unwrap_or_default() }),
            digest: 0,
            simulated: 0,
            writable_after: None,
            tally: Tally::default(),
            beyond: BTreeMap::new(),
            lines: Vec::new(),
        }
    })
}

/// Runs seeds until the range, the time or the luck is over.
pub(crate) fn run_seeds(from: u64, to: u64, seconds: Option<u64>, threads: u64, beyond: bool, keep_going: bool) -> Summary {
    #[expect(clippy::disallowed_methods, reason = "how quick the simulator is, for people; no simulated thing sees it")]
    let begun = std::time::Instant::now();
    let (next, over) = (AtomicU64::new(from), AtomicBool::new(false));
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) && seconds.is_none_or(|seconds| begun.elapsed().as_secs() < seconds) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= to {
                        return;
                    }
                    let story = Story::of(seed, beyond);
                    let outcome = guarded(&story, false);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.take(outcome, story);
                    if summary.failed.is_some() && !keep_going {
                        over.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.wall = begun.elapsed().as_secs_f64();
    summary
}

impl Summary {
    fn take(&mut self, outcome: Outcome, story: Story) {
        self.seeds += 1;
        self.simulated += outcome.simulated;
        self.tally.merge(&outcome.tally);
        self.writable_after.extend(outcome.writable_after);
        for (rule, count) in outcome.beyond {
            *self.beyond.entry(rule).or_default() += count;
        }
        if let Some(violation) = &outcome.violation {
            self.failures += 1;
            println!("seed {}: {violation}", story.seed);
        }
        // The lowest seed, whichever thread was quicker.
        if outcome.violation.is_some() && self.failed.as_ref().is_none_or(|failed| failed.seed > story.seed) {
            self.failed = Some(story);
        }
    }

    /// For people.
    pub(crate) fn describe(&self, beyond: bool) -> String {
        let mut out = self.tally.describe();
        let hours = self.simulated as f64 / 3.6e9;
        let mut after = self.writable_after.clone();
        after.sort_unstable();
        let at = |part: usize| after.get(after.len().saturating_sub(1) * part / 100).map_or(0, |micros| micros / 1000);
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "core writable after the healing: half within {} ms, 99 % within {} ms, all within {} ms",
            at(50),
            at(99),
            at(100)
        );
        for (rule, count) in &self.beyond {
            let _ = writeln!(out, "{count:>10}  {rule} broken beyond the promises");
        }
        for what in self.tally.never(beyond) {
            let _ = writeln!(out, "     never  {what}");
        }
        let _ = writeln!(
            out,
            "{} seeds, {} of them broke a rule, {hours:.2} simulated cluster-hours in {:.1} s: {:.0} hours a minute",
            self.seeds,
            self.failures,
            self.wall,
            hours / self.wall * 60.0
        );
        out
    }
}
