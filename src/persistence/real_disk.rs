//! The real disk behind the traits of [`disk`](super::disk).
//!
//! No failure of a read, a write or a sync is retried or hidden: interrupted calls are repeated, and one error that
//! ext4 keeps to itself is looked for.

use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Advice, AtFlags, CWD, FlockOperation, Mode, OFlags};

use super::disk::{Access, Disk, DiskFile, DiskRead, FileId, write_all_at};

/// A directory of the real file system. It is held open, so that it stays this one, whatever gets its name.
#[derive(Debug)]
pub struct RealDisk {
    dir: OwnedFd,
}

impl RealDisk {
    /// The directory, made if it is missing (mode 0700: it holds the only copy of somebody's data), and then durable.
    pub fn make_dir(dir: &Path) -> io::Result<Self> {
        make_dirs(dir)?;
        Self::new(dir)
    }

    /// The directory, as it is.
    ///
    /// # Errors
    /// It is not there, or not to be entered.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let open = |how| rustix::fs::openat(CWD, dir, how | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        // Readable, so that a sync needs no other descriptor: there may be none left. Not everybody may read it.
        Ok(Self { dir: open(OFlags::RDONLY).or_else(|_| open(OFlags::PATH))? })
    }

    /// The directory that a file is in.
    ///
    /// # Errors
    /// As [`RealDisk::new`].
    pub fn holding(file: &Path) -> io::Result<Self> {
        Self::new(parent(file))
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Renames a file, unless the other name is taken.
    ///
    /// # Errors
    /// It is, or the system cannot rename.
    pub fn rename_to_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with, statat};
        use rustix::io::Errno;
        match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            // Not every file system knows how.
            Err(Errno::INVAL | Errno::NOSYS) => match statat(&self.dir, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => self.rename(from, to),
                Ok(_) => Err(Errno::EXIST.into()),
                Err(e) => Err(e.into()),
            },
            other => Ok(other?),
        }
    }
}

/// Makes a directory and those that it is to be in, as far as they are missing, and makes their names durable.
fn make_dirs(dir: &Path) -> io::Result<()> {
    let make = || std::fs::DirBuilder::new().mode(0o700).create(dir);
    let made = match make() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make_dirs(parent(dir)).and_then(|()| make()),
        made => made,
    };
    match made {
        // Else the next start would take it as it is.
        Ok(()) => sync_names(parent(dir)).inspect_err(|_| drop(std::fs::remove_dir(dir))),
        Err(_) if dir.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

fn sync_names(dir: &Path) -> io::Result<()> {
    RealDisk::new(dir)?.sync_dir()
}

/// The directory that something is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name that something has in its directory.
pub fn file_name(path: &Path) -> &Path {
    Path::new(path.file_name().unwrap_or_default())
}

/// Opens a file for reading only, wherever it is.
///
/// # Errors
/// It cannot be read, or is no regular file.
pub fn open_to_read(path: &Path) -> io::Result<Arc<dyn DiskRead>> {
    Ok(Arc::new(open_regular(CWD, path, OFlags::RDONLY)?))
}

fn open_regular(dir: BorrowedFd<'_>, name: &Path, flags: OFlags) -> io::Result<RealFile> {
    // Without NONBLOCK, opening a named pipe would wait for a writer; to a regular file it means nothing.
    let file = openat(dir, name, flags | OFlags::NONBLOCK)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(RealFile::new(file, metadata.len()))
}

pub(super) fn openat(dir: BorrowedFd<'_>, name: &Path, flags: OFlags) -> io::Result<File> {
    Ok(rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?.into())
}

/// Whoever writes a log locks the file itself, too: it may have other names than the one whose
/// [`LogLock`](super::lock::LogLock) is taken.
fn lock_to_write(file: &File) -> io::Result<()> {
    if try_flock(file, FlockOperation::NonBlockingLockExclusive)? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "it is in use by another kvred, perhaps under another name; stop that one first",
    ))
}

