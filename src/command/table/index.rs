//! The index of the table by name, worked out by the compiler: a look into it runs once per command.

use crate::command::spec::CommandSpec;

/// The longest name that a [`NameKey`] can hold.
const NAME_LEN_MAX: usize = 16;

/// Slots of the index; enough that a multiplier without collisions is found in some ten attempts.
const INDEX_BITS: u32 = 8;
const INDEX_SLOTS: usize = 1 << INDEX_BITS;

/// A name in lower case as two words, so that comparing it takes no loop.
///
/// The two words overlap in the middle of the name; with the length they are as good as the name itself.
#[derive(Clone, Copy)]
struct NameKey {
    len: usize,
    head: u64,
    tail: u64,
}

impl NameKey {
    /// Bit 5 is what tells ASCII letters of one case from those of the other. Setting it maps only a letter to a
    /// lower-case letter, and the table holds only letters: no other byte can be mistaken for one.
    const LOWER: u64 = 0x2020_2020_2020_2020;

    #[inline]
    const fn of(name: &[u8]) -> Option<Self> {
        let (head, tail) = match name {
            [a] => (u32::from_le_bytes([*a, 0, 0, 0]) as u64, 0),
            [a, b] => (u32::from_le_bytes([*a, *b, 0, 0]) as u64, 0),
            [a, b, c] => (u32::from_le_bytes([*a, *b, *c, 0]) as u64, 0),
            _ if name.len() > NAME_LEN_MAX => return None,
            _ => match (name.first_chunk(), name.last_chunk()) {
                (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
                _ => match (name.first_chunk(), name.last_chunk()) {
                    (Some(head), Some(tail)) => (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64),
                    _ => return None,
                },
            },
        };
        Some(Self { len: name.len(), head: head | Self::LOWER, tail: tail | Self::LOWER })
    }

    #[inline]
    const fn is(&self, other: &Self) -> bool {
        self.len == other.len && self.head == other.head && self.tail == other.tail
    }

    #[inline]
    const fn slot(&self, multiplier: u64) -> usize {
        // The rotation keeps names apart whose two words are equal ("type", "time").
        let mixed = self.head ^ self.tail.rotate_left(23);
        (mixed.wrapping_mul(multiplier) >> (u64::BITS - INDEX_BITS)) as usize
    }
}

/// A perfect hash of the table.
pub(super) struct Index {
    multiplier: u64,
    slots: [Option<(NameKey, &'static CommandSpec)>; INDEX_SLOTS],
}

impl Index {
    pub(super) const fn build(rows: &[&'static CommandSpec]) -> Self {
        // The golden ratio, then other odd numbers, until one keeps all rows apart.
        let mut multiplier = 0x9e37_79b9_7f4a_7c15_u64;
        loop {
            if let Some(slots) = Self::place(rows, multiplier) {
                return Self { multiplier, slots };
            }
            multiplier = multiplier.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
        }
    }

    /// The row of this name, in any letter case.
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        let key = NameKey::of(name)?;
        match &self.slots[key.slot(self.multiplier)] {
            Some((known, spec)) if known.is(&key) => Some(spec),
            _ => None,
        }
    }

    /// Puts every row in its slot, or nothing when two rows want the same.
    const fn place(
        rows: &[&'static CommandSpec],
        multiplier: u64,
    ) -> Option<[Option<(NameKey, &'static CommandSpec)>; INDEX_SLOTS]> {
        let mut slots = [None; INDEX_SLOTS];
        let mut i = 0;
        while i < rows.len() {
            let name = rows[i].name.as_bytes();
            assert!(is_lower_case_letters(name), "a command's name must be lower-case letters");
            let Some(key) = NameKey::of(name) else { panic!("a command's name must be of 1 to 16 letters") };
            let slot = key.slot(multiplier);
            if let Some((other, _)) = &slots[slot] {
                assert!(!key.is(other), "two rows have the same name");
                return None;
            }
            slots[slot] = Some((key, rows[i]));
            i += 1;
        }
        Some(slots)
    }
}

const fn is_lower_case_letters(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        if !name[i].is_ascii_lowercase() {
            return false;
        }
        i += 1;
    }
    true
}
