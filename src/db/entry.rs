//! The bytes of one entry in its slab slot: two lengths, the key, the value.
//!
//! ```text
//! [ key length: 1-2 ][ value length: 1-2 ][ key ][ value ]
//!
//! length   first byte
//! 0..240   the length
//! 240..    240 + high byte, then the low byte; up to ENTRY_BYTES_MAX
//! blob     255: the field is the number of a blob, 4 bytes, little-endian
//! ```

/// The largest entry that lies in a slab slot as a whole: a quarter of a page. What is larger keeps its value (and, if
/// need be, its key) as a blob, whose own cost of about 40 bytes no longer matters at that size.
pub(super) const ENTRY_BYTES_MAX: usize = 1024;

/// The longest key that lies in the slot: one that leaves room for a blob's number beside it.
pub(super) const INLINE_KEY_MAX: usize = ENTRY_BYTES_MAX - 2 - 1 - BLOB_NUMBER_BYTES;

/// Lengths below take one byte.
const SHORT_LENGTHS: usize = 240;
/// The length byte of a blob.
const BLOB: u8 = 255;
const BLOB_NUMBER_BYTES: usize = 4;

const _: () = assert!((ENTRY_BYTES_MAX - SHORT_LENGTHS) >> 8 < (BLOB as usize - SHORT_LENGTHS));

/// A key or a value as the slot holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Inline(&'a [u8]),
    Blob(u32),
}

impl Field<'_> {
    /// Bytes of the slot that it takes, its length included.
    pub(super) fn slot_bytes(self) -> usize {
        match self {
            Field::Inline(bytes) => inline_slot_bytes(bytes.len()),
            Field::Blob(_) => 1 + BLOB_NUMBER_BYTES,
        }
    }
}

/// Bytes of the slot that an inline field of this length takes.
pub(super) fn inline_slot_bytes(len: usize) -> usize {
    len + if len < SHORT_LENGTHS { 1 } else { 2 }
}

/// Writes an entry to the start of `slot`.
///
/// # Panics
/// When it does not fit.
#[inline]
pub(super) fn write_entry(slot: &mut [u8], key: Field<'_>, value: Field<'_>) {
    if let (Field::Inline(key), Field::Inline(value)) = (key, value)
        && key.len() < SHORT_LENGTHS
        && value.len() < SHORT_LENGTHS
    {
        slot[0] = key.len() as u8;
        slot[1] = value.len() as u8;
        let (key_slot, rest) = slot[2..].split_at_mut(key.len());
        key_slot.copy_from_slice(key);
        rest[..value.len()].copy_from_slice(value);
        return;
    }
    write_long_entry(slot, key, value);
}

fn write_long_entry(slot: &mut [u8], key: Field<'_>, value: Field<'_>) {
    let slot = write_length(slot, key);
    let slot = write_length(slot, value);
    let slot = write_field(slot, key);
    write_field(slot, value);
}

fn write_length<'s>(slot: &'s mut [u8], field: Field<'_>) -> &'s mut [u8] {
    let (first, rest) = slot.split_first_mut().expect("the slot has the entry's size");
    match field {
        Field::Blob(_) => *first = BLOB,
        Field::Inline(bytes) if bytes.len() < SHORT_LENGTHS => *first = bytes.len() as u8,
        Field::Inline(bytes) => {
            let [high, low] = ((bytes.len() - SHORT_LENGTHS) as u16).to_be_bytes();
            *first = SHORT_LENGTHS as u8 + high;
            rest[0] = low;
            return &mut rest[1..];
        }
    }
    rest
}

fn write_field<'s>(slot: &'s mut [u8], field: Field<'_>) -> &'s mut [u8] {
    match field {
        Field::Blob(number) => {
            let (place, rest) = slot.split_at_mut(BLOB_NUMBER_BYTES);
            place.copy_from_slice(&number.to_le_bytes());
            rest
        }
        Field::Inline(bytes) => {
            let (place, rest) = slot.split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            rest
        }
    }
}

