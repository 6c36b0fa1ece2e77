//! The traits that all of the log's I/O goes through, so that tests can inject faults.
//!
//! A failed `sync_data` or `begin_write` must be believed the first time, since Linux may mark pages clean, or drop
//! them, that never reached the disk.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::io::Errno;

/// The directory that holds the log: names and what is done to them.
pub trait Disk: Send + Sync {
    /// Opens a file for reading, and for writing too if `writable`.
    fn open(&self, name: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a new, empty file, readable by its owner only; it fails if the name is taken.
    fn create(&self, name: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file over whatever had the other name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, name: &Path) -> io::Result<()>;

    /// Which file a name leads to.
    fn id_of(&self, name: &Path) -> io::Result<FileId>;

    /// Makes the names of the directory durable: what was created, renamed and removed.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file, to be read. Positions are given with each call, there is no cursor.
pub trait DiskRead: Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Reads up to `buffer.len()` bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// An open file, to be written too.
pub trait DiskFile: DiskRead {
    /// Writes some of `pieces`, as `pwritev` does: it may write less than all.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written so far, and the file's length, is durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Extends the file, which ends at `offset`, with zeros, so that to write there needs no new block. An
    /// optimisation: callers go on without it.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Has the system begin to write what of a range is not on the disk yet. An optimisation: without it, a sync writes
    /// all.
    ///
    /// # Errors
    /// Something of the range may be lost, and no sync need tell: ext4 drops what it finds no place for, and says so to
    /// whoever had it look for one, and to nobody else.
    fn begin_write(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    /// Which file it is, whatever its name.
    fn id(&self) -> io::Result<FileId> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whose the file is, and who may do what with it; `None` where nothing keeps that.
    fn access(&self) -> io::Result<Option<Access>> {
        Ok(None)
    }

    /// Sets owner, group and mode to those of another file, as [`DiskFile::access`] of that one has told them.
    fn set_access(&self, _access: Access) -> io::Result<()> {
        Ok(())
    }

    /// Lets the system forget what of a range is on the disk. An optimisation, too.
    ///
    /// Not for what may have yet to be written, nor for a part of a [`PIECE_BYTES`]: Linux begins to write it, and
    /// keeps to itself how that ends.
    fn forget_cached(&self, _range: Range<u64>) {}
}

/// Tells a file from all others that are there: its device, and its number there.
pub type FileId = (u64, u64);

/// Whose a file is, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: Mode,
}

/// Gives the file `to` the owner, the group and the mode of `from`, whose name it is about to take. Both are open: a
/// name may be another file's by now.
///
/// # Errors
/// This process may not give files to that owner or group: the mode is then left as it is, too, since it was meant for
/// them.
pub fn copy_access(from: &dyn DiskFile, to: &dyn DiskFile) -> io::Result<()> {
    from.access()?.map_or(Ok(()), |access| to.set_access(access))
}

/// How much is read at once: large enough that the calls do not count, small enough to stay in the cache.
pub const BLOCK_BYTES: usize = 1 << 20;

/// The least that is asked for where a disk fails: a page, and of most disks a sector.
pub const SECTOR_BYTES: u64 = 4 << 10;

/// The largest piece of memory that the page cache takes for a file (on x86-64); all of it is written at once.
pub const PIECE_BYTES: u64 = 2 << 20;

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&[IoSlice::new(&bytes[done..])], offset + done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => done += written,
        }
    }
    Ok(())
}

/// Fills `buffer` from `offset` on, up to the end of the file: how much was read.
pub fn read_full_at(file: &dyn DiskRead, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Fills `buffer` as [`read_full_at`] does, but only up to the first sector that the disk cannot read: how much was
/// read, and whether that ended it.
///
/// # Errors
/// Something else is wrong.
pub fn read_readable_at(file: &dyn DiskRead, buffer: &mut [u8], offset: u64) -> io::Result<(usize, bool)> {
    let mut done = 0;
    while done < buffer.len() {
        let (at, rest) = (offset + done as u64, &mut buffer[done..]);
        let sector = rest.len().min((SECTOR_BYTES - at % SECTOR_BYTES) as usize);
        // Of a longer piece, one sector may be what fails.
        let read = match file.read_at(rest, at) {
            Err(e) if is_unreadable(&e) => file.read_at(&mut rest[..sector], at),
            read => read,
        };
        match read {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if is_unreadable(&e) => return Ok((done, true)),
            Err(e) => return Err(e),
        }
    }
    Ok((done, false))
}

/// Whether it is the disk that fails, at the bytes that were asked for.
pub fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file in memory on a disk that fails at some of its bytes, and with them at all that is asked for in one go.
    pub(crate) struct Failing {
        pub(crate) bytes: Vec<u8>,
        pub(crate) at: Range<u64>,
    }

    impl DiskRead for Failing {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let there = self.bytes.get(offset as usize..).unwrap_or_default();
            let len = there.len().min(buffer.len());
            if offset < self.at.end && self.at.start < offset + len as u64 {
                return Err(Errno::IO.into());
            }
            buffer[..len].copy_from_slice(&there[..len]);
            Ok(len)
        }
    }

    #[test]
    fn what_can_be_read_before_a_bad_sector_is_read() {
        let file = Failing { bytes: (0..20_000).map(|n| n as u8).collect(), at: 9000..9001 };
        let mut buffer = vec![0; 30_000];
        for (from, until) in [(0, Some(8192)), (5, Some(8192)), (8192, Some(8192)), (8999, Some(8999)), (9001, None)] {
            let (read, unreadable) = read_readable_at(&file, &mut buffer, from as u64).unwrap();
            let end = until.unwrap_or(file.bytes.len());
            assert_eq!((from + read, unreadable), (end, until.is_some()), "from {from}");
            assert_eq!(buffer[..read], file.bytes[from..end]);
        }
    }
}
