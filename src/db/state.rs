//! The published keyspace: keys and values in [`SHARDS`] shards, each behind a lock of its own.
//!
//! A shard is a table of handles (`table`), a slab of entries that they point to (`slab`), and the few values too large
//! for it (`blobs`). All is read and changed under the shard's lock, with two exceptions that need none: sums over all
//! shards, and the prefetch of a bucket, which only computes an address.
//!
//! A batch of lookups is fast when what they need is loaded some keys ahead ([`ahead`](super::ahead)).
//!
//! Invariants: who locks several shards locks them in ascending order. Nothing large is freed under a lock: it leaves
//! as [`Garbage`]. Nothing here allocates, copies or walks in proportion to the number of keys, but for
//! [`Shard::reserve`], which is for loading; the longest single step else is the emptying of a sparse page.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::ahead::GROUP;
use super::blobs::Blobs;
use super::bucket::Bucket;
use super::entry::{ENTRY_BYTES_MAX, Field, INLINE_KEY_MAX, inline_slot_bytes, read_entry, short_key, write_entry};
pub use super::hash::{KeyHash, SHARDS};
use super::hash::{KeyHasher, PLACE_BITS};
use super::prefetch::{EntriesSoon, prefetch, prefetch_entry};
use super::slab::{Class, Slab, SparsePage};
use super::table::{SEGMENTS_MAX, Spot, Table, bucket_number, bucket_position};

/// A value where it is stored.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A small one, to be copied while the lock is held.
    Inline(&'a [u8]),
    /// A large one, which a clone of the handle keeps for as long as needed.
    Shared(&'a Bytes),
}

impl<'a> ValueRef<'a> {
    /// The bytes of the value.
    pub fn as_slice(self) -> &'a [u8] {
        match self {
            ValueRef::Inline(bytes) => bytes,
            ValueRef::Shared(bytes) => bytes,
        }
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.as_slice().len()
    }

    /// Whether it is the empty string.
    pub fn is_empty(self) -> bool {
        self.as_slice().is_empty()
    }
}

/// A value to be stored. How it is given does not decide how it is stored.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Copied in; into an allocation of its own if it is large (which is better done before locking).
    Copy(&'a [u8]),
    /// Taken over if it is large, copied in otherwise. It must be an allocation of its own, not a part of a read
    /// buffer, which it would keep alive.
    Shared(Bytes),
}

impl NewValue<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            NewValue::Copy(bytes) => bytes,
            NewValue::Shared(bytes) => bytes,
        }
    }
}

/// What a change left behind; dropped after the lock has been released.
#[derive(Default)]
pub struct Garbage {
    value: Option<Bytes>,
    other: Option<Bytes>,
    contents: Option<Box<Contents>>,
}

impl Garbage {
    /// Whether there is nothing to free.
    pub fn is_empty(&self) -> bool {
        self.value.is_none() && self.other.is_none() && self.contents.is_none()
    }
}

/// What [`Shard::set`] did.
pub struct Written {
    /// The key had a value before.
    pub existed: bool,
    /// What it left behind, for after the lock.
    pub garbage: Garbage,
}

/// Memory of a keyspace in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Keys and values themselves.
    pub data_bytes: usize,
    /// Pages of small entries, with what is known about them.
    pub slab_bytes: usize,
    /// Buckets and overflow nodes.
    pub table_bytes: usize,
    /// Large keys and values, with the places that refer to them.
    pub blob_bytes: usize,
}

impl MemoryUse {
    /// All memory that the keys take.
    pub fn total_bytes(self) -> usize {
        self.slab_bytes + self.table_bytes + self.blob_bytes
    }
}

/// How far [`Shard::walk`] has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkPosition {
    /// None at the end.
    next: Position,
}

/// A place in walking order (see [`Table::walk`]), or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    At(u64),
    End,
}

impl Default for Position {
    fn default() -> Self {
        Position::At(0)
    }
}

