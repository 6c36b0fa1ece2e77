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

/// Slots of an overflow node: most overflowing buckets miss one to four.
const NODE_SLOTS: usize = 4;
/// Nodes that are allocated at once.
const CHUNK_NODES: usize = 128;

/// Slots that did not fit into a bucket, in use from the first on.
#[derive(Clone, Copy)]
struct Node {
    handles: [u32; NODE_SLOTS],
    /// 0 is an unused slot.
    tags: [u8; NODE_SLOTS],
    /// The next node of the bucket (or free node), numbered from 1; 0 is none.
    next: u32,
}

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

    /// Calls `soon` for what is probably the handle under this hash, if the bucket itself tells; if it must be in one of
    /// the bucket's nodes, loads the first of these into the cache and returns true: [`Table::glance_behind`] goes on.
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

    /// Makes room for so many handles in all, at once: each that comes later then is put into its bucket for good, where
    /// in a table that grows along with them it is hashed again and again. The closures are those of [`Table::insert`].
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

impl Node {
    const EMPTY: Self = Self { handles: [0; NODE_SLOTS], tags: [0; NODE_SLOTS], next: 0 };

    fn used(&self) -> usize {
        self.tags.iter().position(|tag| *tag == 0).unwrap_or(NODE_SLOTS)
    }
}

/// The overflow nodes of a table, numbered from 1, in chunks so that growth copies nothing.
struct Nodes {
    chunks: Vec<Box<[Node]>>,
    free: u32,
    /// Nodes ever in use.
    fresh: u32,
    len: u32,
}

impl Nodes {
    const fn new() -> Self {
        Self { chunks: Vec::new(), free: 0, fresh: 0, len: 0 }
    }

    fn bytes(&self) -> usize {
        self.chunks.len() * size_of::<[Node; CHUNK_NODES]>()
    }

    #[inline]
    fn get(&self, number: u32) -> &Node {
        let index = number as usize - 1;
        &self.chunks[index / CHUNK_NODES][index % CHUNK_NODES]
    }

    fn get_mut(&mut self, number: u32) -> &mut Node {
        let index = number as usize - 1;
        &mut self.chunks[index / CHUNK_NODES][index % CHUNK_NODES]
    }

    /// An empty node with this one after it.
    fn allocate(&mut self, next: u32) -> u32 {
        self.len += 1;
        let mut number = self.free;
        if number != 0 {
            self.free = self.get(number).next;
        } else {
            if self.fresh as usize == self.chunks.len() * CHUNK_NODES {
                self.chunks.push(vec![Node::EMPTY; CHUNK_NODES].into_boxed_slice());
            }
            self.fresh += 1;
            number = self.fresh;
        }
        *self.get_mut(number) = Node { next, ..Node::EMPTY };
        number
    }

