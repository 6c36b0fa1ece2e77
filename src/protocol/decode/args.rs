//! The arguments of a command, where they lie.

/// Where an argument lies in the buffer that it was decoded from. A buffer is at most 4 GiB long, but for that of
/// `kvred cli --pipe`, which only asks whether there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of the argument.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// The length, in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The same bytes where the buffer begins so much earlier.
    #[must_use]
    pub fn forward(self, by: u32) -> Self {
        Self { start: self.start + by, end: self.end + by }
    }

    /// The same bytes where the buffer begins so much later.
    #[must_use]
    pub fn back(self, by: u32) -> Self {
        Self { start: self.start - by, end: self.end - by }
    }
}

/// The arguments of one command, in place.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments at `spans` of `buffer`.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buffer, spans }
    }

    /// How many there are, the command's name included.
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The `i`-th argument; 0 is the command's name.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn at(self, i: usize) -> &'a [u8] {
        self.spans[i].of(self.buffer)
    }

    /// All bytes of all arguments together.
    pub fn total_bytes(self) -> usize {
        self.spans.iter().map(|s| s.len()).sum()
    }

    /// The arguments from the `i`-th on.
    pub fn from(self, i: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let buffer = self.buffer;
        self.spans[i..].iter().map(move |s| s.of(buffer))
    }

    /// The arguments from the `i`-th on, two at a time.
    pub fn pairs(self, i: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.spans[i..].as_chunks().0.iter().map(move |[first, second]| (first.of(self.buffer), second.of(self.buffer)))
    }
}