/// All keys and values. See the file's header.
pub struct Keyspace {
    hasher: KeyHasher,
    shards: Box<[Cell]>,
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
            buckets: AtomicU32::new(1),
            segments: [const { AtomicPtr::new(std::ptr::null_mut()) }; SEGMENTS_MAX],
            len: AtomicUsize::new(0),
            data_bytes: AtomicUsize::new(0),
            slab_bytes: AtomicUsize::new(0),
            table_bytes: AtomicUsize::new(0),
            blob_bytes: AtomicUsize::new(0),
        }
    }

    fn update(&self, contents: &Contents) {
        let table = &contents.table;
        if self.buckets.load(Relaxed) != table.buckets() || self.segments[0].load(Relaxed).is_null() {
            for (segment, address) in self.segments.iter().enumerate() {
                address.store(table.segment_address(segment).cast_mut(), Relaxed);
            }
            self.buckets.store(table.buckets(), Relaxed);
        }
        self.len.store(table.len(), Relaxed);
        self.data_bytes.store(contents.data_bytes, Relaxed);
        self.slab_bytes.store(contents.slab.resident_bytes(), Relaxed);
        self.table_bytes.store(table.bytes(), Relaxed);
        self.blob_bytes.store(contents.blobs.bytes() + contents.blobs.place_bytes(), Relaxed);
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
        Self { hasher: hasher.clone(), shards: std::iter::repeat_with(cell).take(SHARDS).collect() }
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
        let number = bucket_number(hash.place(), published.buckets.load(Relaxed));
        let (segment, offset) = bucket_position(number);
        let start: *const Bucket = published.segments[segment].load(Relaxed);
        prefetch(start.wrapping_add(offset));
    }

    /// Loads what are probably the keys' entries into the cache. The locks are held for the look into the buckets only.
    /// Bit `n` set: the bucket of the `n`-th does not tell, and [`Keyspace::prefetch_overflow`] is to be called when some
    /// other keys have had their turn.
    #[inline]
    pub(super) fn prefetch_entries(&self, hashes: &[Option<KeyHash>; GROUP]) -> u8 {
        // All locks first: a locked instruction waits for what is under way, so with one between two keys their trips to
        // memory would follow one another. Tried only, since two keys may be of one shard, and in any order.
        let shards = hashes.map(|hash| hash.and_then(|hash| self.shards[hash.shard()].shard.try_lock()));
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
        let shard = self.shards[hash.shard()].shard.lock();
        shard.contents.table.glance_behind(hash, |handle| shard.contents.prefetch(handle));
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

    /// Gives one key a value, as [`Shard::set`]; what is returned is dropped after the lock.
    pub fn set(&self, hash: KeyHash, key: &[u8], value: NewValue<'_>) -> Written {
        let mut shard = self.lock(hash.shard());
        shard.set(hash, key, value)
    }

    /// Removes one key, as [`Shard::remove`]; what is returned is dropped after the lock.
    pub fn remove(&self, hash: KeyHash, key: &[u8]) -> Option<Garbage> {
        let mut shard = self.lock(hash.shard());
        shard.remove(hash, key)
    }

    /// Removes all keys as one step: no reader sees some of them gone and others not.
    pub fn clear(&self) -> Vec<Garbage> {
        let mut shards: Vec<ShardGuard<'_>> = (0..SHARDS).map(|shard| self.lock(shard)).collect();
        shards.iter_mut().map(|shard| shard.clear()).collect()
    }

    /// Locks a shard. Who changes several keys as one step locks all their shards, in ascending order.
    ///
    /// Mind that the guard of `drop(keyspace.lock(shard).set(..))` outlives the garbage: bind it, or what is returned.
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
            let mut walk = WalkPosition { next: Position::At(position) };
            self.shards[shard].shard.lock().walk(&mut walk, left, usize::MAX, |key, value| {
                left = left.saturating_sub(1);
                each(key, value);
            });
            (shard, position) = match walk.next {
                Position::At(position) => (shard, position),
                Position::End => (shard + 1, 0),
            };
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
            self.published.update(&self.shard.contents);
        }
    }
}

/// The keys and values of one shard; reached through [`Keyspace::lock`].
pub struct Shard {
    contents: Contents,
    hasher: KeyHasher,
}

/// All that [`Shard::clear`] exchanges for nothing.
struct Contents {
    table: Table,
    slab: Slab,
    blobs: Blobs,
    data_bytes: usize,
}

