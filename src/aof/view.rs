//! A log as the tools look at it: read-only, and not longer than it was.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::persistence::LogOffset;
use crate::persistence::disk::DiskRead;

/// A file that cannot be written to, and seems to end where it did when it was looked at.
pub(super) struct View {
    file: Arc<dyn DiskRead>,
    /// Nothing from here on is shown.
    end: AtomicU64,
}

impl View {
    /// The file as long as it is now, however it grows.
    ///
    /// # Errors
    /// The length cannot be told.
    pub(super) fn snapshot(file: Arc<dyn DiskRead>) -> io::Result<Self> {
        Ok(Self { end: AtomicU64::new(file.len()?), file })
    }

    /// Moves the end to where the file ends now, and says where that is.
    ///
    /// # Errors
    /// The length cannot be told.
    pub(super) fn catch_up(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        self.end.store(len, Relaxed);
        Ok(len)
    }

    /// Moves the end back to there.
    pub(super) fn end_at(&self, end: LogOffset) {
        self.end.store(end.0, Relaxed);
    }
}

impl DiskRead for View {
    fn len(&self) -> io::Result<u64> {
        Ok(self.end.load(Relaxed))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.end.load(Relaxed).saturating_sub(offset);
        let len = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        self.file.read_at(&mut buffer[..len], offset)
    }
}
