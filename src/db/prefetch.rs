//! Asks the processor to load a cache line that will be read soon. A hint: the address is never dereferenced, so it may
//! be stale or nonsense.
#![allow(unsafe_code, reason = "the prefetch instruction takes a raw pointer")]

/// Loads the cache line of `address` into the first-level cache, without waiting for it.
#[inline]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction has no effect but on the cache and does not fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        // SAFETY: the instruction has no effect but on the cache and does not fault, whatever the address.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
        }
    }
    #[cfg(any(not(any(target_arch = "x86_64", target_arch = "aarch64")), miri))]
    let _ = address;
}

/// Cache lines of an entry that are loaded. Entries start anywhere in a line: one of 82 bytes lies on two or three.
/// With 1, 2, 3, 4 lines a GET of such entries took 155, 115, 95, 97 ns.
const ENTRY_LINES: usize = 3;

/// Loads the entry that starts at `slot`.
#[inline]
pub(super) fn prefetch_entry(slot: *const u8) {
    for line in 0..ENTRY_LINES {
        prefetch(slot.wrapping_add(line * 64));
    }
}

/// Entries to load at once. A load waits for its address translation, and so does what follows it when the processor
/// can look no further ahead: with nothing else in between, the translations of a dozen entries overlap.
pub(super) struct EntriesSoon {
    slots: [*const u8; Self::MAX],
    len: usize,
}

impl Default for EntriesSoon {
    fn default() -> Self {
        Self { slots: [std::ptr::null(); Self::MAX], len: 0 }
    }
}

impl EntriesSoon {
    /// Rarely more than one for each key of a group.
    const MAX: usize = 2 * super::ahead::GROUP;

    /// Notes an entry; one too many is left out.
    #[inline]
    pub(super) fn add(&mut self, slot: *const u8) {
        if let Some(place) = self.slots.get_mut(self.len) {
            *place = slot;
            self.len += 1;
        }
    }

    /// Loads them.
    #[inline]
    pub(super) fn load(&self) {
        self.slots[..self.len].iter().for_each(|slot| prefetch_entry(*slot));
    }
}