impl Shard {
    fn new(hasher: KeyHasher) -> Self {
        Self { contents: Contents::new(), hasher }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.contents.table.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads the key's bucket into the cache, for one who has many keys of the shard to look up or to set.
    #[inline]
    pub fn prefetch_bucket(&self, hash: KeyHash) {
        self.contents.table.prefetch_bucket(hash);
    }

    /// Loads what is probably the key's entry into the cache, a while after its bucket, or the node that leads to it:
    /// then it is true.
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) -> bool {
        self.contents.table.glance(hash, |handle| self.contents.prefetch(handle))
    }

    /// The same, except that the entry is only noted.
    #[inline]
    fn glance(&self, hash: KeyHash, entries: &mut EntriesSoon) -> bool {
        self.contents.table.glance(hash, |handle| entries.add(self.contents.slab.slot(handle).as_ptr()))
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, hash: KeyHash, key: &[u8]) -> Option<ValueRef<'_>> {
        let spot = self.contents.find(hash, key)?;
        let (_, value) = read_entry(self.contents.slab.slot(spot.handle));
        Some(self.contents.value(value))
    }

    /// The memory that a key and its value take, without the table's share of it.
    pub fn entry_bytes(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        let spot = self.contents.find(hash, key)?;
        let (stored_key, value) = read_entry(self.contents.slab.slot(spot.handle));
        let blob = |field| if let Field::Blob(number) = field { self.contents.blobs.get(number).len() } else { 0 };
        Some(class_of(stored_key, value).bytes() + blob(stored_key) + blob(value))
    }

    /// Gives a key a value. The hash is that of the key.
    ///
    /// # Panics
    /// When the shard is full: 8 GiB of small values.
    pub fn set(&mut self, hash: KeyHash, key: &[u8], value: NewValue<'_>) -> Written {
        let contents = &mut self.contents;
        if let Some(spot) = contents.find(hash, key) {
            let garbage = contents.overwrite(spot, key, value, &self.hasher);
            return Written { existed: true, garbage };
        }
        let (handle, garbage) = contents.add(key, value);
        let (table, soon, hash_of) = contents.growing(&self.hasher);
        table.insert(hash, handle, soon, hash_of);
        Written { existed: false, garbage }
    }

    /// Makes room in the table for so many keys in all, for who sets many new ones. What is not needed is memory until
    /// [`Shard::trim`].
    pub fn reserve(&mut self, keys: usize) {
        let (table, soon, hash_of) = self.contents.growing(&self.hasher);
        table.reserve(keys, soon, hash_of);
    }

    /// Gives back what [`Shard::reserve`] took in vain.
    pub fn trim(&mut self) {
        self.contents.table.trim();
    }

    /// Removes a key; none if it has no value.
    pub fn remove(&mut self, hash: KeyHash, key: &[u8]) -> Option<Garbage> {
        let spot = self.contents.find(hash, key)?;
        Some(self.contents.remove(spot, &self.hasher))
    }

    /// Removes all keys, in no time: the work is that of dropping what is returned.
    pub fn clear(&mut self) -> Garbage {
        let contents = std::mem::replace(&mut self.contents, Contents::new());
        Garbage { contents: Some(Box::new(contents)), ..Garbage::default() }
    }

    /// Calls `each` for the next keys, until there were `entries_max` or they made up `bytes_max` (which the last
    /// ones may exceed), and returns whether that was the rest. What stays in the shard between the steps of a walk is
    /// met at least once; a key may be met twice when others were removed meanwhile.
    pub fn walk(
        &self,
        position: &mut WalkPosition,
        entries_max: usize,
        bytes_max: usize,
        mut each: impl FnMut(&[u8], ValueRef<'_>),
    ) -> bool {
        let Contents { table, slab, blobs, .. } = &self.contents;
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        while let Position::At(at) = position.next {
            if entries >= entries_max || bytes >= bytes_max {
                return false;
            }
            let next = table.walk(at, |handle| {
                let (key, value) = read_entry(slab.slot(handle));
                let (key, value) = (field_bytes(blobs, key), self.contents.value(value));
                entries += 1;
                bytes = bytes.saturating_add(key.len() + value.len());
                each(key, value);
            });
            position.next = next.map_or(Position::End, Position::At);
        }
        true
    }

    fn random_key(&self, random: u64, out: &mut Vec<u8>) -> bool {
        let Contents { table, slab, blobs, .. } = &self.contents;
        if table.len() == 0 {
            return false;
        }
        // A slot in use is hit every fourth time or so; no other one can be taken, as that would favour some keys.
        let mut random = random;
        loop {
            random = mixed(random);
            if let Some(handle) = table.probe(random) {
                out.extend_from_slice(key_of(slab, blobs, handle));
                return true;
            }
        }
    }
}