    /// Frees a node and tells which came after it. The last one takes all memory with it.
    fn free(&mut self, number: u32) -> u32 {
        let free = self.free;
        let next = std::mem::replace(&mut self.get_mut(number).next, free);
        self.free = number;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::KeyHasher;
    use super::*;

    /// A table whose handles are numbers that hash by themselves.
    struct Numbers {
        table: Table,
        hasher: KeyHasher,
    }

    impl Numbers {
        fn new(kept_bits: u64) -> Self {
            Self { table: Table::new(), hasher: KeyHasher::colliding([1, 2, 3, 4], kept_bits) }
        }

        fn insert(&mut self, number: u32) {
            let Self { table, hasher } = self;
            table.insert(hash(hasher, number), number, |_| {}, |other| hash(hasher, other));
        }

        /// Inserts the numbers below `count`.
        fn fill(&mut self, count: u32) {
            for number in 0..count {
                self.insert(number);
            }
        }

        fn contains(&self, number: u32) -> bool {
            self.table.find(hash(&self.hasher, number), |handle| handle == number).is_some()
        }

        fn remove(&mut self, number: u32) -> bool {
            let found = self.table.find(hash(&self.hasher, number), |handle| handle == number);
            found.map(|spot| self.table.remove(spot)).is_some()
        }
    }

    fn hash(hasher: &KeyHasher, number: u32) -> KeyHash {
        hasher.hash(&number.to_le_bytes())
    }

    #[test]
    fn it_grows_to_many_and_shrinks_to_nothing() {
        let count = if cfg!(miri) { 2_000 } else { 200_000 };
        let mut numbers = Numbers::new(u64::MAX);
        numbers.fill(count);
        assert!((0..count).all(|number| numbers.contains(number)));
        assert!(!(count..2 * count).any(|number| numbers.contains(number)));
        let bytes_per_key = numbers.table.bytes() as f64 / f64::from(count);
        assert!(bytes_per_key < 9.5, "{bytes_per_key} bytes");
        for number in 0..count {
            assert!(numbers.remove(number));
            assert!(!numbers.remove(number));
            if number % 1009 == 0 {
                assert!((number + 1..count).step_by(97).all(|other| numbers.contains(other)));
            }
        }
        assert_eq!((numbers.table.len(), numbers.table.size.buckets), (0, 1));
        assert!(numbers.table.segments.len() <= 2 && numbers.table.nodes.bytes() == 0);
    }

    #[test]
    fn room_made_ahead_changes_nothing_but_the_moment_of_growth() {
        let count = if cfg!(miri) { 2_000 } else { 50_000 };
        let mut grown = Numbers::new(u64::MAX);
        grown.fill(count);
        for (filled, reserved) in [(0, count), (count / 3, count), (100, 4 * count), (count, 10 * count), (0, 10)] {
            let mut numbers = Numbers::new(u64::MAX);
            numbers.fill(filled);
            let Numbers { table, hasher } = &mut numbers;
            table.reserve(reserved as usize, |_| {}, |other| hash(hasher, other));
            let roomy = table.size.buckets;
            assert!(roomy >= reserved * 4 / 3 / BUCKET_SLOTS as u32, "{roomy} buckets for {reserved}");
            (filled..count).for_each(|number| numbers.insert(number));
            assert_eq!(numbers.table.size.buckets, roomy.max(grown.table.size.buckets), "no more than was needed");
            numbers.table.trim();
            assert_eq!(numbers.table.size.buckets, grown.table.size.buckets);
            assert_eq!(numbers.table.segments.len(), grown.table.segments.len());
            assert!((0..count).all(|number| numbers.contains(number)));
            assert!(!numbers.contains(count));
            (count..2 * count).for_each(|number| numbers.insert(number));
            assert!((0..2 * count).all(|number| numbers.contains(number)), "in what was given back, too");
        }
        let mut empty = Numbers::new(u64::MAX);
        empty.table.trim();
        empty.table.reserve(1_000, |_| {}, |_| unreachable!("there is none"));
        empty.table.trim();
        assert_eq!(empty.table.size.buckets, 1);
    }

    #[test]
    fn a_glance_names_the_handle_or_sends_to_the_nodes() {
        /// One bucket for all, with tags that tell them apart.
        const TAGS_ONLY: u64 = 0xFF << PLACE_BITS;
        let mut numbers = Numbers::new(TAGS_ONLY);
        numbers.fill(40);
        let mut sent = 0;
        for number in 0..40 {
            let hash = hash(&numbers.hasher, number);
            let tag_of = |other| self::hash(&numbers.hasher, other).tag();
            let mut named = Vec::new();
            if numbers.table.glance(hash, |handle| named.push(handle)) {
                assert!(named.is_empty());
                numbers.table.glance_behind(hash, |handle| named.push(handle));
                sent += 1;
                assert!(named.contains(&number));
            }
            // Another one of this tag in the bucket itself may come before one in a node.
            assert!(named.iter().any(|other| tag_of(*other) == hash.tag()));
        }
        assert!(sent > 0);
    }

    #[test]
    fn equal_hashes_only_make_a_long_chain() {
        let mut numbers = Numbers::new(0);
        numbers.fill(500);
        assert!((0..500).all(|number| numbers.contains(number)));
        assert!(!numbers.contains(500));
        assert!((0..500).step_by(2).all(|number| numbers.remove(number)));
        assert!((0..500).all(|number| numbers.contains(number) == (number % 2 == 1)));
        let mut walked = 0;
        let mut position = Some(0);
        while let Some(at) = position {
            position = numbers.table.walk(at, |_| walked += 1);
        }
        assert_eq!(walked, 250);
        assert!((1..500).step_by(2).all(|number| numbers.remove(number)));
        assert_eq!(numbers.table.nodes.bytes(), 0);
    }

    #[test]
    fn a_walk_meets_all_that_stays_while_the_table_grows_and_shrinks() {
        let stable = 1_000_u32;
        for (start, end) in [(0, 30_000), (30_000, 0), (5_000, 5_000)] {
            let mut numbers = Numbers::new(u64::MAX);
            numbers.fill(stable + start);
            let mut others = stable + start;
            let mut met = std::collections::HashSet::new();
            let mut position = Some(0);
            while let Some(at) = position {
                position = numbers.table.walk(at, |handle| _ = met.insert(handle));
                for _ in 0..20 {
                    if others < stable + end {
                        numbers.insert(others);
                        others += 1;
                    } else if others > stable + end {
                        others -= 1;
                        assert!(numbers.remove(others));
                    }
                }
            }
            assert!((0..stable).all(|number| met.contains(&number)), "from {start} to {end} others");
        }
    }

    #[test]
    fn a_walk_of_an_unchanging_table_meets_everything_once() {
        for count in [0, 1, 100, 2_500, 6_000] {
            let mut numbers = Numbers::new(u64::MAX);
            numbers.fill(count);
            let mut met = Vec::new();
            let (mut position, mut buckets) = (Some(0), 0);
            while let Some(at) = position {
                position = numbers.table.walk(at, |handle| met.push(handle));
                buckets += 1;
            }
            assert_eq!(buckets, numbers.table.size.buckets);
            met.sort_unstable();
            assert!(met.into_iter().eq(0..count));
        }
    }

    #[test]
    fn buckets_and_segments_are_numbered_without_gaps() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(bucket_position(number), expected);
            let len = (FIRST_SEGMENT_BUCKETS as usize) << expected.0.saturating_sub(1);
            expected = if expected.1 + 1 == len { (expected.0 + 1, 0) } else { (expected.0, expected.1 + 1) };
        }
        for buckets in 1..300 {
            for place in 0..600 {
                let number = Size::of(buckets).bucket_number(place);
                assert!(number < buckets);
                assert_eq!(u64::from(number), place & ((1 << place_bits(number, buckets)) - 1));
            }
        }
    }

    #[test]
    fn every_handle_is_drawn_about_as_often() {
        let mut numbers = Numbers::new(u64::MAX);
        numbers.fill(100);
        let mut drawn = [0_u32; 100];
        let mut random = 1_u64;
        for _ in 0..400_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if let Some(handle) = numbers.table.probe(random ^ random >> 32) {
                drawn[handle as usize] += 1;
            }
        }
        let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*least > 0 && most / least < 2, "{least} to {most} times");
    }
}