/// Asks for nothing but the number: for who asks for times, the next write notes a new one ([`RealFile::end`]).
fn file_id(dir: BorrowedFd<'_>, name: &Path, how: AtFlags) -> io::Result<FileId> {
    let stat = rustix::fs::statx(dir, name, how, rustix::fs::StatxFlags::INO)?;
    Ok((rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
}

/// Locks a file; whether it could, or somebody else holds it.
pub(super) fn try_flock(file: &File, how: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let flags = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        // What is a link here was put here by somebody else: a log's own links are followed before.
        let file = open_regular(self.dir.as_fd(), name, flags | OFlags::NOFOLLOW)?;
        if writable {
            lock_to_write(&file.file)?;
        }
        Ok(Arc::new(file))
    }

    fn create(&self, name: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = match openat(self.dir.as_fd(), name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
            // There is no other way in which an open directory has no place for a name.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(e.kind(), "the directory was removed"));
            }
            file => file?,
        };
        lock_to_write(&file)?;
        Ok(Arc::new(RealFile::new(file, 0)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    fn id_of(&self, name: &Path) -> io::Result<FileId> {
        // Through links, as the next start goes.
        file_id(self.dir.as_fd(), name, AtFlags::empty())
    }

    fn sync_dir(&self) -> io::Result<()> {
        use rustix::io::Errno;
        let synced = match rustix::fs::fsync(&self.dir) {
            // It could not be opened to be read: whoever may now, syncs it.
            Err(Errno::BADF) => rustix::fs::fsync(openat(self.dir.as_fd(), Path::new("."), OFlags::RDONLY)?),
            other => other,
        };
        synced.map_err(|errno| {
            let error = io::Error::from(errno);
            if matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) {
                let told =
                    format!("this file system cannot make names durable (fsync of a directory: {error}); use another");
                io::Error::new(error.kind(), told)
            } else {
                error
            }
        })
    }
}

/// So much is written at once. Linux takes its page cache in pieces up to the size of the write, and large ones are
/// where the kernel keeps no memory at hand: in a virtual machine it is often memory that the host has yet to give.
/// Appending 512 MiB to a file (ext4, Linux 6.18, eight rounds in random order), CPU for each 16 KiB: 6.0 µs by 64 KiB,
/// 5.2 by 128, 5.0 by 256, and 39 by 1024.
const WRITE_BYTES_MAX: usize = 256 << 10;

struct RealFile {
    file: File,
    /// `None`: not on ext4; elsewhere zeros may become holes, so a hole proves nothing.
    there: Option<Mutex<There>>,
}

/// How much of a file is known to be on the disk.
#[derive(Clone, Copy)]
struct There {
    /// All before it was there when the file was last synced, or opened.
    end: u64,
    /// Counts truncations: what a sync found that began before one is not recorded.
    cuts: u64,
}

impl RealFile {
    fn new(file: File, len: u64) -> Self {
        const EXT4_MAGIC: rustix::fs::FsWord = 0xEF53;
        let is_ext4 = rustix::fs::fstatfs(&file).is_ok_and(|stat| stat.f_type == EXT4_MAGIC);
        Self { file, there: is_ext4.then(|| Mutex::new(There { end: len, cuts: 0 })) }
    }

    /// How long it is. Not by `stat`: since Linux 6.13 the next write then has a new time to note, and the next sync to
    /// commit it (tried: 240 µs a sync in place of 170).
    fn end(&self) -> io::Result<u64> {
        Ok(rustix::fs::seek(&self.file, rustix::fs::SeekFrom::End(0))?)
    }

    /// Looks for a hole that a sync has left before `len`. ext4 drops what it finds no place for; if that is for a
    /// broken block bitmap, the sync can succeed all the same. `known` is what was known before `len` was asked for.
    fn check_for_holes(&self, there: &Mutex<There>, known: There, len: u64) -> io::Result<()> {
        use rustix::fs::SeekFrom;
        let first_hole = |from: u64| match rustix::fs::seek(&self.file, SeekFrom::Hole(from)) {
            Ok(hole) => Ok(Some(hole)),
            // Behind the end there is none, and not every system looks.
            Err(rustix::io::Errno::NXIO | rustix::io::Errno::INVAL) => Ok(None),
            Err(e) => Err(e),
        };
        // SEEK_HOLE reports the end of the file as a hole. Another thread may have cut the file back to there and be
        // writing on, so a hole counts only if it is still there at a second look.
        match first_hole(known.end.min(len))? {
            Some(hole) if hole < len && first_hole(hole)? == Some(hole) => {
                Err(io::Error::other(format!("what was written from byte {hole} on is not on the disk")))
            }
            _ => {
                let mut there = there.lock();
                // Else what is written from there on is not known to be there.
                if there.cuts == known.cuts {
                    there.end = len;
                }
                Ok(())
            }
        }
    }

    fn write_pieces(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        match pieces {
            [piece] => retry(|| self.file.write_at(piece, offset)),
            pieces => retry(|| Ok(rustix::io::pwritev(&self.file, pieces, offset)?)),
        }
    }
}

impl DiskRead for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        retry(|| self.file.read_at(buffer, offset))
    }
}

