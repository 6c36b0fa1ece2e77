//! What a run of lookups loads into the cache some keys ahead: each trip to memory hides behind the work on other keys.
//!
//! A key's way is bucket, entry, and for a few an overflow node in between. Each step is taken a while after the one
//! before, when that has brought what it reads, and for a group of keys at a time: the trips of a group overlap, those
//! of keys with other work in between hardly do (a prefetch ends only with its address translation, and that alone is a
//! trip to memory or two). `benches/state.rs` shows what it is worth.

use super::state::{KeyHash, Keyspace};

/// Keys of a group: three cache lines for each are about as many as the processor fetches at once.
pub(super) const GROUP: usize = 8;
/// How many keys ahead a group's buckets are loaded.
const BUCKETS_AHEAD: usize = 3 * GROUP;
/// How many keys ahead a group's entries, or the nodes that lead to them.
const ENTRIES_AHEAD: usize = GROUP;
/// How many keys ahead an entry that only a node led to.
const OVERFLOW_AHEAD: usize = GROUP / 2;
/// A bit for each of the keys whose nodes are due.
const OVERFLOWS_DUE: u64 = (2 << OVERFLOW_AHEAD) - 1;

/// A run of lookups; see the file's header.
pub struct Ahead<'k> {
    keyspace: &'k Keyspace,
    /// How many keys there are.
    keys: usize,
    /// The keys whose buckets and entries are loaded next.
    buckets: usize,
    entries: usize,
    /// Which of the next keys overflow, and have to be looked at again: bit `n` is key `n` modulo 64.
    overflowing: u64,
}

impl<'k> Ahead<'k> {
    /// A run of so many lookups that begins.
    pub fn new(keyspace: &'k Keyspace, keys: usize) -> Self {
        Self { keyspace, keys, buckets: 0, entries: 0, overflowing: 0 }
    }

    /// Loads what the keys from the `at`-th on will need. To be called before each lookup, with ascending numbers;
    /// `hash_of` tells the hash of the `n`-th key (there are as many as `new` was told), if that one will be looked up.
    #[inline]
    pub fn before(&mut self, at: usize, hash_of: impl Fn(usize) -> Option<KeyHash>) {
        if self.entries < self.keys.min(at + ENTRIES_AHEAD + 1) {
            self.load_groups(at, &hash_of);
        }
        let mut due = self.overflowing.rotate_right(bit(at)) & OVERFLOWS_DUE;
        while due != 0 {
            let n = at + due.trailing_zeros() as usize;
            due &= due - 1;
            self.overflowing &= !1_u64.rotate_left(bit(n));
            // A key that was passed over may have left its bit to one that there is not.
            if let Some(hash) = (n < self.keys).then(|| hash_of(n)).flatten() {
                self.keyspace.prefetch_overflow(hash);
            }
        }
    }

    #[inline(never)]
    fn load_groups(&mut self, at: usize, hash_of: impl Fn(usize) -> Option<KeyHash>) {
        let buckets = self.buckets.max(at)..self.keys.min(at + BUCKETS_AHEAD + GROUP);
        self.buckets = buckets.end;
        buckets.filter_map(&hash_of).for_each(|hash| self.keyspace.prefetch_bucket(hash));

        let (mut from, end) = (self.entries.max(at), self.keys.min(at + ENTRIES_AHEAD + GROUP));
        self.entries = end;
        while from < end {
            let mut hashes = [None; GROUP];
            let group = from..end.min(from + GROUP);
            let hashes = &mut hashes[..group.len()];
            hashes.iter_mut().zip(group).for_each(|(hash, n)| *hash = hash_of(n));
            let overflowing = self.keyspace.prefetch_entries(hashes);
            let others = !u64::from(u8::MAX).rotate_left(bit(from));
            self.overflowing = self.overflowing & others | u64::from(overflowing).rotate_left(bit(from));
            from += GROUP;
        }
    }
}

/// The bit of the `n`-th key.
fn bit(n: usize) -> u32 {
    (n % 64) as u32
}
