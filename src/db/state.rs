//! The published keyspace: keys and values in [`SHARDS`] shards, each behind a lock of its own.
//!
//! All of a [`Shard`] is read and changed under its lock, with two exceptions that need none: sums over all shards, and
//! the prefetch of a bucket, which only computes an address.
//!
//! A batch of lookups is fast when what they need is loaded some keys ahead ([`ahead`](super::ahead)).
//!
//! Invariants: who locks several shards locks them in ascending order. Nothing large is freed under a lock.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};

use super::ahead::GROUP;
use super::bucket::Bucket;
pub use super::hash::{KeyHash, SHARDS};
use super::hash::{KeyHasher, PLACE_BITS};
use super::prefetch::{EntriesSoon, prefetch};
pub use super::shard::{Garbage, MemoryUse, Shard};
use super::table::{SEGMENTS_MAX, Size, bucket_position};
pub use super::value::{NewValue, ValueRef};

/// All keys and values. See the file's header.
pub struct Keyspace {
    hasher: KeyHasher,
    shards: Box<[Cell; SHARDS]>,
}

/// A shard, its lock, and what may be read without it. Aligned so that two shards share no cache line (nor the pair of
/// lines that processors fetch together).
#[repr(align(128))]
struct Cell {
    shard: Mutex<Shard>,
    published: Published,
}

/// What may be read without the lock. Written under it, and consistent only then.
struct Published {
    buckets: AtomicU32,
    bucket_mask: AtomicU32,
    /// Addresses for prefetching only: they may be stale.
    segments: [AtomicPtr<Bucket>; SEGMENTS_MAX],
    len: AtomicUsize,
    data_bytes: AtomicUsize,
    slab_bytes: AtomicUsize,
    table_bytes: AtomicUsize,
    blob_bytes: AtomicUsize,
}

impl Published {
    fn new() -> Self {
        Self {
            buckets: AtomicU32::new(Size::of(1).buckets),
            bucket_mask: AtomicU32::new(Size::of(1).mask),
            segments: [const { AtomicPtr::new(std::ptr::null_mut()) }; SEGMENTS_MAX],
            len: AtomicUsize::new(0),
            data_bytes: AtomicUsize::new(0),
            slab_bytes: AtomicUsize::new(0),
            table_bytes: AtomicUsize::new(0),
            blob_bytes: AtomicUsize::new(0),
        }
    }

    fn update(&self, shard: &Shard) {
        let (table, memory) = (shard.table(), shard.memory());
        let size = table.size();
        if self.buckets.load(Relaxed) != size.buckets || self.segments[0].load(Relaxed).is_null() {
            for (segment, address) in self.segments.iter().enumerate() {
                address.store(table.segment_address(segment).cast_mut(), Relaxed);
            }
            self.buckets.store(size.buckets, Relaxed);
            self.bucket_mask.store(size.mask, Relaxed);
        }
        self.len.store(table.len(), Relaxed);
        self.data_bytes.store(memory.data_bytes, Relaxed);
        self.slab_bytes.store(memory.slab_bytes, Relaxed);
        self.table_bytes.store(memory.table_bytes, Relaxed);
        self.blob_bytes.store(memory.blob_bytes, Relaxed);
    }
}

impl Keyspace {
    /// An empty keyspace, which takes no memory to speak of. The seed decides all hashes, and with them the order of
    /// [`Keyspace::scan`]: random for a server, fixed for a test.
    pub fn new(seed: [u64; 4]) -> Self {
        Self::with_hasher(&KeyHasher::new(seed))
    }

    fn with_hasher(hasher: &KeyHasher) -> Self {
        let cell = || Cell { shard: Mutex::new(Shard::new(hasher.clone())), published: Published::new() };
        let shards: Vec<Cell> = std::iter::repeat_with(cell).take(SHARDS).collect();
        Self { hasher: hasher.clone(), shards: shards.try_into().ok().expect("so many were made") }
    }

