//! Zeroed memory straight from the system: a range costs resident memory only where it has been touched, it never
//! moves, and any page of it can be given back without giving up its address.
//!
//! The general allocator is not used for these ranges because it clears recycled memory by writing to it, which would
//! touch (and so cost) the whole range at once and make the insert that needs it stall.
#![allow(unsafe_code, reason = "the one place that maps memory and hands it out as a slice")]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

/// The granularity in which memory can be given back, where the system's own pages are no larger: see
/// [`Mapped::give_back`].
pub(super) const SYSTEM_PAGE_BYTES: usize = 4096;

/// Types that may be read from zeroed memory.
///
/// # Safety
/// All-zero bytes are a valid value, the type has no padding or destructor, and its alignment divides
/// [`SYSTEM_PAGE_BYTES`].
pub(super) unsafe trait Zeroed: Copy {}

// SAFETY: a plain integer.
unsafe impl Zeroed for u8 {}

/// An owned slice of zeroed, lazily touched memory, aligned to [`SYSTEM_PAGE_BYTES`].
pub(super) struct Mapped<T: Zeroed> {
    start: NonNull<T>,
    len: usize,
    /// What it is a piece of; none if it has a mapping of its own.
    block: Option<Arc<Block>>,
}

// SAFETY: it owns its memory like a `Box<[T]>`.
unsafe impl<T: Zeroed + Send> Send for Mapped<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Zeroed + Sync> Sync for Mapped<T> {}

impl<T: Zeroed> Mapped<T> {
    /// Maps `len` zeroed elements.
    ///
    /// # Panics
    /// When the system has no memory left, as an allocation would.
    pub(super) fn new(len: usize) -> Self {
        let bytes = len.checked_mul(size_of::<T>()).expect("a range is far smaller than the address space");
        let start = system::map(bytes).cast();
        Self { start, len, block: None }
    }

    /// Gives the memory of these elements back to the system. They read as zeros or as before afterwards, and cost
    /// resident memory again from the next write. Of a huge page it no longer counts as resident, but the system makes
    /// use of it only when it is short of memory. Where the system's pages are larger, on some arm64, it stays.
    pub(super) fn give_back(&mut self, range: Range<usize>) {
        let elements = &mut self[range];
        let bytes = size_of_val(elements);
        if goes_alone(bytes, system::page_bytes()) {
            // SAFETY: the memory is mapped, exclusively borrowed and whole system pages, if it begins with one; if not,
            // the system refuses. Zeros are a valid value of T.
            unsafe { system::give_back(NonNull::from(elements).cast(), bytes) };
        }
    }
}

impl<T: Zeroed> Deref for Mapped<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were mapped at `start`, all initialised (zeroed), and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> DerefMut for Mapped<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> Drop for Mapped<T> {
    fn drop(&mut self) {
        if self.block.is_none() {
            // SAFETY: mapped in `new` with this size, and nobody can hold a borrow any more.
            unsafe { system::unmap(self.start.cast(), self.len * size_of::<T>()) };
        }
    }
}

/// Whether giving back `bytes` frees just these: the kernel rounds up to its own pages, and would take the neighbours
/// too.
fn goes_alone(bytes: usize, page_bytes: usize) -> bool {
    bytes.is_multiple_of(page_bytes)
}

/// Bytes of a huge page: what one entry of the processor's address translation covers then, instead of 4 KiB.
pub(super) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// A mapping as large as a huge page. It goes with the last of its pieces: each with a mapping of its own, those that
/// go before their neighbours would leave holes, and the system allows a process some 65,000 mappings only.
struct Block {
    start: NonNull<c_void>,
}

// SAFETY: it only owns the mapping; what is in it belongs to the pieces.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: mapped with this size, and no piece is left.
        unsafe { system::unmap(self.start, HUGE_PAGE_BYTES) };
    }
}

/// The pieces of a block that have not been handed out.
pub(super) struct Pieces {
    block: Arc<Block>,
    piece_bytes: usize,
    taken: usize,
}

impl Pieces {
    /// Maps a huge page, if the system has one to give, and touches it, for which the system clears all of it: a matter
    /// of 0.1 to 10 ms. None if there is no memory, or no such thing on this system.
    pub(super) fn of_huge_page(piece_bytes: usize) -> Option<Self> {
        system::map_huge_page(HUGE_PAGE_BYTES).map(|start| Self::of(start, piece_bytes))
    }

    /// Maps as much in small pages, which cost nothing before they are touched.
    ///
    /// # Panics
    /// As [`Mapped::new`] does.
    pub(super) fn of_small_pages(piece_bytes: usize) -> Self {
        Self::of(system::map_small_pages(HUGE_PAGE_BYTES), piece_bytes)
    }

    fn of(start: NonNull<c_void>, piece_bytes: usize) -> Self {
        assert!(piece_bytes.is_multiple_of(SYSTEM_PAGE_BYTES) && HUGE_PAGE_BYTES.is_multiple_of(piece_bytes));
        Self { block: Arc::new(Block { start }), piece_bytes, taken: 0 }
    }
}

