//! One shard of the keyspace: a table of handles (`table`), a slab of entries that they point to (`slab`), and the few
//! keys and values too large for it (`blobs`).
//!
//! Nothing large is freed here, since the shard is locked meanwhile: it leaves as [`Garbage`]. Nothing allocates,
//! copies or walks in proportion to the number of keys, but for [`Shard::reserve`], which is for loading; the longest
//! single step else is the emptying of a sparse page.

use bytes::Bytes;

use super::blobs::Blobs;
use super::entry::{
    ENTRY_BYTES_MAX, Field, INLINE_KEY_MAX, inline_slot_bytes, is_same_key, read_entry, short_key, write_entry,
};
use super::hash::{KeyHash, KeyHasher};
use super::prefetch::{EntriesSoon, prefetch, prefetch_entry};
use super::slab::{Class, Slab, SparsePage};
use super::table::{Spot, Table};
use super::value::{NewValue, ValueRef};

/// So many bytes of cleared data are freed in a millisecond or two.
const SMALL_BYTES: usize = 1 << 20;

/// What changes left behind: large keys and values, and all of what was cleared. To be dropped when no lock is held.
#[derive(Default)]
pub struct Garbage {
    blobs: Vec<Bytes>,
    contents: Vec<Contents>,
}

impl Garbage {
    /// Whether there is so much in what was cleared that whoever frees it is held up.
    pub fn is_large(&self) -> bool {
        self.contents.iter().map(|contents| contents.memory().total_bytes()).sum::<usize>() > SMALL_BYTES
    }
}

/// Memory of a shard or of all of them, in bytes.
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

