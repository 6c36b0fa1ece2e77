//! From hashes to slab handles: linear hashing over cache-line buckets (Litwin 1980).
//!
//! The table grows and shrinks by one bucket at a time, in the order of their numbers, so no operation ever waits for a
//! rehash. With `n` buckets and `2^k <= n < 2^(k+1)`, the buckets below `n - 2^k` have been split and hold the keys
//! whose place has their number in its lowest `k + 1` bits; the others go by `k` bits. Buckets lie in segments of
//! doubling size that never move, so that their addresses can be computed (for a prefetch) without the shard's lock.
//!
//! What does not fit into a bucket goes to small overflow nodes. In between two doublings the buckets not yet split are
//! twice as full as the others, so these are part of the normal load. All nodes of a bucket but the first are full, and
//! so is the bucket if it has nodes.
//!
//! The table never reads entries: the caller compares keys, and hashes them again when a bucket is split.

mod nodes;

use self::nodes::{NODE_SLOTS, Nodes};
use super::bucket::{BUCKET_SLOTS, Bucket};
use super::hash::{KeyHash, PLACE_BITS, reverse_place};
use super::memory::{Mapped, SYSTEM_PAGE_BYTES};
use super::prefetch::prefetch;

/// Buckets of the first segment, one system page; the second has as many, and each after it twice those of the last.
const FIRST_SEGMENT_BUCKETS: u32 = 64;
/// Segments that a table can have; with so many its slots outnumber the handles of a slab.
pub(super) const SEGMENTS_MAX: usize = 24;

/// The table splits a bucket when more than this part of its slots (nodes not counted) would be in use. The fuller, the
/// more lookups go through nodes: with 75, a key takes one or two bytes less, and pipelines of GETs 4 to 10 % longer.
const LOAD_PERCENT_MAX: u64 = 60;
/// And merges two when less is in use: far enough below that a split and a merge never take turns.
const LOAD_PERCENT_MIN: u64 = 44;

/// A handle and where it was found. Good until the table changes.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) handle: u32,
    bucket: u32,
    /// 0 is the bucket itself.
    node: u32,
    slot: usize,
}

/// See the file's header.
pub(super) struct Table {
    segments: Vec<Mapped<Bucket>>,
    size: Size,
    len: usize,
    nodes: Nodes,
}

impl Table {
    /// A table without memory.
    pub(super) const fn new() -> Self {
        Self { segments: Vec::new(), size: Size::of(1), len: 0, nodes: Nodes::new() }
    }

    /// Handles in the table.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many buckets are in use.
    #[inline]
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// The address of a segment; null if there is none.
    pub(super) fn segment_address(&self, segment: usize) -> *const Bucket {
        self.segments.get(segment).map_or(std::ptr::null(), |segment| segment.as_ptr())
    }

    /// Memory in use, as far as it has been touched.
    pub(super) fn bytes(&self) -> usize {
        let buckets = if self.segments.is_empty() { 0 } else { self.size.buckets as usize * size_of::<Bucket>() };
        buckets + self.nodes.bytes()
    }

    /// The bucket of this hash.
    #[inline(always)]
    pub(super) fn bucket_of(&self, hash: KeyHash) -> Option<&Bucket> {
        self.bucket(self.size.bucket_number(hash.place()))
    }

    /// Loads the bucket of this hash into the cache.
    pub(super) fn prefetch_bucket(&self, hash: KeyHash) {
        if let Some(bucket) = self.bucket_of(hash) {
            prefetch(bucket);
        }
    }

    /// Calls `soon` for what is probably the handle under this hash, if the bucket itself tells; if it must be in one
    /// of the bucket's nodes, loads the first of these into the cache and returns true: [`Table::glance_behind`] goes
    /// on.
    #[inline(always)]
    pub(super) fn glance(&self, hash: KeyHash, mut soon: impl FnMut(u32)) -> bool {
        let Some(bucket) = self.bucket_of(hash) else { return false };
        let mut found = false;
        for slot in bucket.candidates(hash.tag()) {
            soon(bucket.handle(slot));
            found = true;
        }
        if found || bucket.overflow == 0 {
            return false;
        }
        prefetch(self.nodes.get(bucket.overflow));
        true
    }

    /// Calls `soon` for the handles in the nodes of a bucket that may be the one under this hash.
    pub(super) fn glance_behind(&self, hash: KeyHash, soon: impl FnMut(u32)) {
        let first = self.bucket_of(hash).map_or(0, |bucket| bucket.overflow);
        self.handles_behind(first, hash.tag()).for_each(soon);
    }

