//! A log of which the disk cannot read all: what it cannot read is taken for zeros, so that one bad sector does not
//! hide what is behind it.
//!
//! Only for what is then verified: the zeros are no data.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::text::counted;
use crate::persistence::LogOffset;
use crate::persistence::disk::{DiskRead, SECTOR_BYTES, read_readable_at};

/// A file with zeros for what cannot be read.
pub(super) struct Readable {
    file: Arc<dyn DiskRead>,
    /// The sectors that the disk could not read, by number. It may take seconds for each, so none is asked for twice.
    bad: Mutex<BTreeSet<u64>>,
}

/// How much of a range cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) bytes: u64,
    first: LogOffset,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the disk cannot read {} of it, the first at byte {}", counted(self.bytes, "byte"), self.first)
    }
}

impl Readable {
    /// The file, of which nothing was read yet.
    pub(super) fn new(file: Arc<dyn DiskRead>) -> Self {
        Self { file, bad: Mutex::default() }
    }

    /// What could not be read so far of the bytes `from..to`.
    pub(super) fn unreadable(&self, from: LogOffset, to: LogOffset) -> Option<Unreadable> {
        let bad = self.bad.lock();
        let within = bad.range(from.0 / SECTOR_BYTES..to.0.div_ceil(SECTOR_BYTES)).map(|sector| {
            let start = sector * SECTOR_BYTES;
            (start.max(from.0), (start + SECTOR_BYTES).min(to.0))
        });
        let first = LogOffset(within.clone().next()?.0);
        Some(Unreadable { bytes: within.map(|(start, end)| end - start).sum(), first })
    }

    /// Where the last bytes end that could not be read so far.
    pub(super) fn unreadable_end(&self) -> io::Result<LogOffset> {
        let end = self.bad.lock().last().map_or(0, |sector| (sector + 1) * SECTOR_BYTES);
        Ok(LogOffset(end.min(self.file.len()?)))
    }
}

impl DiskRead for Readable {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    /// Up to the next sector that is known to be bad, or zeros for one.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let buffer_len = buffer.len().min(there);
        let buffer = &mut buffer[..buffer_len];
        let sector = offset / SECTOR_BYTES;
        let next_bad = self.bad.lock().range(sector..).next().map(|bad| bad * SECTOR_BYTES);
        let good = next_bad.map_or(buffer.len() as u64, |bad| bad.saturating_sub(offset)).min(buffer.len() as u64);
        if good > 0 {
            let (read, ends) = read_readable_at(&*self.file, &mut buffer[..good as usize], offset)?;
            if !ends || read > 0 {
                return Ok(read);
            }
            self.bad.lock().insert(sector);
        }
        let zeros = buffer.len().min(((sector + 1) * SECTOR_BYTES - offset) as usize);
        buffer[..zeros].fill(0);
        Ok(zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::read_full_at;
    use crate::persistence::disk::tests::Failing;

    #[test]
    fn what_cannot_be_read_is_zeros_and_told() {
        let bytes: Vec<u8> = (0..50_000).map(|n| (n % 255) as u8 + 1).collect();
        for (at, bad) in [(9000..9001, 8192..12_288), (4095..12_288, 0..12_288), (49_999..50_000, 49_152..50_000)] {
            let file = Readable::new(Arc::new(Failing { bytes: bytes.clone(), at }));
            let mut expected = bytes.clone();
            expected[bad.clone()].fill(0);
            // The second time, it is known.
            for _ in 0..2 {
                let mut read = vec![0; 60_000];
                assert_eq!(read_full_at(&file, &mut read, 0).unwrap(), bytes.len());
                assert_eq!(read[..bytes.len()], expected, "{bad:?}");
            }
            let of = |from: usize, to: usize| file.unreadable(LogOffset(from as u64), LogOffset(to as u64));
            let told = |start: usize, end: usize| {
                Some(Unreadable { bytes: (end - start) as u64, first: LogOffset(start as u64) })
            };
            assert_eq!(of(0, bytes.len()), told(bad.start, bad.end));
            assert_eq!(of(bad.start + 1, bad.end - 1), told(bad.start + 1, bad.end - 1));
            assert_eq!(of(0, bad.start), None);
            assert_eq!(file.unreadable_end().unwrap(), LogOffset(bad.end as u64));
        }
    }
}
