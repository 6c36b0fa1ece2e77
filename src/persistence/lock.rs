//! The lock that keeps a log from having two writers, and where the log is that it is for.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, statat};

use super::real_disk::{RealDisk, openat, try_flock};

/// The right to write a log, held until it is dropped: `flock` on `<log>.lock`, a file that is made once and never
/// renamed or removed, so that a rewrite, which replaces the log itself, cannot let a second server in.
#[derive(Debug)]
pub struct LogLock {
    _file: File,
}

impl LogLock {
    /// Takes the lock of the log `name` in the directory of `disk`, in which it is no link. `Ok(None)`: somebody else
    /// has it.
    ///
    /// # Errors
    /// It cannot be opened or made, or something else has its name.
    pub fn take(disk: &RealDisk, name: &Path) -> io::Result<Option<Self>> {
        let (dir, lock_name) = (disk.dir(), lock_path(name));
        let file = match open_lock(dir, &lock_name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => {
                if let (Ok(log), Ok(lock)) = (statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), file.metadata())
                    && log.st_uid != lock.uid()
                {
                    // Root has made it with a tool: the server that owns the log has to be able to take it. Others may
                    // not.
                    drop(std::os::unix::fs::fchown(&file, Some(log.st_uid), Some(log.st_gid)));
                }
                file
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => open_lock(dir, &lock_name, OFlags::RDWR)?,
            Err(e) => return Err(e),
        };
        let taken = try_flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(taken.then_some(Self { _file: file }))
    }
}

/// Opens a lock's file. Who owns the directory may have put anything there, for root to open. Another name of it is
/// none of ours: backups are made of such.
fn open_lock(dir: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<File> {
    let refused =
        |what| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, and no lock of kvred's")));
    match openat(dir, path, flags | OFlags::NOFOLLOW | OFlags::NONBLOCK) {
        Ok(file) if !file.metadata()?.is_file() => refused("no regular file"),
        Err(e) if rustix::io::Errno::from_io_error(&e) == Some(rustix::io::Errno::LOOP) => refused("a symbolic link"),
        other => other,
    }
}

/// Whether somebody holds a log's lock. Nothing is made, so it also works where nothing can be written.
///
/// # Errors
/// The lock's file is there and cannot be looked at.
pub fn lock_is_held(log: &Path) -> io::Result<bool> {
    let file = match open_lock(CWD, &lock_path(log), OFlags::RDONLY) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    Ok(!try_flock(&file, FlockOperation::NonBlockingLockShared)?)
}

/// Where a log is that may be named by a symbolic link: there it is locked, and there a rewrite puts the new one.
///
/// # Errors
/// The link leads nowhere: what it should lead to is perhaps not mounted, and a new log is not to be begun in its
/// place.
pub fn follow_links(log: &Path) -> io::Result<PathBuf> {
    let mut path = log.to_owned();
    // As many as the system follows.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) if path == log || path.try_exists()? => return Ok(path),
            Err(_) => {
                let why = format!("it is a symbolic link to {}, where nothing is", path.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Where the lock of a log is kept.
pub fn lock_path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, log) = (RealDisk::new(dir.path()).unwrap(), Path::new("kvred.aof"));
        let held = LogLock::take(&disk, log).unwrap().expect("free");
        assert!(LogLock::take(&disk, log).unwrap().is_none(), "a second one has to wait");
        drop(held);
        assert!(LogLock::take(&disk, log).unwrap().is_some());
        assert!(dir.path().join("kvred.aof.lock").exists(), "the file stays");
    }
}