/// The key at the start of `slot` if its length takes one byte; for the others [`read_entry`] is the way.
#[inline]
pub(super) fn short_key(slot: &[u8]) -> Option<&[u8]> {
    let (key_len, value_len) = (slot[0] as usize, slot[1]);
    let start = if value_len == BLOB || (value_len as usize) < SHORT_LENGTHS { 2 } else { 3 };
    (key_len < SHORT_LENGTHS).then(|| &slot[start..start + key_len])
}

/// Whether two keys are the same. Most are too short for a call of `memcmp` to be worth it.
#[inline(always)]
pub(super) fn is_same_key(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        // The two parts overlap in the middle.
        (Some(head), Some(other_head), Some(tail), Some(other_tail)) if a.len() <= 16 => {
            head == other_head && tail == other_tail
        }
        _ => a == b,
    }
}

/// The key and the value at the start of `slot`, which may go on behind the entry.
///
/// # Panics
/// When there is no entry.
#[inline]
pub(super) fn read_entry(slot: &[u8]) -> (Field<'_>, Field<'_>) {
    let (key_len, value_len) = (slot[0], slot[1]);
    if (key_len as usize) < SHORT_LENGTHS && (value_len as usize) < SHORT_LENGTHS {
        let (key, rest) = slot[2..].split_at(key_len as usize);
        return (Field::Inline(key), Field::Inline(&rest[..value_len as usize]));
    }
    read_long_entry(slot)
}

#[inline(never)]
fn read_long_entry(slot: &[u8]) -> (Field<'_>, Field<'_>) {
    let (key_len, slot) = read_length(slot);
    let (value_len, slot) = read_length(slot);
    let (key, slot) = read_field(slot, key_len);
    let (value, _) = read_field(slot, value_len);
    (key, value)
}

/// A length, or none for a blob.
fn read_length(slot: &[u8]) -> (Option<usize>, &[u8]) {
    match slot[0] {
        BLOB => (None, &slot[1..]),
        short if (short as usize) < SHORT_LENGTHS => (Some(short as usize), &slot[1..]),
        high => {
            let len = SHORT_LENGTHS + usize::from(u16::from_be_bytes([high - SHORT_LENGTHS as u8, slot[1]]));
            (Some(len), &slot[2..])
        }
    }
}

fn read_field(slot: &[u8], len: Option<usize>) -> (Field<'_>, &[u8]) {
    if let Some(len) = len {
        let (bytes, rest) = slot.split_at(len);
        return (Field::Inline(bytes), rest);
    }
    let (number, rest) = slot.split_first_chunk().expect("a blob's field is its number");
    (Field::Blob(u32::from_le_bytes(*number)), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_as_they_were_written() {
        let bytes = [b'x'; ENTRY_BYTES_MAX];
        let mut fields = vec![Field::Blob(0), Field::Blob(u32::MAX)];
        fields.extend([0, 1, 16, 239, 240, 241, 495, 496, 1017, 1022].map(|len| Field::Inline(&bytes[..len])));
        for key in &fields {
            for value in &fields {
                let mut slot = [0xEE; 3 * ENTRY_BYTES_MAX];
                write_entry(&mut slot, *key, *value);
                assert_eq!(read_entry(&slot), (*key, *value));
                let is_short = matches!(key, Field::Inline(key) if key.len() < SHORT_LENGTHS);
                assert_eq!(short_key(&slot).map(Field::Inline), is_short.then_some(*key));
                let size = key.slot_bytes() + value.slot_bytes();
                assert!(slot[size..].iter().all(|byte| *byte == 0xEE), "it takes the bytes it says");
            }
        }
    }

    #[test]
    fn a_key_is_that_of_the_same_bytes() {
        for len in 0..40 {
            let key: Vec<u8> = (0..len).collect();
            assert!(is_same_key(&key, &key.clone()));
            assert!(!is_same_key(&key, &[&key[..], &[0]].concat()));
            for at in 0..key.len() {
                let mut other = key.clone();
                other[at] ^= 0x80;
                assert!(!is_same_key(&key, &other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn the_longest_inline_key_fits_beside_a_blob() {
        let key = [0; INLINE_KEY_MAX];
        assert_eq!(Field::Inline(&key).slot_bytes() + Field::Blob(7).slot_bytes(), ENTRY_BYTES_MAX);
    }
}
