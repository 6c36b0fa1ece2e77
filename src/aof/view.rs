//! A log as the tools look at it: read-only, and not longer than it was.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::persistence::LogOffset;
use crate::persistence::disk::DiskFile;

/// A file that cannot be written to, and seems to end where it did when it was looked at.
pub(super) struct View {
    file: Arc<dyn DiskFile>,
    /// Nothing from here on is shown.
    end: AtomicU64,
}

impl View {
    /// The file as long as it is now, however it grows.
    ///
    /// # Errors
    /// The length cannot be told.
    pub(super) fn snapshot(file: Arc<dyn DiskFile>) -> io::Result<Self> {
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

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl DiskFile for View {
    fn len(&self) -> io::Result<u64> {
        Ok(self.end.load(Relaxed))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.end.load(Relaxed).saturating_sub(offset);
        let len = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        self.file.read_at(&mut buffer[..len], offset)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        refused()
    }
}
