//! The trace of a run: a digest of everything that happened, and, if somebody wants to read it, the story in words.

/// FNV-1a.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// What is remembered of a run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) digest: u64,
    pub(super) events: u64,
    /// None: nobody wants to read it.
    pub(super) lines: Option<Vec<String>>,
}

impl Trace {
    /// Something happened; its place in the order of things and what it was make the digest.
    pub(super) fn note(&mut self, now: u64, number: u64, what: u64) {
        self.events += 1;
        for word in [now, number, what] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29);
        }
    }
}