/// The keys and values of one shard; reached through [`Keyspace::lock`](super::state::Keyspace::lock).
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
    pub(super) fn new(hasher: KeyHasher) -> Self {
        Self { contents: Contents::new(), hasher }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.contents.table.len()
    }

    /// Where its handles lie.
    #[inline]
    pub(super) fn table(&self) -> &Table {
        &self.contents.table
    }

    /// The memory in use.
    #[inline]
    pub(super) fn memory(&self) -> MemoryUse {
        self.contents.memory()
    }

    /// Loads the key's bucket into the cache, for one who has many keys of the shard to look up or to set.
    #[inline]
    pub fn prefetch_bucket(&self, hash: KeyHash) {
        self.contents.table.prefetch_bucket(hash);
    }

    /// Prefetches what is probably the key's entry, some time after its bucket. True: it prefetched the overflow node
    /// that leads to the entry instead.
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) -> bool {
        self.contents.table.glance(hash, |handle| self.contents.prefetch(handle))
    }

    /// Notes what is probably the key's entry, to be prefetched with others. True: as [`Shard::prefetch_entry`].
    #[inline(always)]
    pub(super) fn glance(&self, hash: KeyHash, entries: &mut EntriesSoon) -> bool {
        self.contents.table.glance(hash, |handle| entries.add(self.contents.slab.slot(handle).as_ptr()))
    }

    /// Loads the entry of a key whose bucket did not tell where it is.
    pub(super) fn prefetch_overflow(&self, hash: KeyHash) {
        self.contents.table.glance_behind(hash, |handle| self.contents.prefetch(handle));
    }

    /// The value of a key.
    #[inline(always)]
    pub fn get(&self, hash: KeyHash, key: &[u8]) -> Option<ValueRef<'_>> {
        // [`Table::find`] would do: a GET spends a quarter of its lookup on calling what it is given.
        let (bucket, tag) = (self.contents.table.bucket_of(hash)?, hash.tag());
        for slot in bucket.candidates(tag) {
            if bucket.tag(slot) == tag
                && let Some(value) = self.contents.value_of(bucket.handle(slot), key)
            {
                return Some(value);
            }
        }
        if bucket.overflow == 0 { None } else { self.get_behind(bucket.overflow, tag, key) }
    }

    #[inline(never)]
    fn get_behind(&self, first: u32, tag: u8, key: &[u8]) -> Option<ValueRef<'_>> {
        self.contents.table.handles_behind(first, tag).find_map(|handle| self.contents.value_of(handle, key))
    }

    /// The memory that a key and its value take, without the table's share of it.
    pub fn entry_bytes(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        let spot = self.contents.find(hash, key)?;
        let (stored_key, value) = read_entry(self.contents.slab.slot(spot.handle));
        let blob = |field| if let Field::Blob(number) = field { self.contents.blobs.get(number).len() } else { 0 };
        Some(class_of(stored_key, value).bytes() + blob(stored_key) + blob(value))
    }

    /// Gives a key a value; false if it had none before. The hash is that of the key.
    ///
    /// # Panics
    /// When the shard is full: 8 GiB of small values.
    pub fn set(&mut self, hash: KeyHash, key: &[u8], value: NewValue<'_>, garbage: &mut Garbage) -> bool {
        let contents = &mut self.contents;
        if let Some(spot) = contents.find(hash, key) {
            contents.overwrite(spot, key, value, &self.hasher, garbage);
            return true;
        }
        let handle = contents.add(key, value, garbage);
        let (table, soon, hash_of) = contents.growing(&self.hasher);
        table.insert(hash, handle, soon, hash_of);
        false
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

    /// Removes a key; false if it has no value.
    pub fn remove(&mut self, hash: KeyHash, key: &[u8], garbage: &mut Garbage) -> bool {
        let found = self.contents.find(hash, key);
        if let Some(spot) = found {
            self.contents.remove(spot, &self.hasher, garbage);
        }
        found.is_some()
    }

    /// Removes all keys, in no time: the work is that of dropping the garbage.
    pub fn clear(&mut self, garbage: &mut Garbage) {
        garbage.contents.push(std::mem::replace(&mut self.contents, Contents::new()));
    }

    /// Calls `each` for the keys from `position` on (0 is the start), until there were `entries_max` or they made up
    /// `bytes_max` (which the last ones may exceed), and returns the position to go on from; none when that was the
    /// rest. What stays in the shard between the steps of a walk is met at least once; a key may be met twice when
    /// others were removed meanwhile.
    pub fn walk(
        &self,
        position: u64,
        entries_max: usize,
        bytes_max: usize,
        mut each: impl FnMut(&[u8], ValueRef<'_>),
    ) -> Option<u64> {
        let Contents { table, slab, blobs, .. } = &self.contents;
        let (mut position, mut entries, mut bytes) = (position, 0_usize, 0_usize);
        while entries < entries_max && bytes < bytes_max {
            position = table.walk(position, |handle| {
                let (key, value) = read_entry(slab.slot(handle));
                let (key, value) = (field_bytes(blobs, key), self.contents.value(value));
                entries += 1;
                bytes = bytes.saturating_add(key.len() + value.len());
                each(key, value);
            })?;
        }
        Some(position)
    }

    /// Puts a random key into `out`, each with the same probability; false if there is none.
    pub(super) fn random_key(&self, random: u64, out: &mut Vec<u8>) -> bool {
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
pub(super) fn mixed(seed: u64) -> u64 {
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

    #[inline]
    fn memory(&self) -> MemoryUse {
        let Self { table, slab, blobs, data_bytes } = self;
        MemoryUse {
            data_bytes: *data_bytes,
            slab_bytes: slab.resident_bytes(),
            table_bytes: table.bytes(),
            blob_bytes: blobs.bytes() + blobs.place_bytes(),
        }
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

    #[inline(always)]
    fn find(&self, hash: KeyHash, key: &[u8]) -> Option<Spot> {
        self.table.find(hash, |handle| match short_key(self.slab.slot(handle)) {
            Some(stored) => is_same_key(stored, key),
            None => self.has_long_key(handle, key),
        })
    }

    /// Whether an entry that [`short_key`] has no key of is that of `key`.
    #[inline(never)]
    fn has_long_key(&self, handle: u32, key: &[u8]) -> bool {
        key_of(&self.slab, &self.blobs, handle) == key
    }

    #[inline]
    fn value<'a>(&'a self, field: Field<'a>) -> ValueRef<'a> {
        match field {
            Field::Inline(bytes) => ValueRef::Inline(bytes),
            Field::Blob(number) => ValueRef::Shared(self.blobs.get(number)),
        }
    }

    /// The value of an entry, if it is that of a key.
    #[inline(always)]
    fn value_of(&self, handle: u32, key: &[u8]) -> Option<ValueRef<'_>> {
        let (stored, value) = read_entry(self.slab.slot(handle));
        is_same_key(field_bytes(&self.blobs, stored), key).then(|| self.value(value))
    }

    /// Loads an entry into the cache.
    #[inline]
    fn prefetch(&self, handle: u32) {
        prefetch_entry(self.slab.slot(handle).as_ptr());
    }

    /// Stores the entry of a new key.
    fn add(&mut self, key: &[u8], value: NewValue<'_>, garbage: &mut Garbage) -> u32 {
        self.data_bytes += key.len() + value.as_slice().len();
        let key = if key.len() > INLINE_KEY_MAX {
            Field::Blob(self.blobs.insert(Bytes::copy_from_slice(key)))
        } else {
            Field::Inline(key)
        };
        if fits(key, value.as_slice()) {
            let handle = self.store(key, Field::Inline(value.as_slice()));
            garbage.blobs.extend(value.unused());
            return handle;
        }
        let value = Field::Blob(self.blobs.insert(value.into_owned()));
        self.store(key, value)
    }

    /// Exchanges the value of an entry.
    fn overwrite(&mut self, spot: Spot, key: &[u8], value: NewValue<'_>, hasher: &KeyHasher, garbage: &mut Garbage) {
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
            garbage.blobs.extend(old_number.map(|number| self.blobs.remove(number)));
            garbage.blobs.extend(value.unused());
        } else if let Some(number) = old_number {
            garbage.blobs.push(self.blobs.replace(number, value.into_owned()));
        } else {
            let number = self.blobs.insert(value.into_owned());
            self.restore(spot, old_class, key, Field::Blob(number), hasher);
        }
    }

    fn remove(&mut self, spot: Spot, hasher: &KeyHasher, garbage: &mut Garbage) {
        let (key, value) = read_entry(self.slab.slot(spot.handle));
        let class = class_of(key, value);
        self.data_bytes -= field_bytes(&self.blobs, key).len() + field_bytes(&self.blobs, value).len();
        for field in [key, value] {
            if let Field::Blob(number) = field {
                garbage.blobs.push(self.blobs.remove(number));
            }
        }
        self.table.remove(spot);
        self.free(spot.handle, class, hasher);
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
