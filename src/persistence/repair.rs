//! The repair of a torn tail: what is cut off is kept in a file of its own.

use std::io;
use std::path::{Path, PathBuf};

use super::LogOffset;
use super::disk::{BLOCK_BYTES, Disk, DiskFile, DiskRead, read_full_at, write_all_at};

/// What the repair of a torn tail did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// How many bytes were cut off, trailing zeros included.
    pub bytes: u64,
    /// The file that keeps them, in the log's directory; `None` if there were only zeros.
    pub kept_in: Option<PathBuf>,
}

/// Cuts a log off at `end`: first what is cut (less trailing zeros) is copied to `<log>.cut-<end>` and synced, then
/// the log is truncated and synced. A crash in between repeats it.
///
/// # Errors
/// If the copy cannot be written, nothing was truncated.
pub fn cut_tail(disk: &dyn Disk, log: &Path, file: &dyn DiskFile, end: LogOffset) -> io::Result<Cut> {
    let file_len = file.len()?;
    let kept_len = len_without_trailing_zeros(file, end, file_len)?;
    let kept_in = if kept_len > end { Some(keep_copy(disk, log, file, end, kept_len)?) } else { None };
    file.set_len(end.0)?;
    file.sync_data()?;
    Ok(Cut { bytes: file_len - end.0, kept_in })
}

/// Where a file ends from `from` on, less the zero bytes at its end.
///
/// # Errors
/// The file cannot be read.
pub fn len_without_trailing_zeros(file: &dyn DiskRead, from: LogOffset, file_len: u64) -> io::Result<LogOffset> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut end = file_len;
    while end > from.0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64).max(from.0);
        let read = read_full_at(file, &mut block[..(end - start) as usize], start)?;
        if let Some(last) = block[..read].iter().rposition(|&b| b != 0) {
            return Ok(LogOffset(start + last as u64 + 1));
        }
        end = start;
    }
    Ok(from)
}

/// Copies the bytes `from..to` of a log into `<log>.cut-<from>` and syncs it, unless such a copy is there already.
///
/// # Errors
/// The copy cannot be written.
pub fn keep_copy(
    disk: &dyn Disk,
    log: &Path,
    file: &dyn DiskRead,
    from: LogOffset,
    to: LogOffset,
) -> io::Result<PathBuf> {
    for n in 0u32.. {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".cut-{from}"));
        if n > 0 {
            name.push(format!(".{n}"));
        }
        let name = PathBuf::from(name);
        let copy = match disk.create(&name) {
            Ok(copy) => copy,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // A repair that a crash interrupted may have left all of it, or a beginning.
                let copy = disk.open(&name, true)?;
                if !is_prefix(&*copy, file, from, to)? {
                    continue;
                }
                copy
            }
            Err(e) => return Err(e),
        };
        copy_range(file, from, to, &*copy)?;
        copy.sync_data()?;
        disk.sync_dir()?;
        return Ok(name);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

pub(super) fn blocks(from: LogOffset, to: LogOffset) -> impl Iterator<Item = (u64, usize)> {
    (from.0..to.0).step_by(BLOCK_BYTES).map(move |at| (at, (to.0 - at).min(BLOCK_BYTES as u64) as usize))
}

fn copy_range(file: &dyn DiskRead, from: LogOffset, to: LogOffset, copy: &dyn DiskFile) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    for (at, len) in blocks(from, to) {
        let read = read_full_at(file, &mut block[..len], at)?;
        write_all_at(copy, &block[..read], at - from.0)?;
    }
    Ok(())
}

/// Whether `copy` holds nothing but a beginning of the bytes `from..to`.
fn is_prefix(copy: &dyn DiskRead, file: &dyn DiskRead, from: LogOffset, to: LogOffset) -> io::Result<bool> {
    let copy_len = copy.len()?;
    if copy_len > to - from {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    for (at, len) in blocks(from, from + copy_len) {
        let read = read_full_at(file, &mut ours[..len], at)?;
        if read != read_full_at(copy, &mut theirs[..len], at - from.0)? || ours[..read] != theirs[..read] {
            return Ok(false);
        }
    }
    Ok(true)
}
