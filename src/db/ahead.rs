//! What a run of lookups loads into the cache some keys ahead: each trip to memory hides behind the work on other keys.
//!
//! A key's way is bucket, entry, and for a few an overflow node in between. Each step is taken a while after the one
//! before, when that has brought what it reads. `benches/state.rs` shows what it is worth.

use super::state::{KeyHash, Keyspace};

/// How many keys ahead a bucket is loaded.
const BUCKET_AHEAD: usize = 24;
/// How many keys ahead an entry, or the node that leads to it. Three cache lines each, which is about as many as the
/// processor fetches at once.
const ENTRY_AHEAD: usize = 10;
/// How many keys ahead an entry that only a node led to.
const OVERFLOW_AHEAD: usize = 5;

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
    /// A run over keys whose buckets are being loaded by [`Keyspace::prefetch_bucket`] already.
    pub fn of_entries(keyspace: &'k Keyspace) -> Self {
        Self { keyspace, buckets: usize::MAX, entries: 0, overflows: 0, overflowing: 0 }
    }

    /// A run over keys of which nothing has been loaded.
    pub fn of_all(keyspace: &'k Keyspace) -> Self {
        Self { buckets: 0, ..Self::of_entries(keyspace) }
    }

    /// Loads what the keys from the `at`-th on will need. To be called before each lookup, with ascending numbers;
    /// `hash_of` tells the hash of the `n`-th key, if there is one and it will be looked up.
    #[inline]
    pub fn before(&mut self, at: usize, hash_of: impl Fn(usize) -> Option<KeyHash>) {
        self.buckets = self.buckets.max(at);
        while self.buckets <= at + BUCKET_AHEAD {
            if let Some(hash) = hash_of(self.buckets) {
                self.keyspace.prefetch_bucket(hash);
            }
            self.buckets += 1;
        }
        self.entries = self.entries.max(at);
        while self.entries <= at + ENTRY_AHEAD {
            let overflows = hash_of(self.entries).is_some_and(|hash| self.keyspace.prefetch_entry(hash));
            let bit = self.entries % 64;
            self.overflowing = self.overflowing & !(1 << bit) | u64::from(overflows) << bit;
            self.entries += 1;
        }
        self.overflows = self.overflows.max(at);
        while self.overflows <= at + OVERFLOW_AHEAD {
            if self.overflowing >> (self.overflows % 64) & 1 == 1 {
                hash_of(self.overflows).into_iter().for_each(|hash| self.keyspace.prefetch_overflow(hash));
            }
            self.overflows += 1;
        }
    }
}
