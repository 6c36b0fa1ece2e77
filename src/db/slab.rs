//! The memory of a shard's entries: slots of some sixty sizes, found by 4-byte handles.
//!
//! Memory comes in regions of 16 pages. A page holds slots of one size; one that becomes empty serves any size again,
//! and more empty pages than a few give their memory back to the system. A slot is taken from the fullest page there
//! is, so that churn empties the others; where that does not suffice, the owner is told which page to empty
//! ([`Slab::sparse_page`]). Regions stay mapped until the slab is dropped, and what is known about a page lies apart
//! from it, so that looking for a free slot touches no page.
//!
//! The slab does not know what is in a slot, except that it links the free ones of a page through their first bytes.

mod class;

pub(super) use self::class::Class;
use self::class::{CLASSES, SLOT_BYTES_MIN};
use super::entry::ENTRY_BYTES_MAX;
use super::huge::{self, REGION_BYTES};
use super::memory::{Mapped, SYSTEM_PAGE_BYTES};

/// Handles count steps of this many bytes, and so reach 8 GiB in a shard.
const STEP_BYTES: usize = 2;
/// One system page, the unit that can be given back.
const PAGE_BYTES: usize = SYSTEM_PAGE_BYTES;
const PAGE_STEPS: u32 = (PAGE_BYTES / STEP_BYTES) as u32;
/// Pages of a region, which is what the system is asked for at once.
const REGION_PAGES: u32 = (REGION_BYTES / PAGE_BYTES) as u32;
/// The first regions of a slab are small pages, of which untouched ones cost address space only; the next ones, once
/// they cost little beside what is there, are parts of huge pages.
const SMALL_REGIONS: usize = 4;
const REGION_STEPS: u32 = REGION_PAGES * PAGE_STEPS;
const PAGES_MAX: u32 = u32::MAX / PAGE_STEPS;

/// Empty pages whose memory is kept for the next use: giving back and faulting in again takes the kernel about a
/// microsecond each. This many, or one for every [`PAGES_IN_USE_PER_IDLE`] in use if that is more.
const IDLE_PAGES_MIN: u32 = 4;
const PAGES_IN_USE_PER_IDLE: u32 = 128;

/// A class may have one page of free slots, and one more free slot for every so many in use; past that its sparsest
/// page is emptied. An emptying moves fewer entries than slots were freed since the last one.
const USED_SLOTS_PER_SPARE: u32 = 16;

/// Pages of a class that have both free and used slots are listed by how full they are.
const FULLNESSES: usize = 4;
/// Ends a list of pages.
const NO_PAGE: u32 = u32::MAX;
/// Ends the list of free slots of a page.
const NO_SLOT: u16 = u16::MAX;

/// What is known about a page.
#[derive(Clone, Copy)]
struct Page {
    class: Class,
    used_slots: u16,
    /// The first slot that was used and freed, in steps from the start of the page.
    free_slot: u16,
    /// The first slot that was never used, likewise; those after it are free too.
    fresh_slot: u16,
    /// The neighbours in the list that the page is on.
    previous: u32,
    next: u32,
}

impl Page {
    const EMPTY: Self =
        Self { class: Class(0), used_slots: 0, free_slot: NO_SLOT, fresh_slot: 0, previous: NO_PAGE, next: NO_PAGE };

    /// The list that the page belongs to; none if it is full.
    #[inline]
    fn fullness(&self) -> Option<usize> {
        let slots = self.class.slots();
        let quarter = slots / FULLNESSES as u16;
        let used = self.used_slots;
        (used < slots)
            .then(|| usize::from(used > quarter) + usize::from(used > 2 * quarter) + usize::from(used > 3 * quarter))
    }
}

struct Region {
    memory: Mapped<u8>,
    pages: Box<[Page; REGION_PAGES as usize]>,
}

/// See the file's header.
pub(super) struct Slab {
    regions: Vec<Region>,
    /// The first page never used: all from here on are untouched.
    fresh_page: u32,
    /// Empty pages that still have their memory, linked by `next`.
    idle_page: u32,
    idle_pages: u32,
    /// Empty pages without memory, linked by `next`.
    returned_page: u32,
    pages_in_use: u32,
    classes: [ClassPages; CLASSES],
}

/// The pages of a class.
#[derive(Clone, Copy)]
struct ClassPages {
    pages: u32,
    used_slots: u32,
    /// The first of the pages that have free slots, by fullness.
    partial: [u32; FULLNESSES],
}

impl ClassPages {
    const NONE: Self = Self { pages: 0, used_slots: 0, partial: [NO_PAGE; FULLNESSES] };
}

impl Slab {
    /// A slab without memory.
    pub(super) const fn new() -> Self {
        Self {
            regions: Vec::new(),
            fresh_page: 0,
            idle_page: NO_PAGE,
            idle_pages: 0,
            returned_page: NO_PAGE,
            pages_in_use: 0,
            classes: [ClassPages::NONE; CLASSES],
        }
    }

