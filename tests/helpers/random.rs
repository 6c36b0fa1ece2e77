//! Reproducible random numbers (SplitMix64, by Steele, Lea and Flood): the same seed gives the same test.

/// A generator; its seed is printed by tests that fail.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed for this run: `KVRED_TEST_SEED`, or one that differs from run to run.
    pub fn seed() -> u64 {
        if let Some(seed) = std::env::var("KVRED_TEST_SEED").ok().and_then(|n| n.parse().ok()) {
            return seed;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is past 1970");
        u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// With so many chances in a thousand.
    pub fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    /// Another generator, whose numbers are its own.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
