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
use super::batch::Batch;
use super::disk::{BLOCK_BYTES, DiskFile, DiskRead, read_full_at, write_all_at};
use super::format::COMMIT_NAME;
use super::repair::{blocks, len_without_trailing_zeros};
use super::write_back::WriteBack;

/// Makes a log durable that is being loaded. See the file's header.
pub struct MakeDurable {
    file: Arc<dyn DiskFile>,
    /// Whether to write while the log is loaded.
    early: bool,
    /// All before it has been written again.
    written: LogOffset,
    /// How far that is on its way to the disk.
    write_back: WriteBack,
}

impl MakeDurable {
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
        let due = self.write_back.take_due(batch.end);
        let written =
            write_all_at(&*self.file, batch.bytes(), batch.start.0).and_then(|()| due.begin_write(&*self.file));
        self.early = written.is_ok();
        // If it fails, [`MakeDurable::finish`] tries all of it once more, and tells.
        self.written = if self.early { batch.end } else { LogOffset(0) };
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
fn ends_in_a_chain(file: &dyn DiskRead) -> io::Result<bool> {
    const LOOKED_AT_BYTES: u64 = 64 << 10;
    let end = len_without_trailing_zeros(file, LogOffset(0), file.len()?)?;
    let from = end.0.saturating_sub(LOOKED_AT_BYTES);
    let mut tail = vec![0; (end.0 - from) as usize];
    let read = read_full_at(file, &mut tail, from)?;
    Ok(memmem::rfind(&tail[..read], COMMIT_NAME).is_some())
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::ops::Range;

    use parking_lot::Mutex;

    use super::*;
    use crate::persistence::recovery_tests::Memory;
    use crate::persistence::replay::replay;
    use crate::protocol::encode;

    /// A file of which something cannot be begun to be written, once.
    struct Failing {
        contents: Memory,
        /// How often each byte was written since then.
        written: Mutex<Option<Vec<u8>>>,
    }

    impl DiskRead for Failing {
        fn len(&self) -> io::Result<u64> {
            self.contents.len()
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.contents.read_at(buffer, offset)
        }
    }

    impl DiskFile for Failing {
        fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
            let piece = &pieces[0];
            let range = offset as usize..offset as usize + piece.len();
            assert_eq!(self.contents.bytes.lock()[range.clone()], **piece, "the same bytes in the same place");
            if let Some(written) = &mut *self.written.lock() {
                written[range].iter_mut().for_each(|times| *times += 1);
            }
            Ok(piece.len())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("it stays as it is")
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
            unreachable!("it stays as it is")
        }

        fn begin_write(&self, range: Range<u64>) -> io::Result<()> {
            let mut written = self.written.lock();
            if range.start < 4 << 20 || written.is_some() {
                return Ok(());
            }
            *written = Some(vec![0; self.len()? as usize]);
            Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()))
        }
    }

    #[test]
    fn once_something_may_be_lost_all_is_written_once_more() {
        let mut bytes = Vec::new();
        while bytes.len() < 9 << 20 {
            encode::request(&mut bytes, &[&b"SET"[..], b"key", &[b'v'; 10_000]]);
        }
        let len = bytes.len();
        let failing = Arc::new(Failing { contents: Memory::new(bytes), written: Mutex::new(None) });
        let file: Arc<dyn DiskRead> = Arc::<Failing>::clone(&failing);
        let mut make_durable = MakeDurable::new(Arc::<Failing>::clone(&failing)).unwrap();
        let found = replay(
            &file,
            |_| {},
            |batch| {
                make_durable.passed(batch);
                Ok(())
            },
        );
        assert_eq!(found.unwrap().end, LogOffset(len as u64));
        assert!(failing.written.lock().is_some());
        make_durable.finish(LogOffset(0), LogOffset(len as u64)).unwrap();
        assert!(failing.written.lock().iter().flatten().all(|times| *times == 1));
    }
}
