//! What a run of lookups loads into the cache some keys ahead: each trip to memory hides behind the work on other keys.
//!
//! A key's way is bucket, entry, and for a few an overflow node in between. Each step is taken a while after the one
//! before, when that has brought what it reads, and for a group of keys at a time: the trips of a group overlap, those of
//! keys with other work in between hardly do (a prefetch ends only with its address translation, and that alone is a trip
//! to memory or two). `benches/state.rs` shows what it is worth.

use super::state::{KeyHash, Keyspace};

/// Keys of a group: three cache lines for each are about as many as the processor fetches at once.
pub(super) const GROUP: usize = 8;
/// How many keys ahead a bucket is loaded, at the least.
const BUCKET_AHEAD: usize = 3 * GROUP;
/// How many keys ahead an entry, or the node that leads to it.
const ENTRY_AHEAD: usize = GROUP;
/// How many keys ahead an entry that only a node led to.
const OVERFLOW_AHEAD: usize = GROUP / 2;

/// A run of lookups; see the file's header.
pub struct Ahead<'k> {
    keyspace: &'k Keyspace,
    /// The keys whose buckets, entries and overflowing entries come next.
    buckets: usize,
    entries: usize,
    overflows: usize,
    /// Which of the keys between the two have to be looked at again: bit `n` is key `n` modulo 64.
    overflowing: u64,
}

impl<'k> Ahead<'k> {
    /// A run that begins.
    pub fn new(keyspace: &'k Keyspace) -> Self {
        Self { keyspace, buckets: 0, entries: 0, overflows: 0, overflowing: 0 }
    }

    /// Loads what the keys from the `at`-th on will need. To be called before each lookup, with ascending numbers;
    /// `hash_of` tells the hash of the `n`-th key, if there is one and it will be looked up.
    #[inline]
    pub fn before(&mut self, at: usize, hash_of: impl Fn(usize) -> Option<KeyHash>) {
        self.buckets = self.buckets.max(at);
        while self.buckets <= at + BUCKET_AHEAD {
            let group = self.buckets..self.buckets + GROUP;
            self.buckets = group.end;
            group.filter_map(&hash_of).for_each(|hash| self.keyspace.prefetch_bucket(hash));
        }
        self.entries = self.entries.max(at);
        while self.entries <= at + ENTRY_AHEAD {
            let hashes: [Option<KeyHash>; GROUP] = std::array::from_fn(|n| hash_of(self.entries + n));
            let overflowing = self.keyspace.prefetch_entries(&hashes);
            let first_bit = (self.entries % 64) as u32;
            let others = !u64::from(u8::MAX).rotate_left(first_bit);
            self.overflowing = self.overflowing & others | u64::from(overflowing).rotate_left(first_bit);
            self.entries += GROUP;
        }
        self.overflows = self.overflows.max(at);
        while self.overflows <= at + OVERFLOW_AHEAD {
            let overflows = self.overflowing >> (self.overflows % 64) & 1 == 1;
            if let Some(hash) = hash_of(self.overflows).filter(|_| overflows) {
                self.keyspace.prefetch_overflow(hash);
            }
            self.overflows += 1;
        }
    }
}
