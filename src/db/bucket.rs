//! One cache line of the table: twelve slots, and the link to the slots that did not fit.
//!
//! ```text
//! byte 0                    48          60            64
//!      [ 12 handles, 4 each ][ 12 tags  ][ overflow   ]
//! ```
//! A slot is in use if its tag is not 0. All zeros is an empty bucket.
#![allow(unsafe_code, reason = "declares the bucket to be readable from zeroed memory")]

use super::memory::Zeroed;

/// Slots of a bucket: what fits into a cache line beside the link.
pub(super) const BUCKET_SLOTS: usize = 12;

/// See the file's header.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    handles: [u32; BUCKET_SLOTS],
    tags: [u8; BUCKET_SLOTS],
    /// The first overflow node, numbered from 1; 0 is none.
    pub(super) overflow: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is one cache line without padding");

// SAFETY: integers only, 64 bytes without padding (asserted above), alignment 64.
unsafe impl Zeroed for Bucket {}

impl Bucket {
    pub(super) const EMPTY: Self = Self { handles: [0; BUCKET_SLOTS], tags: [0; BUCKET_SLOTS], overflow: 0 };

    #[inline]
    pub(super) fn handle(&self, slot: usize) -> u32 {
        self.handles[slot]
    }

    #[inline]
    pub(super) fn tag(&self, slot: usize) -> u8 {
        self.tags[slot]
    }

    #[inline]
    pub(super) fn put(&mut self, slot: usize, handle: u32, tag: u8) {
        self.handles[slot] = handle;
        self.tags[slot] = tag;
    }

    /// The slots that bear `tag`, and now and then one that does not: the caller compares keys anyway.
    #[inline]
    pub(super) fn candidates(&self, tag: u8) -> Candidates {
        let (low, high) = self.tag_words();
        let high = zero_bytes(high ^ repeated(tag)) & HIGH_SLOTS;
        Candidates(zero_bytes(low ^ repeated(tag)) >> LOW_SHIFT | high >> HIGH_SHIFT)
    }

    /// A slot that is not in use.
    #[inline]
    pub(super) fn free_slot(&self) -> Option<usize> {
        // The first hit is exact: a false one only ever follows a true one.
        self.candidates(0).next()
    }

    /// The tags of the slots 0 to 7, and of 8 to 11.
    #[inline]
    fn tag_words(&self) -> (u64, u64) {
        let low = self.tags.first_chunk().expect("the first eight of twelve");
        let high = self.tags.last_chunk().expect("the last four of twelve");
        (u64::from_le_bytes(*low), u64::from(u32::from_le_bytes(*high)))
    }
}

/// The part of the high word that is slots.
const HIGH_SLOTS: u64 = 0xFFFF_FFFF;

#[inline]
fn repeated(byte: u8) -> u64 {
    u64::from(byte) * 0x0101_0101_0101_0101
}

/// The high bit of each byte of `word` that is 0, and sometimes of a byte of 1 that follows one
/// (Hacker's Delight, 6-1).
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeated(1)) & !word & repeated(0x80)
}

/// Slots to look at: bit `8 * n` is slot `n`, bit `8 * n + 4` is slot `8 + n`. In one word, so that which of the two it
/// is takes no branch, which could not be foreseen.
pub(super) struct Candidates(u64);

/// From where [`zero_bytes`] has a slot to where [`Candidates`] has it.
const LOW_SHIFT: u32 = 7;
const HIGH_SHIFT: u32 = 3;

impl Iterator for Candidates {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit / 8 + bit % 8 * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_include_every_slot_with_the_tag() {
        for tag in (1..=u8::MAX).step_by(if cfg!(miri) { 100 } else { 2 }) {
            for slots in (0..1_u32 << BUCKET_SLOTS).step_by(if cfg!(miri) { 99 } else { 1 }) {
                // Other tags differ in one bit, the hardest neighbours for the arithmetic.
                let mut bucket = Bucket::EMPTY;
                for slot in 0..BUCKET_SLOTS {
                    bucket.put(slot, 0, if slots >> slot & 1 == 1 { tag } else { tag ^ 1 });
                }
                let found = bucket.candidates(tag).fold(0_u32, |found, slot| found | 1 << slot);
                assert_eq!(found & slots, slots);
                if slots == 0 {
                    assert_eq!(found, 0);
                }
            }
        }
    }

    #[test]
    fn the_free_slot_is_free() {
        for used in 0..1_u32 << BUCKET_SLOTS {
            let mut bucket = Bucket::EMPTY;
            for slot in (0..BUCKET_SLOTS).filter(|slot| used >> slot & 1 == 1) {
                bucket.put(slot, 3, 1);
            }
            match bucket.free_slot() {
                Some(slot) => assert!(slot < BUCKET_SLOTS && used >> slot & 1 == 0, "slot {slot} of {used:b}"),
                None => assert_eq!(used.count_ones() as usize, BUCKET_SLOTS),
            }
        }
    }
}
