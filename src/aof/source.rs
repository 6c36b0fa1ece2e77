//! Opens what the user named, for reading only: a log, or the parts that a manifest lists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exit::{Failure, OrExit};
use crate::persistence::batch::Flaw;
use crate::persistence::disk::{DiskRead, is_unreadable, read_full_at};
use crate::persistence::lock::{LogLock, follow_links};
use crate::persistence::manifest;
use crate::persistence::reader::{SNAPSHOT_MAGIC_BYTES, is_snapshot};
use crate::persistence::real_disk::{RealDisk, file_name, open_to_read};

/// What the user named.
pub(super) struct Source {
    /// Its path, as given.
    pub(super) path: PathBuf,
    /// The log, or its parts in order.
    pub(super) parts: Vec<Part>,
    /// Whether the parts come from a manifest.
    pub(super) is_manifest: bool,
}

impl Source {
    /// Whether other parts of the log follow the n-th here, also where one was named without its manifest, so that what
    /// it ends with is no trace of a crash.
    pub(super) fn more_follows(&self, n: usize) -> bool {
        // A file may have no place to look in, as /proc/PID/fd/N of one that was removed.
        let followed = || manifest::that_lists(&self.path, |n, parts| n + 1 < parts).ok().flatten().is_some();
        n + 1 < self.parts.len() || (!self.is_manifest && followed())
    }
}

/// A file with commands.
pub(super) struct Part {
    /// Where it is.
    pub(super) path: PathBuf,
    /// It, open; or why it cannot be read.
    pub(super) file: Result<Arc<dyn DiskRead>, String>,
}

impl Part {
    /// It, open.
    ///
    /// # Errors
    /// It cannot be read: exit code 3.
    pub(super) fn file(&self) -> Result<&Arc<dyn DiskRead>, Failure> {
        self.file.as_ref().map_err(|why| failure!(Unavailable, "{}: {why}", self.path.display()))
    }
}

/// Opens a log or a manifest.
///
/// # Errors
/// It cannot be read, or is no regular file: exit code 3.
pub(super) fn open(path: &Path) -> Result<Source, Failure> {
    let shown = path.display();
    let file = open_file(path)?;
    let mut beginning = [0; 5];
    let read = match read_full_at(&*file, &mut beginning, 0) {
        // A log is one, too, if the disk cannot read its beginning.
        Err(e) if is_unreadable(&e) && file.len().is_ok_and(|len| len > 0) => 0,
        read => read.or_unavailable(|| format!("cannot read {shown}"))?,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !manifest::is_manifest(&name, &beginning[..read]) {
        return Ok(Source {
            path: path.to_owned(),
            parts: vec![Part { path: path.to_owned(), file: Ok(file) }],
            is_manifest: false,
        });
    }
    let names = manifest::read(path).or_unavailable(|| format!("cannot read the manifest {shown}"))?;
    let names = names.map_err(|why| failure!(Unavailable, "{shown} is not a manifest that Redis would load: {why}"))?;
    // It would be shown wherever the part is.
    if let Some(name) = names.iter().find(|name| name.to_string_lossy().contains(char::is_control)) {
        return Err(failure!(Unavailable, "{shown} names a file with control characters, {name:?}; rename that"));
    }
    let parts = names.into_iter().map(|name| {
        let path = path.with_file_name(name);
        let file = open_file(&path).map_err(|e| format!("{e:#}")).and_then(not_a_snapshot);
        Part { path, file }
    });
    Ok(Source { path: path.to_owned(), parts: parts.collect(), is_manifest: true })
}

/// The manifest that lists a file behind another part. It then holds what has changed since that part, and is no log by
/// itself.
///
/// # Errors
/// A directory cannot be read: exit code 3.
pub(super) fn manifest_of_later_part(file: &Path) -> Result<Option<PathBuf>, Failure> {
    let found = manifest::that_lists(file, |n, _| n > 0);
    found.or_unavailable(|| format!("cannot look for a manifest beside {}", file.display()))
}

/// Of a part that begins with a snapshot nothing can be read, so it is said before anything is shown.
fn not_a_snapshot(file: Arc<dyn DiskRead>) -> Result<Arc<dyn DiskRead>, String> {
    let mut beginning = [0; SNAPSHOT_MAGIC_BYTES];
    let read = read_full_at(&*file, &mut beginning, 0).map_err(|e| e.to_string())?;
    if is_snapshot(&beginning[..read]) {
        return Err(Flaw::Rdb.to_string());
    }
    Ok(file)
}

fn open_file(path: &Path) -> Result<Arc<dyn DiskRead>, Failure> {
    let shown = path.display();
    if path.is_dir() {
        let hint = "name the log in it, or the manifest of one in several parts";
        return Err(failure!(Unavailable, "{shown} is a directory; {hint}"));
    }
    open_to_read(path).or_unavailable(|| format!("cannot read {shown}"))
}

/// Where a log is that is to be changed; see [`follow_links`].
///
/// # Errors
/// It is not there: exit code 3.
pub(super) fn real_path(log: &Path) -> Result<PathBuf, Failure> {
    follow_links(log).or_unavailable(|| format!("cannot change {}", log.display()))
}

/// Refuses to write a new log over whatever is there.
///
/// # Errors
/// Something is, a dangling link too: exit code 3.
pub(super) fn refuse_existing(out: &Path) -> Result<(), Failure> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(failure!(Unavailable, "{} is there already; name a new file", out.display()))
}

/// Takes the lock of a log at its real path, in the directory of `disk`, to change it or to be sure that nobody else
/// does.
///
/// # Errors
/// A server has it, or the lock's file cannot be made: exit code 3.
pub(super) fn lock(disk: &RealDisk, log: &Path) -> Result<LogLock, Failure> {
    let shown = log.display();
    LogLock::take(disk, file_name(log)).or_unavailable(|| format!("cannot take the lock of {shown}"))?.ok_or_else(
        || failure!(Unavailable, "{shown} is in use by a kvred server, which alone may change it; stop that one first"),
    )
}
