//! Checksums of arbitrary ranges of a file, derived from those of its prefixes; and the part of it that is in memory.

use std::io;
use std::sync::Arc;

use super::super::LogOffset;
use super::super::crc::with_zeros;
use super::super::disk::{BLOCK_BYTES, DiskRead, read_full_at};

/// At every so many bytes the checksum of the prefix is kept; any other takes less than so many bytes to be read.
pub(super) const CHECKPOINT_BYTES: u64 = 4 << 10;

/// The part of the file that is searched, and the rest of it.
#[derive(Clone)]
pub(super) struct Window {
    file: Arc<dyn DiskRead>,
    pub(super) bytes: Vec<u8>,
    pub(super) start: LogOffset,
}

impl Window {
    /// An empty one at `start`.
    pub(super) fn new(file: Arc<dyn DiskRead>, start: LogOffset) -> Self {
        Self { file, bytes: Vec::new(), start }
    }

    pub(super) fn move_to(&mut self, start: LogOffset, file_len: u64) -> io::Result<()> {
        self.bytes.resize((file_len - start.0).min(BLOCK_BYTES as u64) as usize, 0);
        let read = read_full_at(&*self.file, &mut self.bytes, start.0)?;
        self.bytes.truncate(read);
        self.start = start;
        Ok(())
    }

    /// The bytes `from..to`, if they are in the window.
    pub(super) fn slice(&self, from: LogOffset, to: LogOffset) -> Option<&[u8]> {
        let start = usize::try_from(from.0.checked_sub(self.start.0)?).ok()?;
        self.bytes.get(start..start + usize::try_from(to - from).ok()?)
    }

    /// Reads from `from` on, wherever that is.
    pub(super) fn read(&self, buffer: &mut [u8], from: LogOffset) -> io::Result<usize> {
        match self.slice(from, from + buffer.len() as u64) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(bytes.len())
            }
            None => read_full_at(&*self.file, buffer, from.0),
        }
    }
}

/// Checksums of prefixes.
#[derive(Clone)]
pub(super) struct Prefixes {
    /// Where they all begin.
    origin: LogOffset,
    /// The checksum of the first `n * CHECKPOINT_BYTES` bytes, for each n.
    checkpoints: Vec<u32>,
    spare: Vec<u8>,
}

impl Prefixes {
    /// Those of the bytes from `origin` on.
    pub(super) fn new(origin: LogOffset) -> Self {
        Self { origin, checkpoints: vec![0], spare: Vec::new() }
    }

    pub(super) fn restart(&mut self, origin: LogOffset) {
        self.origin = origin;
        self.checkpoints.truncate(1);
    }

    /// The checksum of the bytes `from..to`.
    pub(super) fn range(&mut self, window: &Window, from: LogOffset, to: LogOffset) -> io::Result<u32> {
        let (before, whole) = (self.up_to(window, from)?, self.up_to(window, to)?);
        Ok(with_zeros(before, to - from) ^ whole)
    }

    /// The checksum of the bytes from the origin to `to`.
    pub(super) fn up_to(&mut self, window: &Window, to: LogOffset) -> io::Result<u32> {
        let wanted = ((to - self.origin) / CHECKPOINT_BYTES) as usize;
        while self.checkpoints.len() <= wanted {
            let n = self.checkpoints.len() - 1;
            let next = self.extend(window, n, CHECKPOINT_BYTES)?;
            self.checkpoints.push(next);
        }
        self.extend(window, wanted, (to - self.origin) % CHECKPOINT_BYTES)
    }

    /// The checksum of so many bytes more than at the n-th checkpoint.
    fn extend(&mut self, window: &Window, n: usize, bytes: u64) -> io::Result<u32> {
        self.spare.resize(bytes as usize, 0);
        let read = window.read(&mut self.spare, self.origin + n as u64 * CHECKPOINT_BYTES)?;
        Ok(crc32c::crc32c_append(self.checkpoints[n], &self.spare[..read]))
    }
}
