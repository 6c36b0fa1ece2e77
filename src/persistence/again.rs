//! What a client reads after a start is durable: bytes of which that is not known are written again, the same bytes in
//! the same place, and synced.
//!
//! A sync alone proves nothing. If one had failed before the restart, the kernel may hold pages as clean that the disk
//! never got; only a page that is written again reaches the disk with the next sync, or makes it fail.
//!
//! In a log of kvred's, `#SYNCED` lines say what is known to be durable, and the last one is known once all has been
//! read; what lies behind it is little. Of a plain log nothing is known. So what has been read and found sound of it is
//! written again while the rest is loaded: the disk is at work meanwhile, and little is left for the sync at the end.
//!
//! To read what the disk has, past the kernel's memory, and to compare, would prove less, since below the kernel there
//! may be other caches (a host's, a loop device's); and it took longer than to write.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::LogOffset;
use super::disk::{DiskFile, read_full_at, write_all_at};
use super::format::COMMIT_NAME;
use super::reader::Batch;
use super::replay::{BLOCK_BYTES, blocks, len_without_trailing_zeros};
use super::write_back::WriteBack;

/// Makes a log durable that is being loaded. See the file's header.
pub struct WriteAgain {
    file: Arc<dyn DiskFile>,
    /// Whether to write while the log is loaded.
    early: bool,
    /// All before it has been written again.
    written: LogOffset,
    /// How far that is on its way to the disk.
    write_back: WriteBack,
}

impl WriteAgain {
    /// For the log `file`, of which nothing has been read yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let early = !ends_in_a_chain(&*file)?;
        Ok(Self { file, early, written: LogOffset(0), write_back: WriteBack::new(LogOffset(0)) })
    }

    /// Takes notice of a batch that is sound. If it may be, it is written again at once.
    pub fn passed(&mut self, batch: &Batch<'_>) {
        if !self.early || batch.checksummed || batch.start != self.written {
            return;
        }
        // If it fails, [`WriteAgain::finish`] tries once more and tells.
        self.early = write_all_at(&*self.file, batch.bytes(), batch.start.0).is_ok();
        if !self.early {
            return;
        }
        self.written = batch.end;
        self.write_back.take_due(self.written).begin_write(&*self.file);
    }

    /// Writes again what of `from..to` has not been yet, and syncs.
    ///
    /// # Errors
    /// Reading, writing or syncing failed.
    pub fn finish(self, from: LogOffset, to: LogOffset) -> io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        for (at, len) in blocks(from.max(self.written), to) {
            let read = read_full_at(&*self.file, &mut block[..len], at)?;
            write_all_at(&*self.file, &block[..read], at)?;
        }
        self.file.sync_data()
    }
}

/// Whether a file ends like a log of kvred's, which may have begun as a plain one: with a commit line, and perhaps a
/// torn batch and reserved space behind it. Nothing but speed depends on it.
fn ends_in_a_chain(file: &dyn DiskFile) -> io::Result<bool> {
    const LOOKED_AT_BYTES: u64 = 64 << 10;
    let end = len_without_trailing_zeros(file, LogOffset(0), file.len()?)?;
    let from = end.0.saturating_sub(LOOKED_AT_BYTES);
    let mut tail = vec![0; (end.0 - from) as usize];
    let read = read_full_at(file, &mut tail, from)?;
    Ok(memmem::rfind(&tail[..read], COMMIT_NAME).is_some())
}
