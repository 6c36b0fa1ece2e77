//! Where a key belongs: 64 hash bits, cut into the shard, the tag and the place within the shard.
//!
//! ```text
//! bit 63        58 57         50 49                          0
//!     [ shard: 6 ] [ tag: 8    ] [ place: 50, lowest bits first ]
//! ```
//! The three are disjoint, so that neither the tags of a bucket nor the places of a shard are skewed.

use std::hash::{BuildHasher, Hasher as _};
use std::num::NonZeroU64;

/// Shards of a keyspace. Enough that a dozen threads rarely meet. Each keeps a partly filled page or so for each size
/// in use: with 128 shards, 2M keys of mixed sizes took 2.4 bytes each more than with 64.
pub const SHARDS: usize = 1 << SHARD_BITS;
pub(super) const SHARD_BITS: u32 = 6;
const TAG_BITS: u32 = 8;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
/// Hash bits that place a key within its shard.
pub(super) const PLACE_BITS: u32 = 64 - SHARD_BITS - TAG_BITS;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

/// The hash of a key, good for the keyspace that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(NonZeroU64);

impl Default for KeyHash {
    /// Some hash, for what has no key.
    fn default() -> Self {
        Self::of(0)
    }
}

impl KeyHash {
    /// With a tag of 1 in place of 0, which marks an empty slot.
    #[inline]
    fn of(bits: u64) -> Self {
        let tagged = if bits >> PLACE_BITS & TAG_MASK == 0 { bits | 1 << PLACE_BITS } else { bits };
        Self(NonZeroU64::new(tagged).unwrap_or(NonZeroU64::MIN))
    }

    /// All bits of it.
    #[inline]
    pub(super) fn get(self) -> u64 {
        self.0.get()
    }

    /// The shard that holds the key.
    #[inline]
    pub(super) fn shard(self) -> usize {
        (self.get() >> (TAG_BITS + PLACE_BITS)) as usize
    }

    /// A byte that tells most keys of a bucket apart; never 0.
    #[inline]
    pub(super) fn tag(self) -> u8 {
        (self.get() >> PLACE_BITS) as u8
    }

    /// The bits that choose a bucket, lowest first.
    #[inline]
    pub(super) fn place(self) -> u64 {
        self.get() & PLACE_MASK
    }
}

/// A place read backwards: in this order the keys of one bucket are neighbours however many buckets there are.
/// Its own inverse.
#[inline]
pub(super) fn reverse_place(place: u64) -> u64 {
    (place << (64 - PLACE_BITS)).reverse_bits()
}

/// Hashes keys under a seed, against clients that choose colliding keys.
#[derive(Clone)]
pub(super) struct KeyHasher {
    state: ahash::RandomState,
    /// Bits of the hash that tests keep, to make keys collide.
    #[cfg(test)]
    kept_bits: u64,
}

impl KeyHasher {
    pub(super) fn new(seed: [u64; 4]) -> Self {
        Self {
            state: ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]),
            #[cfg(test)]
            kept_bits: u64::MAX,
        }
    }

    #[cfg(test)]
    pub(super) fn colliding(seed: [u64; 4], kept_bits: u64) -> Self {
        Self { kept_bits, ..Self::new(seed) }
    }

    #[inline(always)]
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.kept_bits;
        KeyHash::of(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_hash_are_disjoint() {
        let hash = KeyHash::of((5 << 58) | (0xA7 << 50) | 0x1_2345_6789_ABCD);
        assert_eq!((hash.shard(), hash.tag(), hash.place()), (5, 0xA7, 0x1_2345_6789_ABCD));
        assert_eq!(KeyHash::of(0).tag(), 1);
        assert_eq!(KeyHash::of(u64::MAX).shard(), SHARDS - 1);
    }

    #[test]
    fn reversing_a_place_twice_gives_it_back() {
        for place in [0, 1, 2, 0x1_2345_6789_ABCD, PLACE_MASK] {
            assert!(reverse_place(place) <= PLACE_MASK);
            assert_eq!(reverse_place(reverse_place(place)), place);
        }
        assert_eq!(reverse_place(1), 1 << (PLACE_BITS - 1));
    }

    #[test]
    fn a_seed_reproduces_its_hashes() {
        let (one, same, other) =
            (KeyHasher::new([1, 2, 3, 4]), KeyHasher::new([1, 2, 3, 4]), KeyHasher::new([1, 2, 3, 5]));
        assert_eq!(one.hash(b"key"), same.hash(b"key"));
        assert_ne!(one.hash(b"key"), other.hash(b"key"));
    }
}
