//! Drawing lots from a seed that was handed in.

use crate::model::RaftId;

/// Splitmix64: a counter through a good mixer. Lots need to be distinct, not secret.
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A Raft id that nobody has had; zero means nobody in raft-rs, so it is never drawn.
    pub(super) fn raft_id(&mut self) -> RaftId {
        loop {
            let id = self.next();
            if id != 0 {
                return RaftId(id);
            }
        }
    }
}

/// Splitmix64's finish: every input bit moves every output bit.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A digest that is the same on every build and machine (FNV-1a, finished by the mixer). It tells births apart; it keeps no secrets.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_lots_and_another_seed_others() {
        let ids = |seed| {
            let mut draw = Draw::new(seed);
            [draw.raft_id(), draw.raft_id()]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7)[0], ids(7)[1]);
        assert_ne!(ids(7), ids(8));
    }

    #[test]
    fn a_digest_is_pinned_so_that_two_versions_agree_on_it() {
        assert_eq!(digest(b"witch"), 0xF8FE_1510_2D49_E5AC);
        assert_ne!(digest(b"witch"), digest(b"witcg"));
    }
}