/// The next of a sequence of random numbers (SplitMix64).
fn mixed(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let seed = (seed ^ seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    seed ^ seed >> 31
}

fn key_of<'a>(slab: &'a Slab, blobs: &'a Blobs, handle: u32) -> &'a [u8] {
    field_bytes(blobs, read_entry(slab.slot(handle)).0)
}

#[inline]
fn field_bytes<'a>(blobs: &'a Blobs, field: Field<'a>) -> &'a [u8] {
    match field {
        Field::Inline(bytes) => bytes,
        Field::Blob(number) => blobs.get(number),
    }
}

impl Contents {
    const fn new() -> Self {
        Self { table: Table::new(), slab: Slab::new(), blobs: Blobs::new(), data_bytes: 0 }
    }

    /// The table, and what it needs to know of entries while it grows: see [`Table::insert`].
    #[inline]
    fn growing<'a>(
        &'a mut self,
        hasher: &'a KeyHasher,
    ) -> (&'a mut Table, impl Fn(u32) + 'a, impl Fn(u32) -> KeyHash + 'a) {
        let Self { table, slab, blobs, .. } = self;
        let (slab, blobs) = (&*slab, &*blobs);
        (table, |other| prefetch(slab.slot(other).as_ptr()), |other| hasher.hash(key_of(slab, blobs, other)))
    }

    #[inline]
    fn find(&self, hash: KeyHash, key: &[u8]) -> Option<Spot> {
        self.table.find(hash, |handle| match short_key(self.slab.slot(handle)) {
            Some(stored) => stored == key,
            None => key_of(&self.slab, &self.blobs, handle) == key,
        })
    }

    #[inline]
    fn value<'a>(&'a self, field: Field<'a>) -> ValueRef<'a> {
        match field {
            Field::Inline(bytes) => ValueRef::Inline(bytes),
            Field::Blob(number) => ValueRef::Shared(self.blobs.get(number)),
        }
    }

    /// Loads an entry into the cache.
    #[inline]
    fn prefetch(&self, handle: u32) {
        prefetch_entry(self.slab.slot(handle).as_ptr());
    }

    /// Stores the entry of a new key.
    fn add(&mut self, key: &[u8], value: NewValue<'_>) -> (u32, Garbage) {
        self.data_bytes += key.len() + value.as_slice().len();
        let key = if key.len() > INLINE_KEY_MAX {
            Field::Blob(self.blobs.insert(Bytes::copy_from_slice(key)))
        } else {
            Field::Inline(key)
        };
        if fits(key, value.as_slice()) {
            let handle = self.store(key, Field::Inline(value.as_slice()));
            return (handle, Garbage { value: unused(value), ..Garbage::default() });
        }
        let value = Field::Blob(self.blobs.insert(owned(value)));
        (self.store(key, value), Garbage::default())
    }

    /// Exchanges the value of an entry.
    fn overwrite(&mut self, spot: Spot, key: &[u8], value: NewValue<'_>, hasher: &KeyHasher) -> Garbage {
        let (old_key, old_value) = read_entry(self.slab.slot(spot.handle));
        let old_class = class_of(old_key, old_value);
        self.data_bytes += value.as_slice().len();
        self.data_bytes -= self.value(old_value).len();
        let old_number = if let Field::Blob(number) = old_value { Some(number) } else { None };
        let key = match old_key {
            Field::Inline(_) => Field::Inline(key),
            Field::Blob(number) => Field::Blob(number),
        };
        if fits(key, value.as_slice()) {
            self.restore(spot, old_class, key, Field::Inline(value.as_slice()), hasher);
            let old = old_number.map(|number| self.blobs.remove(number));
            return Garbage { value: old, other: unused(value), ..Garbage::default() };
        }
        let value = owned(value);
        let old = if let Some(number) = old_number {
            Some(self.blobs.replace(number, value))
        } else {
            let number = self.blobs.insert(value);
            self.restore(spot, old_class, key, Field::Blob(number), hasher);
            None
        };
        Garbage { value: old, ..Garbage::default() }
    }

    fn remove(&mut self, spot: Spot, hasher: &KeyHasher) -> Garbage {
        let (key, value) = read_entry(self.slab.slot(spot.handle));
        let class = class_of(key, value);
        self.data_bytes -= field_bytes(&self.blobs, key).len() + field_bytes(&self.blobs, value).len();
        let mut take = |field| {
            if let Field::Blob(number) = field { Some(self.blobs.remove(number)) } else { None }
        };
        let garbage = Garbage { value: take(value), other: take(key), ..Garbage::default() };
        self.table.remove(spot);
        self.free(spot.handle, class, hasher);
        garbage
    }

    /// Writes an entry to a new slot.
    fn store(&mut self, key: Field<'_>, value: Field<'_>) -> u32 {
        let class = class_of(key, value);
        let handle = self.slab.allocate(class);
        write_entry(self.slab.slot_mut(handle, class), key, value);
        handle
    }

    /// Writes an entry over one of this class, or to a new slot if it needs one of another size.
    fn restore(&mut self, spot: Spot, old_class: Class, key: Field<'_>, value: Field<'_>, hasher: &KeyHasher) {
        // The class is told by the old entry, not by its page: what is known about pages lies in lines of its own.
        if old_class == class_of(key, value) {
            write_entry(self.slab.slot_mut(spot.handle, old_class), key, value);
            return;
        }
        let stored = self.store(key, value);
        self.table.replace(spot, stored);
        self.free(spot.handle, old_class, hasher);
    }

    /// Frees a slot that the table no longer refers to, and packs the others of its size if they have become sparse.
    fn free(&mut self, handle: u32, class: Class, hasher: &KeyHasher) {
        self.slab.free(handle);
        if let Some(page) = self.slab.sparse_page(class) {
            self.empty_page(&page, hasher);
        }
    }

    /// Moves the entries of a page to other pages.
    #[cold]
    fn empty_page(&mut self, page: &SparsePage, hasher: &KeyHasher) {
        let hash_of = |handle| hasher.hash(key_of(&self.slab, &self.blobs, handle));
        let moving: Vec<(u32, KeyHash)> = page.handles().map(|handle| (handle, hash_of(handle))).collect();
        for (_, hash) in &moving {
            self.table.prefetch_bucket(*hash);
        }
        for (from, hash) in moving {
            let found = self.table.find(hash, |handle| handle == from);
            let spot = found.expect("the table refers to every slot in use");
            let to = self.slab.copy_slot(from, page.class());
            self.table.replace(spot, to);
        }
        self.slab.drop_page(page);
    }
}

fn class_of(key: Field<'_>, value: Field<'_>) -> Class {
    Class::holding(key.slot_bytes() + value.slot_bytes())
}

/// Whether the value can lie in the slot with the key.
fn fits(key: Field<'_>, value: &[u8]) -> bool {
    value.len() < ENTRY_BYTES_MAX && key.slot_bytes() + inline_slot_bytes(value.len()) <= ENTRY_BYTES_MAX
}

fn owned(value: NewValue<'_>) -> Bytes {
    match value {
        NewValue::Copy(bytes) => Bytes::copy_from_slice(bytes),
        NewValue::Shared(bytes) => bytes,
    }
}

/// A shared value that was copied, for the garbage.
fn unused(value: NewValue<'_>) -> Option<Bytes> {
    match value {
        NewValue::Copy(_) => None,
        NewValue::Shared(bytes) => Some(bytes),
    }
}

#[cfg(test)]
mod tests;