    /// Memory that the system counts as ours.
    pub(super) fn resident_bytes(&self) -> usize {
        let pages = (self.pages_in_use + self.idle_pages) as usize * PAGE_BYTES;
        pages + self.regions.len() * (size_of::<Region>() + size_of::<[Page; REGION_PAGES as usize]>())
    }

    /// The slot of a handle and what follows it in its region.
    #[inline]
    pub(super) fn slot(&self, handle: u32) -> &[u8] {
        let (region, offset_bytes) = place(handle);
        &self.regions[region].memory[offset_bytes..]
    }

    /// The slot of a handle, which is one of this class.
    #[inline]
    pub(super) fn slot_mut(&mut self, handle: u32, class: Class) -> &mut [u8] {
        debug_assert_eq!(self.page(handle / PAGE_STEPS).class, class);
        let (region, offset_bytes) = place(handle);
        &mut self.regions[region].memory[offset_bytes..][..class.bytes()]
    }

    /// Takes a slot. Its content is arbitrary.
    ///
    /// # Panics
    /// When 8 GiB are in use.
    pub(super) fn allocate(&mut self, class: Class) -> u32 {
        let pages = self.class_pages(class);
        pages.used_slots += 1;
        let fullest = pages.partial.iter().rposition(|page| *page != NO_PAGE);
        let (number, fullness) = match fullest {
            Some(fullness) => (pages.partial[fullness], fullness),
            None => (self.add_page(class), 0),
        };
        let page = self.page_mut(number);
        let first_step = number * PAGE_STEPS;
        page.used_slots += 1;
        let handle = if page.free_slot == NO_SLOT {
            let slot = page.fresh_slot;
            page.fresh_slot += class.steps();
            first_step + u32::from(slot)
        } else {
            let handle = first_step + u32::from(page.free_slot);
            self.page_mut(number).free_slot = self.next_free_slot(handle);
            handle
        };
        self.relist(number, Some(fullness));
        handle
    }

    /// Gives a slot back.
    pub(super) fn free(&mut self, handle: u32) {
        let number = handle / PAGE_STEPS;
        let page = self.page_mut(number);
        let fullness = page.fullness();
        let next = std::mem::replace(&mut page.free_slot, (handle % PAGE_STEPS) as u16);
        page.used_slots -= 1;
        let (class, emptied) = (page.class, page.used_slots == 0);
        self.class_pages(class).used_slots -= 1;
        if emptied {
            self.unlist(number, fullness);
            self.retire_page(number);
            return;
        }
        let (region, offset_bytes) = place(handle);
        self.regions[region].memory[offset_bytes..offset_bytes + 2].copy_from_slice(&next.to_le_bytes());
        self.relist(number, fullness);
    }

    /// A page to empty, if this class has more free slots than it should: its sparsest one. The caller moves what is in
    /// the slots to slots of [`Slab::allocate`], which takes none of this page from here on, and then calls
    /// [`Slab::drop_page`].
    #[inline]
    pub(super) fn sparse_page(&mut self, class: Class) -> Option<SparsePage> {
        let ClassPages { pages, used_slots, .. } = *self.class_pages(class);
        let slots = u32::from(class.slots());
        let free_slots = pages * slots - used_slots;
        (free_slots > slots + used_slots / USED_SLOTS_PER_SPARE).then(|| self.take_sparse_page(class))
    }

    #[cold]
    fn take_sparse_page(&mut self, class: Class) -> SparsePage {
        let partial = &self.class_pages(class).partial;
        let fullness = partial.iter().position(|page| *page != NO_PAGE).expect("free slots are on partial pages");
        let number = partial[fullness];
        self.unlist(number, Some(fullness));
        let page = self.page(number);
        let mut used = [true; PAGE_SLOTS_MAX];
        let mut free_slot = page.free_slot;
        while free_slot != NO_SLOT {
            used[(free_slot / class.steps()) as usize] = false;
            free_slot = self.next_free_slot(number * PAGE_STEPS + u32::from(free_slot));
        }
        SparsePage { number, class, used, fresh_slot: page.fresh_slot }
    }

    /// Takes a page whose slots have all been moved out of use.
    pub(super) fn drop_page(&mut self, page: &SparsePage) {
        self.class_pages(page.class).used_slots -= u32::from(self.page(page.number).used_slots);
        self.retire_page(page.number);
    }

    /// Copies a slot of a page that is being emptied to another slot, and tells which.
    pub(super) fn copy_slot(&mut self, from: u32, class: Class) -> u32 {
        let to = self.allocate(class);
        let mut slot = [0; ENTRY_BYTES_MAX];
        let slot = &mut slot[..class.bytes()];
        slot.copy_from_slice(&self.slot(from)[..class.bytes()]);
        self.slot_mut(to, class).copy_from_slice(slot);
        to
    }

    fn next_free_slot(&self, handle: u32) -> u16 {
        let (region, offset_bytes) = place(handle);
        let memory = &self.regions[region].memory;
        u16::from_le_bytes([memory[offset_bytes], memory[offset_bytes + 1]])
    }