    /// The hash of a key, which all else takes with the key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.hasher.hash(key)
    }

    /// The shard that holds a key, less than [`SHARDS`].
    #[inline]
    pub fn shard_of(&self, hash: KeyHash) -> usize {
        hash.shard()
    }

    /// Loads the key's bucket into the cache. Takes no lock.
    #[inline]
    pub(super) fn prefetch_bucket(&self, hash: KeyHash) {
        let published = &self.shards[hash.shard()].published;
        // Of two sizes, perhaps: then another bucket is loaded, or none.
        let size = Size { buckets: published.buckets.load(Relaxed), mask: published.bucket_mask.load(Relaxed) };
        let number = size.bucket_number(hash.place());
        let (segment, offset) = bucket_position(number);
        let start: *const Bucket = published.segments[segment].load(Relaxed);
        prefetch(start.wrapping_add(offset));
    }

    /// Loads what are probably the entries of up to [`GROUP`] keys into the cache. The locks are held for the look into
    /// the buckets only. Bit `n` set: the bucket of the `n`-th does not tell, and [`Keyspace::prefetch_overflow`] is to
    /// be called when some other keys have had their turn.
    #[inline(never)]
    pub(super) fn prefetch_entries(&self, hashes: &[Option<KeyHash>]) -> u8 {
        // All locks first: a locked instruction waits for what is under way, so with one between two keys their trips
        // to memory would follow one another. Tried only, since two keys may be of one shard, and in any order.
        let mut shards = [const { None }; GROUP];
        for (shard, hash) in shards.iter_mut().zip(hashes) {
            *shard = hash.and_then(|hash| self.shards[hash.shard()].shard.try_lock());
        }
        let mut entries = EntriesSoon::default();
        let mut overflowing = 0;
        let mut missed = 0_u8;
        for (n, (hash, shard)) in hashes.iter().zip(&shards).enumerate() {
            match (hash, shard) {
                (Some(hash), Some(shard)) => overflowing |= u8::from(shard.glance(*hash, &mut entries)) << n,
                (Some(_), None) => missed |= 1 << n,
                (None, _) => {}
            }
        }
        drop(shards);
        while missed != 0 {
            let n = missed.trailing_zeros() as usize;
            missed &= missed - 1;
            let hash = hashes[n].expect("only keys are missed");
            overflowing |= u8::from(self.shards[hash.shard()].shard.lock().glance(hash, &mut entries)) << n;
        }
        entries.load();
        overflowing
    }

    /// Loads the entry of a key of which [`Keyspace::prefetch_entries`] said that it overflows.
    pub(super) fn prefetch_overflow(&self, hash: KeyHash) {
        self.shards[hash.shard()].shard.lock().prefetch_overflow(hash);
    }

    /// Reads a value under the shard's lock: `read` copies a small one or clones a shared one, and takes no other
    /// lock of the keyspace.
    #[inline]
    pub fn get<R>(&self, hash: KeyHash, key: &[u8], read: impl FnOnce(ValueRef<'_>) -> R) -> Option<R> {
        let shard = self.shards[hash.shard()].shard.lock();
        shard.get(hash, key).map(read)
    }

    /// Whether the key has a value.
    pub fn contains(&self, hash: KeyHash, key: &[u8]) -> bool {
        self.get(hash, key, |_| ()).is_some()
    }

    /// Gives one key a value, as [`Shard::set`].
    pub fn set(&self, hash: KeyHash, key: &[u8], value: NewValue<'_>) -> bool {
        let mut garbage = Garbage::default();
        let mut shard = self.lock(hash.shard());
        shard.set(hash, key, value, &mut garbage)
    }

    /// Removes all keys as one step: no reader sees some of them gone and others not.
    pub fn clear(&self, garbage: &mut Garbage) {
        let mut shards: Vec<ShardGuard<'_>> = (0..SHARDS).map(|shard| self.lock(shard)).collect();
        for shard in &mut shards {
            shard.clear(garbage);
        }
    }

    /// Locks a shard. Who changes several keys as one step locks all their shards, in ascending order.
    ///
    /// # Panics
    /// When `shard` is not less than [`SHARDS`].
    #[inline]
    pub fn lock(&self, shard: usize) -> ShardGuard<'_> {
        let cell = &self.shards[shard];
        ShardGuard { shard: cell.shard.lock(), published: &cell.published, changed: false }
    }

    /// The number of keys. Takes no lock: changes that are being made may be counted or not.
    pub fn len(&self) -> usize {
        self.sum(|published| &published.len)
    }

    /// Whether there are no keys; as precise as [`Keyspace::len`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory in use. Takes no lock.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse {
            data_bytes: self.sum(|published| &published.data_bytes),
            slab_bytes: self.sum(|published| &published.slab_bytes),
            table_bytes: self.sum(|published| &published.table_bytes),
            blob_bytes: self.sum(|published| &published.blob_bytes),
        }
    }

    fn sum(&self, field: impl Fn(&Published) -> &AtomicUsize) -> usize {
        self.shards.iter().map(|cell| field(&cell.published).load(Relaxed)).sum()
    }

    /// Puts a random key into `out`, each with the same probability; false (and `out` empty) if there is none.
    pub fn random_key(&self, random: u64, out: &mut Vec<u8>) -> bool {
        out.clear();
        let len = self.len() as u128;
        let mut skip = ((u128::from(random) * len) >> 64) as usize;
        let chosen = self.shards.iter().position(|cell| {
            let len = cell.published.len.load(Relaxed);
            let here = skip < len;
            skip = skip.saturating_sub(len);
            here
        });
        // The others are for the case that the chosen shard has been emptied meanwhile.
        let first = chosen.unwrap_or(0);
        (first..SHARDS).chain(0..first).any(|shard| {
            let shard = self.shards[shard].shard.lock();
            shard.random_key(random, out)
        })
    }

    /// Calls `each` for some keys, at least one bucket of them and about `count`, and returns the cursor to go on with.
    /// Cursor 0 starts; 0 returned is the end. A key that exists from the start to the end is met at least once,
    /// whatever else comes and goes; any other number is taken as some place to go on from.
    ///
    /// `each` is called under a shard's lock.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&[u8], ValueRef<'_>)) -> u64 {
        let (mut shard, mut position) = split_cursor(cursor);
        let mut left = count.max(1);
        loop {
            let next = self.shards[shard].shard.lock().walk(position, left, usize::MAX, |key, value| {
                left = left.saturating_sub(1);
                each(key, value);
            });
            (shard, position) = next.map_or((shard + 1, 0), |position| (shard, position));
            if shard == SHARDS {
                return 0;
            }
            if left == 0 {
                return join_cursor(shard, position);
            }
        }
    }
}

/// The shard and the position in it.
fn split_cursor(cursor: u64) -> (usize, u64) {
    ((cursor >> PLACE_BITS) as usize % SHARDS, cursor & ((1 << PLACE_BITS) - 1))
}

/// Not 0 except for the very start.
fn join_cursor(shard: usize, position: u64) -> u64 {
    (shard as u64) << PLACE_BITS | position
}

/// A locked shard. What has been changed counts in [`Keyspace::len`] and [`Keyspace::memory`] once this is dropped.
pub struct ShardGuard<'a> {
    shard: MutexGuard<'a, Shard>,
    published: &'a Published,
    changed: bool,
}

impl Deref for ShardGuard<'_> {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for ShardGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Shard {
        self.changed = true;
        &mut self.shard
    }
}

impl Drop for ShardGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.changed {
            self.published.update(&self.shard);
        }
    }
}

#[cfg(test)]
mod tests;