impl Iterator for Pieces {
    type Item = Mapped<u8>;

    fn next(&mut self) -> Option<Mapped<u8>> {
        let offset = self.taken * self.piece_bytes;
        if offset == HUGE_PAGE_BYTES {
            return None;
        }
        self.taken += 1;
        // SAFETY: the offset is within the mapping. `taken` only grows, so each piece is handed out once, and none
        // overlaps another: whoever gets it is its only owner.
        let start = unsafe { self.block.start.cast().byte_add(offset) };
        Some(Mapped { start, len: self.piece_bytes, block: Some(Arc::clone(&self.block)) })
    }
}

/// The calls themselves.
#[cfg(not(miri))]
mod system {
    use std::ffi::c_void;
    use std::ptr::{self, NonNull};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    pub(super) fn page_bytes() -> usize {
        rustix::param::page_size()
    }

    pub(super) fn map(bytes: usize) -> NonNull<c_void> {
        // SAFETY: a fresh private mapping at an address the kernel picks touches no existing memory.
        let mapped =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        match mapped {
            Ok(start) => NonNull::new(start).expect("mmap does not return null"),
            Err(error) => panic!("cannot map {bytes} bytes for the keyspace: {error}"),
        }
    }

    /// Maps memory that the system never makes a huge page of: it would be resident as a whole.
    pub(super) fn map_small_pages(bytes: usize) -> NonNull<c_void> {
        let start = map(bytes);
        // SAFETY: it was just mapped. Refused, there are no huge pages.
        let _refused = unsafe { madvise(start.as_ptr(), bytes, Advice::LinuxNoHugepage) };
        start
    }

    /// Maps one page of this size, a power of two, and has it cleared at once. The system makes one mapping of such
    /// neighbours, and of those of [`map_small_pages`].
    pub(super) fn map_huge_page(bytes: usize) -> Option<NonNull<c_void>> {
        // Only aligned memory can be a huge page: of twice as much, what lies around it goes again.
        // SAFETY: as in `map`.
        let mapped = unsafe {
            mmap_anonymous(ptr::null_mut(), 2 * bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let all = NonNull::new(mapped.ok()?).expect("mmap does not return null");
        // Both halves may be aligned: the upper one has the mapping before this one for a neighbour.
        let before = match all.cast::<u8>().align_offset(bytes) {
            0 => bytes,
            before => before,
        };
        // SAFETY: all three parts lie within the mapping, and nobody knows of it yet.
        unsafe {
            let start = all.byte_add(before);
            unmap(all, before);
            if before < bytes {
                unmap(start.byte_add(bytes), bytes - before);
            }
            // It becomes a part of its neighbour while nothing else distinguishes the two.
            let _refused = madvise(start.as_ptr(), bytes, Advice::LinuxNoHugepage);
            // Asked for this touch only. Later the system would make huge pages again of those of which parts
            // have been given back, and these parts resident. Refused, it is many small pages: as good, if slower.
            let _refused = madvise(start.as_ptr(), bytes, Advice::LinuxHugepage);
            start.cast::<u8>().write_volatile(0);
            let _refused = madvise(start.as_ptr(), bytes, Advice::LinuxNoHugepage);
            Some(start)
        }
    }

    /// Lets the system have the memory of a range, which stays mapped, and may read as zeros from now on.
    ///
    /// # Safety
    /// The range is mapped and the caller's alone, zeros are a valid value of what is in it, and `bytes` are whole
    /// pages: the system rounds them up.
    pub(super) unsafe fn give_back(start: NonNull<c_void>, bytes: usize) {
        // An error only means that the memory stays resident.
        // SAFETY: the caller owns this mapped range and accepts its being zeroed.
        let _kept: rustix::io::Result<()> = unsafe { madvise(start.as_ptr(), bytes, Advice::LinuxDontNeed) };
    }

    /// Takes a range out of the address space.
    ///
    /// # Safety
    /// The range is a whole mapping, or whole pages of one, and nobody uses it from now on.
    pub(super) unsafe fn unmap(start: NonNull<c_void>, bytes: usize) {
        // An error (the limit of mappings reached by splitting one) leaks the range: nothing better is left to do.
        // SAFETY: the caller owns this mapped range and will not use it again.
        let _leaked: rustix::io::Result<()> = unsafe { munmap(start.as_ptr(), bytes) };
    }
}

/// What stands for the calls under Miri: the allocator.
#[cfg(miri)]
mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
    use std::ffi::c_void;
    use std::ptr::NonNull;

    pub(super) fn page_bytes() -> usize {
        super::SYSTEM_PAGE_BYTES
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, super::SYSTEM_PAGE_BYTES).expect("a range is far smaller than the address space")
    }