    /// The handles under this tag in the nodes of a bucket, from the `first` on.
    pub(super) fn handles_behind(&self, first: u32, tag: u8) -> impl Iterator<Item = u32> {
        let node = |number: u32| (number != 0).then(|| self.nodes.get(number));
        std::iter::successors(node(first), move |last| node(last.next)).flat_map(move |node| {
            (0..NODE_SLOTS).filter(move |slot| node.tags[*slot] == tag).map(move |slot| node.handles[slot])
        })
    }

    /// The first handle under this hash that `is` accepts.
    #[inline(always)]
    pub(super) fn find(&self, hash: KeyHash, mut is: impl FnMut(u32) -> bool) -> Option<Spot> {
        let number = self.size.bucket_number(hash.place());
        let bucket = self.bucket(number)?;
        let tag = hash.tag();
        for slot in bucket.candidates(tag) {
            let handle = bucket.handle(slot);
            // The tag is checked again for the rare false candidate, which may be an empty slot.
            if bucket.tag(slot) == tag && is(handle) {
                return Some(Spot { handle, bucket: number, node: 0, slot });
            }
        }
        if bucket.overflow == 0 { None } else { self.find_behind(number, bucket.overflow, tag, is) }
    }

    /// The first handle under this tag that `is` accepts in the nodes of a bucket, from the `first` on.
    #[inline(never)]
    fn find_behind(&self, bucket: u32, first: u32, tag: u8, mut is: impl FnMut(u32) -> bool) -> Option<Spot> {
        let mut number = first;
        while number != 0 {
            let node = self.nodes.get(number);
            for slot in 0..NODE_SLOTS {
                let handle = node.handles[slot];
                if node.tags[slot] == tag && is(handle) {
                    return Some(Spot { handle, bucket, node: number, slot });
                }
            }
            number = node.next;
        }
        None
    }

    /// Puts another handle in the place of one.
    pub(super) fn replace(&mut self, spot: Spot, handle: u32) {
        if spot.node == 0 {
            let bucket = self.bucket_mut(spot.bucket);
            bucket.put(spot.slot, handle, bucket.tag(spot.slot));
        } else {
            self.nodes.get_mut(spot.node).handles[spot.slot] = handle;
        }
    }

    /// Adds a handle. `hash_of` tells the hash of those already in the table; `soon` is called for some of them a
    /// while before.
    pub(super) fn insert(
        &mut self,
        hash: KeyHash,
        handle: u32,
        soon: impl FnMut(u32),
        hash_of: impl FnMut(u32) -> KeyHash,
    ) {
        self.map_first_segment();
        self.len += 1;
        if handles(LOAD_PERCENT_MAX, self.size.buckets) < self.len {
            self.split(soon, hash_of);
        }
        self.put(self.size.bucket_number(hash.place()), handle, hash.tag());
    }

    /// Makes room for so many handles in all, at once: each that comes later then is put into its bucket for good,
    /// where in a table that grows along with them it is hashed again and again. The closures are those of
    /// [`Table::insert`].
    pub(super) fn reserve(&mut self, len: usize, mut soon: impl FnMut(u32), mut hash_of: impl FnMut(u32) -> KeyHash) {
        self.map_first_segment();
        while handles(LOAD_PERCENT_MAX, self.size.buckets) < len {
            self.split(&mut soon, &mut hash_of);
        }
    }

    /// Gives back what was reserved and is not needed: the table is as if it had grown by itself.
    pub(super) fn trim(&mut self) {
        let before = self.size.buckets;
        while self.size.buckets > 1 && self.len <= handles(LOAD_PERCENT_MAX, self.size.buckets - 1) {
            self.merge();
        }
        if self.size.buckets == before {
            return;
        }
        let (last, _) = bucket_position(self.size.buckets - 1);
        self.segments.truncate(last + 1);
        let (segment, offset) = bucket_position(self.size.buckets);
        if let Some(segment) = self.segments.get_mut(segment) {
            // A bucket that was merged is empty, so it does not matter what it reads as later.
            let unused = offset.next_multiple_of(SYSTEM_PAGE_BYTES / size_of::<Bucket>());
            segment.give_back(unused..segment.len());
        }
    }

