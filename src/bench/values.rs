//! The value of a key: it follows from the key and the seed, so that what is read can be checked.
//!
//! A value is a piece of a pool of random letters, at a place that the key chooses, and begins with letters that spell
//! the key's hash: two keys have different values, and making one costs a copy.

use fastrand::Rng;

use crate::args::DataSize;

/// How many places in the pool a value can begin at.
const PLACES: u64 = 4096;

/// Letters that spell the hash, where the value has room for them.
const STAMP_BYTES: usize = 8;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes and checks values.
#[derive(Debug)]
pub(super) struct Values {
    seed: u64,
    size: DataSize,
    pool: Vec<u8>,
}

impl Values {
    pub(super) fn new(size: DataSize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pool = (0..size.1 as usize + PLACES as usize).map(|_| LETTERS[rng.usize(..LETTERS.len())]).collect();
        Self { seed, size, pool }
    }

    /// The stamp and the rest of the value; the stamp is cut where the value is shorter.
    fn parts(&self, key: u64) -> ([u8; STAMP_BYTES], &[u8]) {
        let hash = mix(key ^ mix(self.seed));
        let spread = u64::from(self.size.1 - self.size.0) + 1;
        // A division costs as much as all the rest.
        let over = if spread == 1 { 0 } else { mix(hash) % spread };
        let len = self.size.0 as usize + over as usize;
        let from = (hash % PLACES) as usize;
        let stamp = std::array::from_fn(|i| LETTERS[(hash >> (12 + 6 * i)) as usize % LETTERS.len()]);
        (stamp, &self.pool[from..from + len])
    }

    /// Appends the value of a key as a bulk string.
    pub(super) fn append_bulk(&self, out: &mut Vec<u8>, key: u64) {
        let (stamp, body) = self.parts(key);
        out.push(b'$');
        out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        let start = out.len();
        out.extend_from_slice(body);
        let stamped = body.len().min(STAMP_BYTES);
        out[start..start + stamped].copy_from_slice(&stamp[..stamped]);
        out.extend_from_slice(b"\r\n");
    }

    /// Whether this is the value of the key.
    pub(super) fn is_value_of(&self, key: u64, value: &[u8]) -> bool {
        let (stamp, body) = self.parts(key);
        let stamped = body.len().min(STAMP_BYTES);
        value.len() == body.len() && value[..stamped] == stamp[..stamped] && value[stamped..] == body[stamped..]
    }
}

/// SplitMix64's finish: every bit of the input moves every bit of the output.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    impl Values {
        /// The value of a key.
        pub(in crate::bench) fn value(&self, key: u64) -> Vec<u8> {
            let mut out = b"before".to_vec();
            self.append_bulk(&mut out, key);
            let at = out.iter().position(|&c| c == b'\n').unwrap() + 1;
            let value = out[at..out.len() - 2].to_vec();
            assert_eq!(out, [format!("before${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat());
            value
        }
    }

    #[test]
    fn a_value_is_that_of_its_key_and_seed_alone() {
        let values = Values::new(DataSize(64, 64), 1);
        let other = Values::new(DataSize(64, 64), 2);
        let mut seen = HashSet::new();
        for key in 0..10_000 {
            let made = values.value(key);
            assert_eq!(made.len(), 64);
            assert!(values.is_value_of(key, &made));
            assert!(!values.is_value_of(key + 1, &made) && !other.is_value_of(key, &made));
            assert!(seen.insert(made));
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_seen() {
        let values = Values::new(DataSize(20, 20), 1);
        let made = values.value(3);
        for at in 0..made.len() {
            let mut wrong = made.clone();
            wrong[at] ^= 1;
            assert!(!values.is_value_of(3, &wrong), "{at}");
        }
        assert!(!values.is_value_of(3, &made[..19]));
    }

    #[test]
    fn sizes_fill_their_range() {
        let values = Values::new(DataSize(0, 9), 1);
        let sizes: HashSet<usize> = (0..1000).map(|key| values.value(key).len()).collect();
        assert_eq!(sizes, (0..=9).collect());
    }
}
