//! A log as the tools look at it: read-only, and where that helps, other than it is.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::persistence::disk::DiskFile;

/// A file that cannot be written to; it may seem to end earlier than it does, or to begin with other bytes.
pub(super) struct View {
    file: Arc<dyn DiskFile>,
    /// Nothing from here on is shown.
    end: AtomicU64,
    /// What stands at the beginning instead of the file's own bytes.
    beginning: Vec<u8>,
}

impl View {
    /// The file as long as it is now, however it grows.
    ///
    /// # Errors
    /// The length cannot be told.
    pub(super) fn snapshot(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        Ok(Self { end: AtomicU64::new(file.len()?), file, beginning: Vec::new() })
    }

    /// The file with these bytes at its beginning.
    pub(super) fn beginning_with(file: Arc<dyn DiskFile>, beginning: &[u8]) -> Self {
        Self { file, end: AtomicU64::new(u64::MAX), beginning: beginning.to_owned() }
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
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl DiskFile for View {
    fn len(&self) -> io::Result<u64> {
        match self.end.load(Relaxed) {
            u64::MAX => self.file.len(),
            end => Ok(end),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.end.load(Relaxed).saturating_sub(offset);
        let len = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..len], offset)?;
        if let Some(instead) = usize::try_from(offset).ok().and_then(|from| self.beginning.get(from..)) {
            let len = instead.len().min(read);
            buffer[..len].copy_from_slice(&instead[..len]);
        }
        Ok(read)
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