    /// Removes a handle.
    pub(super) fn remove(&mut self, spot: Spot) {
        let first = self.bucket(spot.bucket).map_or(0, |bucket| bucket.overflow);
        if first == 0 {
            self.bucket_mut(spot.bucket).put(spot.slot, 0, 0);
        } else {
            // The last of the first node fills the gap, or is itself what goes.
            let node = self.nodes.get_mut(first);
            let last = node.used() - 1;
            let (handle, tag) = (node.handles[last], std::mem::take(&mut node.tags[last]));
            if spot.node == 0 {
                self.bucket_mut(spot.bucket).put(spot.slot, handle, tag);
            } else if (spot.node, spot.slot) != (first, last) {
                let node = self.nodes.get_mut(spot.node);
                node.handles[spot.slot] = handle;
                node.tags[spot.slot] = tag;
            }
            if last == 0 {
                self.bucket_mut(spot.bucket).overflow = self.nodes.free(first);
            }
        }
        self.len -= 1;
        if self.size.buckets > 1 && self.len < handles(LOAD_PERCENT_MIN, self.size.buckets) {
            self.merge();
        }
    }

    /// Calls `each` for all handles of the bucket that covers `position` and returns the position after the bucket;
    /// none when it is the last one. Positions are places read backwards: what stays in the table while
    /// others come and go, and buckets split and merge, is met on the way from 0 to the end.
    pub(super) fn walk(&self, position: u64, mut each: impl FnMut(u32)) -> Option<u64> {
        let number = self.size.bucket_number(reverse_place(position));
        if let Some(bucket) = self.bucket(number) {
            self.for_each(bucket, |handle, _| each(handle));
        }
        let covered = 1_u64 << (PLACE_BITS - place_bits(number, self.size.buckets));
        let next = (position | (covered - 1)) + 1;
        (next < 1 << PLACE_BITS).then_some(next)
    }

    /// The handle at a random place, if there is one: each is as likely as any other.
    pub(super) fn probe(&self, random: u64) -> Option<u32> {
        /// Slots drawn from; a longer chain (of less than one bucket in a thousand million) has its rest left out.
        const CHAIN_SLOTS: u64 = 40;
        let number = ((random >> 32) * u64::from(self.size.buckets)) >> 32;
        let mut left = ((random & 0xFFFF_FFFF) * CHAIN_SLOTS) >> 32;
        let mut found = None;
        self.for_each(self.bucket(number as u32)?, |handle, _| {
            if left == 0 {
                found = Some(handle);
            }
            left = left.wrapping_sub(1);
        });
        found
    }

    /// Adds a handle to a bucket or its nodes.
    fn put(&mut self, number: u32, handle: u32, tag: u8) {
        let bucket = self.bucket_mut(number);
        if let Some(slot) = bucket.free_slot() {
            bucket.put(slot, handle, tag);
            return;
        }
        let mut first = bucket.overflow;
        if first == 0 || self.nodes.get(first).used() == NODE_SLOTS {
            first = self.nodes.allocate(first);
            self.bucket_mut(number).overflow = first;
        }
        let node = self.nodes.get_mut(first);
        let slot = node.used();
        node.handles[slot] = handle;
        node.tags[slot] = tag;
    }

    /// Adds a bucket and moves to it what now belongs there.
    fn split(&mut self, mut soon: impl FnMut(u32), mut hash_of: impl FnMut(u32) -> KeyHash) {
        let new = self.size.buckets;
        assert!(bucket_position(new).0 < SEGMENTS_MAX, "a slab runs out of handles before");
        let (segment, _) = bucket_position(new);
        if segment == self.segments.len() {
            self.segments.push(Mapped::new((FIRST_SEGMENT_BUCKETS as usize) << (segment - 1)));
        }
        self.size = Size::of(new + 1);
        // Fresh memory is written before it is read: read first, the system would fault it in twice.
        *self.bucket_mut(new) = Bucket::EMPTY;
        let old = new - (1 << new.ilog2());
        let taken = self.take(old);
        for (handle, _) in taken.iter() {
            soon(handle);
        }
        for (handle, tag) in taken.iter() {
            let number = self.size.bucket_number(hash_of(handle).place());
            assert!(number == old || number == new, "a key belongs into one of the halves");
            self.put(number, handle, tag);
        }
    }