    /// Moves a page to the list that it now belongs to.
    #[inline]
    fn relist(&mut self, number: u32, from: Option<usize>) {
        let to = self.page(number).fullness();
        if from != to {
            self.unlist(number, from);
            self.list(number, to);
        }
    }

    fn list(&mut self, number: u32, fullness: Option<usize>) {
        let Some(fullness) = fullness else { return };
        let class = self.page(number).class;
        let next = std::mem::replace(&mut self.class_pages(class).partial[fullness], number);
        let page = self.page_mut(number);
        page.previous = NO_PAGE;
        page.next = next;
        if next != NO_PAGE {
            self.page_mut(next).previous = number;
        }
    }

    fn unlist(&mut self, number: u32, fullness: Option<usize>) {
        let Some(fullness) = fullness else { return };
        let Page { class, previous, next, .. } = *self.page(number);
        if previous == NO_PAGE {
            self.class_pages(class).partial[fullness] = next;
        } else {
            self.page_mut(previous).next = next;
        }
        if next != NO_PAGE {
            self.page_mut(next).previous = previous;
        }
    }

    /// Puts an empty page into use and on the emptiest list of its class.
    fn add_page(&mut self, class: Class) -> u32 {
        let number = self.empty_page();
        *self.page_mut(number) = Page { class, ..Page::EMPTY };
        self.pages_in_use += 1;
        self.class_pages(class).pages += 1;
        self.list(number, Some(0));
        number
    }

    /// An empty page, preferably one that has its memory.
    fn empty_page(&mut self) -> u32 {
        if self.idle_page != NO_PAGE {
            let number = self.idle_page;
            self.idle_page = self.page(number).next;
            self.idle_pages -= 1;
            return number;
        }
        if self.returned_page != NO_PAGE {
            let number = self.returned_page;
            self.returned_page = self.page(number).next;
            return number;
        }
        let number = self.fresh_page;
        assert!(number < PAGES_MAX, "a shard holds at most 8 GiB of small entries");
        if number / REGION_PAGES == self.regions.len() as u32 {
            let huge = (self.regions.len() >= SMALL_REGIONS).then(huge::region).flatten();
            let memory = huge.unwrap_or_else(huge::small_region);
            self.regions.push(Region { memory, pages: Box::new([Page::EMPTY; REGION_PAGES as usize]) });
        }
        self.fresh_page += 1;
        number
    }

    /// Takes an empty page, already off its list, out of use.
    fn retire_page(&mut self, number: u32) {
        self.pages_in_use -= 1;
        let class = self.page(number).class;
        self.class_pages(class).pages -= 1;
        self.page_mut(number).next = std::mem::replace(&mut self.idle_page, number);
        self.idle_pages += 1;
        while self.idle_pages > IDLE_PAGES_MIN.max(self.pages_in_use / PAGES_IN_USE_PER_IDLE) {
            self.return_idle_page();
        }
    }

    /// Gives the memory of an idle page back to the system.
    fn return_idle_page(&mut self) {
        let number = self.idle_page;
        self.idle_page = self.page(number).next;
        self.idle_pages -= 1;
        let start = (number % REGION_PAGES) as usize * PAGE_BYTES;
        self.regions[(number / REGION_PAGES) as usize].memory.give_back(start..start + PAGE_BYTES);
        self.page_mut(number).next = std::mem::replace(&mut self.returned_page, number);
    }

    #[inline]
    fn class_pages(&mut self, class: Class) -> &mut ClassPages {
        &mut self.classes[class.0 as usize]
    }

    #[inline]
    fn page(&self, number: u32) -> &Page {
        &self.regions[(number / REGION_PAGES) as usize].pages[(number % REGION_PAGES) as usize]
    }

    #[inline]
    fn page_mut(&mut self, number: u32) -> &mut Page {
        &mut self.regions[(number / REGION_PAGES) as usize].pages[(number % REGION_PAGES) as usize]
    }
}

/// A page that is being emptied.
pub(super) struct SparsePage {
    number: u32,
    class: Class,
    used: [bool; PAGE_SLOTS_MAX],
    fresh_slot: u16,
}

const PAGE_SLOTS_MAX: usize = PAGE_BYTES / SLOT_BYTES_MIN;

impl SparsePage {
    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// The handles of its slots in use.
    pub(super) fn handles(&self) -> impl Iterator<Item = u32> {
        let steps = u32::from(self.class.steps());
        let slots = u32::from(self.fresh_slot) / steps;
        let first = self.number * PAGE_STEPS;
        let slots = (0..slots).filter(|slot| self.used[*slot as usize]);
        slots.map(move |slot| first + slot * steps)
    }
}

/// The region of a handle, and the bytes before its slot there.
#[inline]
fn place(handle: u32) -> (usize, usize) {
    ((handle / REGION_STEPS) as usize, (handle % REGION_STEPS) as usize * STEP_BYTES)
}

#[cfg(test)]
mod tests;