    pub(super) fn map(bytes: usize) -> NonNull<c_void> {
        assert!(bytes > 0, "an empty range is never mapped");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout(bytes)) };
        NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout(bytes))).cast()
    }

    pub(super) fn map_small_pages(bytes: usize) -> NonNull<c_void> {
        map(bytes)
    }

    pub(super) fn map_huge_page(_bytes: usize) -> Option<NonNull<c_void>> {
        None
    }

    /// Keeps the memory.
    ///
    /// # Safety
    /// It does nothing; the other one asks for more.
    pub(super) unsafe fn give_back(_start: NonNull<c_void>, _bytes: usize) {}

    /// Takes a range out of the address space.
    ///
    /// # Safety
    /// The range is what one call of [`map`] returned, all of it, and nobody uses it from now on.
    pub(super) unsafe fn unmap(start: NonNull<c_void>, bytes: usize) {
        // SAFETY: allocated in `map` with this layout.
        unsafe { dealloc(start.as_ptr().cast(), layout(bytes)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_starts_zeroed_and_page_aligned_and_survives_being_given_back() {
        let mut memory = Mapped::<u8>::new(4 * SYSTEM_PAGE_BYTES);
        assert_eq!(memory.as_ptr().align_offset(SYSTEM_PAGE_BYTES), 0);
        assert!(memory.iter().all(|byte| *byte == 0));
        memory.fill(7);
        memory.give_back(SYSTEM_PAGE_BYTES..2 * SYSTEM_PAGE_BYTES);
        assert!(memory[..SYSTEM_PAGE_BYTES].iter().all(|byte| *byte == 7));
        assert!(memory[SYSTEM_PAGE_BYTES..2 * SYSTEM_PAGE_BYTES].iter().all(|byte| *byte == 0 || *byte == 7));
        memory[SYSTEM_PAGE_BYTES] = 9;
        assert_eq!(memory[SYSTEM_PAGE_BYTES], 9);
    }

    #[test]
    fn what_is_less_than_the_systems_pages_stays() {
        let given_back = |page_bytes: usize| goes_alone(SYSTEM_PAGE_BYTES, page_bytes);
        assert_eq!([4096, 16384, 65536].map(given_back), [true, false, false], "its neighbours would go with it");
        assert!(goes_alone(HUGE_PAGE_BYTES, 65536));
    }

    #[test]
    #[cfg(not(miri))]
    fn pieces_of_a_huge_page_are_apart_and_outlive_it() {
        const PIECE_BYTES: usize = HUGE_PAGE_BYTES / 4;
        let mut pieces: Vec<Mapped<u8>> = Pieces::of_huge_page(PIECE_BYTES).expect("a mapping").collect();
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[0].as_ptr().align_offset(HUGE_PAGE_BYTES), 0);
        for (number, piece) in pieces.iter_mut().enumerate() {
            assert!(piece.iter().all(|byte| *byte == 0));
            piece.fill(number as u8 + 1);
        }
        let page = ..system::page_bytes();
        pieces[1].give_back(0..page.end);
        assert!(pieces[1][page].iter().all(|byte| *byte == 0));
        assert!(pieces[1][page.end..].iter().all(|byte| *byte == 2));
        pieces.swap_remove(0);
        for (piece, byte) in pieces.iter().zip([4, 2, 3]) {
            assert!(piece[page.end..].iter().all(|found| *found == byte));
        }
    }

    /// How many mappings of the process these places lie in.
    #[cfg(not(miri))]
    fn mappings_of<'a>(memory: impl Iterator<Item = &'a Mapped<u8>>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the system tells");
        let ranges: Vec<(usize, usize)> = maps
            .lines()
            .map(|line| {
                let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
                let address = |text| usize::from_str_radix(text, 16).expect("an address");
                (address(start), address(end))
            })
            .collect();
        let holding = |place: usize| ranges.iter().position(|(start, end)| (*start..*end).contains(&place));
        let found: std::collections::BTreeSet<_> =
            memory.map(|piece| holding(piece.as_ptr().addr()).expect("it is mapped")).collect();
        found.len()
    }

    /// A process may have 65,530 by default, and without a free one no memory is to be had any more. Other threads map
    /// theirs in between.
    #[test]
    #[cfg(not(miri))]
    fn blocks_lie_in_few_mappings_also_when_many_pieces_are_gone() {
        const BLOCKS: usize = 32;
        const PIECE_BYTES: usize = HUGE_PAGE_BYTES / 32;
        let huge: Vec<Mapped<u8>> =
            (0..BLOCKS).flat_map(|_| Pieces::of_huge_page(PIECE_BYTES).expect("a mapping")).collect();
        assert!(mappings_of(huge.iter()) <= BLOCKS / 2, "{}", mappings_of(huge.iter()));
        let small: Vec<Mapped<u8>> = (0..BLOCKS).flat_map(|_| Pieces::of_small_pages(PIECE_BYTES)).collect();
        let kept: Vec<Mapped<u8>> = small.into_iter().step_by(2).collect();
        assert!(mappings_of(kept.iter()) <= BLOCKS / 2, "{}", mappings_of(kept.iter()));
    }
}
