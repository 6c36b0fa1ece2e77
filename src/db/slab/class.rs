//! The sizes that a slot can have, and which of them an entry takes.

use super::{PAGE_BYTES, PAGE_STEPS, STEP_BYTES};
use crate::db::entry::ENTRY_BYTES_MAX;

/// The smallest slot. Smaller entries are rare, and cost more in the table than here.
pub(super) const SLOT_BYTES_MIN: usize = 18;
/// Sizes up to here are 4 bytes apart, and 2 more than a multiple of 4: what an entry takes whose key and value
/// have customary lengths, as their own lengths take 2.
const FINE_SLOT_BYTES_MAX: usize = 130;
const FINE_BYTES: usize = 4;
/// Larger sizes are those that fit into a page a whole number of times.
const COARSE_SLOTS_MAX: usize = PAGE_BYTES / FINE_SLOT_BYTES_MAX - 1;
const COARSE_SLOTS_MIN: usize = PAGE_BYTES / ENTRY_BYTES_MAX;
/// Sizes a slot can have.
pub(super) const CLASSES: usize =
    (FINE_SLOT_BYTES_MAX - SLOT_BYTES_MIN) / FINE_BYTES + 1 + (COARSE_SLOTS_MAX - COARSE_SLOTS_MIN + 1);
const CLASS_BYTES: [u16; CLASSES] = class_bytes();
/// The class of an entry by its size in steps, rounded up.
const CLASS_OF_STEPS: [u8; ENTRY_BYTES_MAX / STEP_BYTES + 1] = class_of_steps();

const fn class_bytes() -> [u16; CLASSES] {
    let mut sizes = [0; CLASSES];
    let mut class = 0;
    let mut bytes = SLOT_BYTES_MIN;
    while bytes <= FINE_SLOT_BYTES_MAX {
        sizes[class] = bytes as u16;
        class += 1;
        bytes += FINE_BYTES;
    }
    let mut slots = COARSE_SLOTS_MAX;
    while class < CLASSES {
        sizes[class] = (PAGE_BYTES / slots / STEP_BYTES * STEP_BYTES) as u16;
        class += 1;
        slots -= 1;
    }
    sizes
}

const fn class_of_steps() -> [u8; ENTRY_BYTES_MAX / STEP_BYTES + 1] {
    let mut classes = [0; ENTRY_BYTES_MAX / STEP_BYTES + 1];
    let mut class = 0;
    let mut steps = 0;
    while steps < classes.len() {
        if steps * STEP_BYTES > CLASS_BYTES[class] as usize {
            class += 1;
        }
        classes[steps] = class as u8;
        steps += 1;
    }
    classes
}

const _: () = assert!(CLASS_BYTES[CLASSES - 1] as usize == ENTRY_BYTES_MAX);

/// A size of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::db) struct Class(pub(super) u8);

impl Class {
    /// The smallest that holds an entry of this many bytes.
    ///
    /// # Panics
    /// When none does: above [`ENTRY_BYTES_MAX`].
    #[inline]
    pub(in crate::db) fn holding(entry_bytes: usize) -> Self {
        Self(CLASS_OF_STEPS[entry_bytes.div_ceil(STEP_BYTES)])
    }

    /// Bytes of such a slot.
    #[inline]
    pub(in crate::db) fn bytes(self) -> usize {
        CLASS_BYTES[self.0 as usize] as usize
    }

    #[inline]
    pub(super) fn steps(self) -> u16 {
        CLASS_BYTES[self.0 as usize] / STEP_BYTES as u16
    }

    /// Slots of a page.
    pub(super) fn slots(self) -> u16 {
        PAGE_STEPS as u16 / self.steps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_tightest_size() {
        assert!(CLASS_BYTES.is_sorted());
        for bytes in 0..=ENTRY_BYTES_MAX {
            let class = Class::holding(bytes);
            assert!(class.bytes() >= bytes);
            assert!(class.0 == 0 || (Class(class.0 - 1).bytes() < bytes));
        }
        for class in 0..CLASSES as u8 {
            assert!(Class(class).slots() as usize * Class(class).bytes() <= PAGE_BYTES);
        }
    }
}
