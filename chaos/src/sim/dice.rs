//! Chance: a seed and what follows from it. Nothing else in the simulator is random.

/// Splitmix64: small, quick, and the same on every machine and in every version, so that a seed means the same story for ever.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of a seed. `stream` tells apart what must not disturb each other.
    #[must_use]
    pub(super) const fn new(seed: u64, stream: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// Any number.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    /// A number below `bound`, which is at least one.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let index = usize::try_from(self.below(all.len() as u64)).expect("an index fits");
        all[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_story_for_ever() {
        let mut dice = Dice::new(1, 0);
        assert_eq!([dice.roll(), dice.roll()], [0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn streams_of_one_seed_differ_and_bounds_hold() {
        assert_ne!(Dice::new(7, 0).roll(), Dice::new(7, 1).roll());
        let mut dice = Dice::new(7, 0);
        assert!((0..1000).all(|_| (3..=5).contains(&dice.between((3, 5)))));
        assert!((0..1000).any(|_| dice.one_in(100)));
    }
}
