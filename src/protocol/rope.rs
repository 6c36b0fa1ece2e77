//! Bytes on their way out, to a socket or to the log: one growing buffer, with large values shared and not copied.
//!
//! Invariant: the shared pieces are in ascending order of the position in the buffer before which they stand.

use std::io::IoSlice;

use bytes::Bytes;

/// A value at least this long is shared by reference count; below it, a copy is cheaper than one more piece.
pub const SHARE_AT_LEAST_BYTES: usize = 16 * 1024;

/// A buffer with shared pieces at given places.
#[derive(Debug, Default)]
pub struct Rope {
    /// What is written by copying.
    pub buffer: Vec<u8>,
    /// Pieces, each standing before `buffer[position]`.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

/// An end that a [`Rope`] once had.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    buffer: usize,
    shared: usize,
}

impl Rope {
    /// The length of everything, in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.shared_bytes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.shared.is_empty()
    }

    /// Appends bytes by reference; the caller keeps to [`SHARE_AT_LEAST_BYTES`].
    pub fn push_shared(&mut self, bytes: Bytes) {
        self.shared_bytes += bytes.len();
        self.shared.push((self.buffer.len(), bytes));
    }

    /// Empties it; the buffer's allocation stays.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.shared.clear();
        self.shared_bytes = 0;
    }

    /// Where it ends now.
    pub fn mark(&self) -> Mark {
        Mark { buffer: self.buffer.len(), shared: self.shared.len() }
    }

    /// Takes back what was appended since `mark` was made.
    pub fn truncate(&mut self, mark: Mark) {
        self.buffer.truncate(mark.buffer);
        for (_, bytes) in self.shared.drain(mark.shared..) {
            self.shared_bytes -= bytes.len();
        }
    }

    /// The pieces in order, from byte `skip` on: at most `pieces.len()` of them. Returns how many were filled in.
    pub fn slices<'a>(&'a self, skip: usize, pieces: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for piece in self.pieces_from(skip).take(pieces.len()) {
            pieces[filled] = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// All pieces in order, from byte `skip` on, none of them empty.
    pub fn pieces_from(&self, skip: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = skip;
        let mut from = 0;
        let ends = self.shared.iter().map(|(at, bytes)| (*at, &bytes[..]));
        ends.chain(std::iter::once((self.buffer.len(), &[][..])))
            .flat_map(move |(at, bytes)| {
                let copied = &self.buffer[from..at];
                from = at;
                [copied, bytes]
            })
            .filter_map(move |piece| {
                let cut = skip.min(piece.len());
                skip -= cut;
                (cut < piece.len()).then(|| &piece[cut..])
            })
    }

    /// All of it in one piece, where nothing is shared.
    pub fn as_single_slice(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&self.buffer[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_from_any_byte() {
        let mut rope = Rope::default();
        rope.push_shared(Bytes::from_static(b"AB"));
        rope.buffer.extend_from_slice(b"cde");
        rope.push_shared(Bytes::from_static(b"F"));
        rope.push_shared(Bytes::from_static(b""));
        rope.push_shared(Bytes::from_static(b"GH"));
        rope.buffer.extend_from_slice(b"i");
        let whole = b"ABcdeFGHi";
        assert_eq!(rope.len(), whole.len());
        for skip in 0..=whole.len() {
            let got: Vec<u8> = rope.pieces_from(skip).flatten().copied().collect();
            assert_eq!(got, whole[skip..], "from {skip}");
            assert!(rope.pieces_from(skip).all(|p| !p.is_empty()));
        }
        let mark = rope.mark();
        rope.push_shared(Bytes::from_static(b"XY"));
        rope.buffer.push(b'z');
        rope.truncate(mark);
        assert_eq!(rope.len(), whole.len());
        assert_eq!(rope.pieces_from(0).flatten().copied().collect::<Vec<_>>(), whole);
        let mut two = [IoSlice::new(&[]); 2];
        assert_eq!(rope.slices(1, &mut two), 2);
        assert_eq!((&*two[0], &*two[1]), (&b"B"[..], &b"cde"[..]));
    }
}