    /// Moves all of the last bucket to the one that it was split from, and drops it.
    fn merge(&mut self) {
        let last = self.size.buckets - 1;
        let taken = self.take(last);
        self.size = Size::of(last);
        let into = last - (1 << last.ilog2());
        for (handle, tag) in taken.iter() {
            self.put(into, handle, tag);
        }
        // A segment goes when the next smaller one is no more than half in use, so that a table which stays about the
        // same size does not map and unmap it again and again.
        let (segment, offset) = bucket_position(last);
        if segment + 1 < self.segments.len() && offset <= self.segments[segment].len() / 2 {
            self.segments.truncate(segment + 1);
        }
    }

    /// Empties a bucket.
    fn take(&mut self, number: u32) -> Taken {
        let bucket = std::mem::replace(self.bucket_mut(number), Bucket::EMPTY);
        let mut taken = Taken { slots: [(0, 0); TAKEN_INLINE], len: 0, rest: Vec::new() };
        self.for_each(&bucket, |handle, tag| taken.push(handle, tag));
        let mut node = bucket.overflow;
        while node != 0 {
            node = self.nodes.free(node);
        }
        taken
    }

    #[inline]
    fn for_each(&self, bucket: &Bucket, mut each: impl FnMut(u32, u8)) {
        for slot in (0..BUCKET_SLOTS).filter(|slot| bucket.tag(*slot) != 0) {
            each(bucket.handle(slot), bucket.tag(slot));
        }
        let mut number = bucket.overflow;
        while number != 0 {
            let node = self.nodes.get(number);
            for slot in 0..node.used() {
                each(node.handles[slot], node.tags[slot]);
            }
            number = node.next;
        }
    }

    fn map_first_segment(&mut self) {
        if self.segments.is_empty() {
            self.segments.push(Mapped::new(FIRST_SEGMENT_BUCKETS as usize));
        }
    }

    #[inline]
    fn bucket(&self, number: u32) -> Option<&Bucket> {
        let (segment, offset) = bucket_position(number);
        self.segments.get(segment)?.get(offset)
    }

    #[inline]
    fn bucket_mut(&mut self, number: u32) -> &mut Bucket {
        let (segment, offset) = bucket_position(number);
        &mut self.segments[segment][offset]
    }
}

/// So many handles are this part of the slots of so many buckets.
fn handles(percent: u64, buckets: u32) -> usize {
    (u64::from(buckets) * BUCKET_SLOTS as u64 * percent / 100) as usize
}

/// A number of buckets, and what a place's bucket is found by: a lookup would else work it out three times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// At least 1, even while there is no segment yet.
    pub(super) buckets: u32,
    /// As many low bits as the largest bucket's number has, or one more: see the file's header.
    pub(super) mask: u32,
}

impl Size {
    pub(super) const fn of(buckets: u32) -> Self {
        Self { buckets, mask: (2 << buckets.ilog2()) - 1 }
    }

    /// The bucket of a place.
    #[inline]
    pub(super) fn bucket_number(self, place: u64) -> u32 {
        // The cast keeps the low bits, of which there are enough: a table has less than 2^31 buckets.
        let number = place as u32 & self.mask;
        if number < self.buckets { number } else { number & (self.mask >> 1) }
    }
}

/// The segment of a bucket, and its index there.
#[inline]
pub(super) fn bucket_position(number: u32) -> (usize, usize) {
    const FIRST_BITS: u32 = FIRST_SEGMENT_BUCKETS.ilog2();
    if number < FIRST_SEGMENT_BUCKETS {
        return (0, number as usize);
    }
    let bits = number.ilog2();
    ((bits - FIRST_BITS + 1) as usize, (number - (1 << bits)) as usize)
}

/// How many bits of a place a bucket goes by.
fn place_bits(number: u32, buckets: u32) -> u32 {
    let bits = buckets.ilog2();
    let whole = 1 << bits;
    if number >= whole || number < buckets - whole { bits + 1 } else { bits }
}

/// What was in a bucket; nearly always few enough to need no allocation.
struct Taken {
    slots: [(u32, u8); TAKEN_INLINE],
    len: usize,
    rest: Vec<(u32, u8)>,
}

const TAKEN_INLINE: usize = BUCKET_SLOTS + 5 * NODE_SLOTS;

impl Taken {
    fn push(&mut self, handle: u32, tag: u8) {
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = (handle, tag);
            self.len += 1;
        } else {
            self.rest.push((handle, tag));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u8)> {
        self.slots[..self.len].iter().chain(&self.rest).copied()
    }
}

#[cfg(test)]
mod tests;
