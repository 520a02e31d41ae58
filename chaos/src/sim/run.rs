//! One story, from its beginning to its end.

use super::invariants::Violation;
use super::story::Story;
use super::tally::Tally;
use super::world::World;
use std::collections::BTreeMap;

/// What came of a story.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// The same story has the same digest, on every machine.
    pub digest: u64,
    /// So much time passed in it, in microseconds.
    pub simulated: u64,
    /// How long the core was without a writable primary after it was healed, in microseconds.
    pub writable_after: Option<u64>,
    /// How often what happened.
    pub tally: Tally,
    /// Beyond the promises: how often each rule broke.
    pub beyond: BTreeMap<&'static str, u64>,
    /// The story in words, if that was wanted.
    pub lines: Vec<String>,
}

/// Runs a story; `explain` keeps it in words.
#[must_use]
pub fn run(story: &Story, explain: bool) -> Outcome {
    let mut world = World::new(story.clone(), explain);
    while world.advance() {}
    world.judge_history();
    if world.judge.violation.is_some() {
        let beliefs = world.beliefs();
        world.tell_story(|| format!("who believed what at the end:\n{beliefs}"));
    }
    Outcome {
        violation: world.judge.violation,
        digest: world.trace.digest,
        simulated: world.now,
        writable_after: world.liveness.writable_after,
        tally: world.tally,
        beyond: world.judge.beyond,
        lines: world.trace.lines.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story_event_by_event() {
        for seed in 0..6 {
            let story = Story::of(seed, false);
            let (one, other) = (run(&story, true), run(&story, true));
            assert_eq!(one.digest, other.digest, "seed {seed}");
            assert_eq!(one.lines, other.lines, "seed {seed}");
            assert_eq!(run(&story, false).digest, one.digest, "being watched changes nothing: seed {seed}");
        }
    }

    #[test]
    fn some_seeds_keep_every_rule_and_are_worth_telling() {
        let mut tally = Tally::default();
        for seed in 0..20 {
            let outcome = run(&Story::of(seed, false), false);
            assert_eq!(outcome.violation, None, "seed {seed}");
            tally.merge(&outcome.tally);
        }
        assert!(tally.describe().contains("fail-over-after-lease"), "{}", tally.describe());
    }
}