impl DiskFile for RealFile {
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut room = WRITE_BYTES_MAX;
        let whole = pieces.iter().map_while(|piece| room.checked_sub(piece.len()).map(|left| room = left)).count();
        let Some(cut) = pieces.get(whole) else { return self.write_pieces(pieces, offset) };
        let mut pieces = pieces[..whole].to_vec();
        pieces.push(IoSlice::new(&cut[..room]));
        self.write_pieces(&pieces, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let done = self.file.set_len(len);
        if let Some(there) = &self.there {
            // Not before: a sync that begins in between would see the cut counted, and the length without it.
            let mut there = there.lock();
            there.end = there.end.min(len);
            there.cuts += 1;
        }
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        let Some(there) = &self.there else { return self.file.sync_data() };
        // Before the length, so that whatever is cut off from there shows.
        let known = *there.lock();
        // What is written while it syncs has no place on the disk yet, and is no hole all the same: the next sync
        // looks.
        let len = self.end()?;
        self.file.sync_data()?;
        self.check_for_holes(there, known, len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        (0..len).step_by(ZEROS.len()).try_for_each(|done| {
            let piece = (len - done).min(ZEROS.len() as u64) as usize;
            write_all_at(self, &ZEROS[..piece], offset + done)
        })
    }

    #[allow(unsafe_code, reason = "rustix has no such call")]
    fn begin_write(&self, range: Range<u64>) -> io::Result<()> {
        let Some(len) = len_of(&range) else { return Ok(()) };
        let (start, len) = (range.start.cast_signed(), len.get().cast_signed());
        // Not `fadvise`, which begins the same and keeps errors to itself: it then tries to forget what cannot be
        // forgotten yet, and has all cores hand in their lists of pages for it. And no flag to wait: that would take
        // the error that a sync is to tell of.
        let file = std::os::fd::AsRawFd::as_raw_fd(&self.file);
        // SAFETY: the descriptor is open, and the call touches no memory of this process.
        if unsafe { libc::sync_file_range(file, start, len, libc::SYNC_FILE_RANGE_WRITE) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if nothing_was_begun(&error) { Ok(()) } else { Err(error) }
    }

    fn id(&self) -> io::Result<FileId> {
        file_id(self.file.as_fd(), Path::new(""), AtFlags::EMPTY_PATH)
    }

    fn access(&self) -> io::Result<Option<Access>> {
        let stat = rustix::fs::fstat(&self.file)?;
        Ok(Some(Access { owner: stat.st_uid, group: stat.st_gid, mode: Mode::from_raw_mode(stat.st_mode) }))
    }

    fn set_access(&self, access: Access) -> io::Result<()> {
        use rustix::fs::{Gid, Uid, fchmod, fchown};
        let Some(now) = self.access()? else { return Ok(()) };
        // Only what differs: to give a file to whom it belongs may be forbidden too.
        let owner = (access.owner != now.owner).then(|| Uid::from_raw(access.owner));
        let group = (access.group != now.group).then(|| Gid::from_raw(access.group));
        if owner.is_some() || group.is_some() {
            fchown(&self.file, owner, group)?;
        }
        if access.mode != now.mode {
            fchmod(&self.file, access.mode)?;
        }
        Ok(())
    }

    fn forget_cached(&self, range: Range<u64>) {
        let Some(len) = len_of(&range) else { return };
        let advised = rustix::fs::fadvise(&self.file, range.start, Some(len), Advice::DontNeed);
        debug_assert!(advised.is_ok(), "a file takes advice");
    }
}

/// Whether an error is of the call and not of the data: the system has no such call or forbids it, or has no memory for
/// it at the moment. All is then still there to be written.
fn nothing_was_begun(error: &io::Error) -> bool {
    use rustix::io::Errno as E;
    let errno = E::from_io_error(error);
    matches!(errno, Some(E::NOSYS | E::PERM | E::INVAL | E::OPNOTSUPP | E::SPIPE | E::NOMEM | E::INTR | E::AGAIN))
}

/// Nothing for an empty range: to the system no length means up to the end.
fn len_of(range: &Range<u64>) -> Option<NonZeroU64> {
    NonZeroU64::new(range.end.saturating_sub(range.start))
}

/// An interrupted read or write has done nothing.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::disk::read_full_at;

    #[test]
    fn a_new_name_is_not_taken_from_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("temp"), "new").unwrap();
        std::fs::write(dir.path().join("there"), "old").unwrap();
        let refused = disk.rename_to_new(Path::new("temp"), Path::new("there")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(dir.path().join("there")).unwrap(), b"old");
        disk.rename_to_new(Path::new("temp"), Path::new("free")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("free")).unwrap(), b"new");
    }

    #[test]
    fn writes_of_any_size_arrive_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk::new(dir.path()).unwrap().create(Path::new("log")).unwrap();
        let sizes = [3, WRITE_BYTES_MAX - 2, 1, WRITE_BYTES_MAX, 2 * WRITE_BYTES_MAX + 1, 0, 5];
        let pieces: Vec<Vec<u8>> = (b'a'..).zip(sizes).map(|(letter, size)| vec![letter; size]).collect();
        let mut waiting: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let (mut rest, mut written) = (&mut waiting[..], 0);
        while rest.iter().any(|piece| !piece.is_empty()) {
            let now = file.write_at(rest, 7 + written as u64).unwrap();
            assert!((1..=WRITE_BYTES_MAX).contains(&now), "{now} at once");
            written += now;
            IoSlice::advance_slices(&mut rest, now);
        }
        let mut all = vec![0; written];
        assert_eq!(read_full_at(&*file, &mut all, 7).unwrap(), written);
        assert!(all == pieces.concat() && file.len().unwrap() == 7 + all.len() as u64);
    }

    /// A write is undone that a sync under way has counted in: what is written in its place has not been looked at.
    #[test]
    fn what_is_written_in_the_place_of_an_undone_write_is_looked_at() {
        const M: u64 = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let file = RealFile::new(openat(CWD, &dir.path().join("log"), OFlags::RDWR | OFlags::CREATE).unwrap(), 0);
        let Some(there) = &file.there else {
            println!("skipped: {} is not on ext4", dir.path().display());
            return;
        };
        let write = |at: u64| write_all_at(&file, &vec![b'x'; M as usize], at).unwrap();
        write(0);
        file.sync_data().unwrap();
        write(M);
        // Half of a group is there when the sync begins.
        write(2 * M);
        let (known, len) = (*there.lock(), file.end().unwrap());
        file.file.sync_data().unwrap();
        file.set_len(2 * M).unwrap();
        file.check_for_holes(there, known, len).unwrap();
        // It goes on, and a part of that is dropped.
        write(3 * M);
        let lost = file.sync_data().unwrap_err().to_string();
        assert!(lost.contains(&format!("from byte {} on", 2 * M)), "{lost}");
    }

    #[test]
    fn files_and_directories_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        let disk = RealDisk::make_dir(&dir).unwrap();
        disk.create(Path::new("log")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("log")), 0o600);
        assert!(disk.create(Path::new("log")).is_err(), "never over an existing file");
    }
}
