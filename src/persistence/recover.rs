//! From what the last run left to a log to append to: the whole start of a log, on any disk.
//!
//! What is served afterwards is durable: the log's name, the bytes that a failed sync may have left in the kernel
//! only, and the header of a chain that begins. A crash at any step leaves what the next start repairs in the same way.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::aof::{Aof, remove_leftover, temporary_name};
use super::batch::Flaw;
use super::disk::{Disk, DiskFile, DiskRead};
use super::format::{HEADER_LINE_BYTES, Salt};
use super::make_durable::MakeDurable;
use super::repair::{Cut, cut_tail};
use super::replay::{Recovery, Replay, ReplayError, Verdict};

/// A log to append to, and what was done to get there.
#[derive(Debug)]
pub struct Recovered {
    /// To append to.
    pub aof: Aof,
    /// What was found; `None` if there was no log.
    pub found: Option<Recovery>,
    /// What was cut off a torn log.
    pub cut: Option<Cut>,
    /// Whether an unfinished rewrite was removed.
    pub leftover_removed: bool,
}

/// Why a log cannot be gone on with.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// A file operation failed.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// The log could not be read to its end.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Bytes that ought to be there have changed; nothing was touched.
    #[error("the log is damaged")]
    Damaged(Recovery),
    /// There is no log, but this file of an unfinished rewrite; nothing was touched.
    #[error("there is no log, but {} is left", .0.display())]
    Leftover(PathBuf),
}

/// Opens the log `name`, or makes it. `load` replays it, and tells [`MakeDurable`] of each batch that it has taken; a
/// torn tail is cut off and kept, and all that is left is made durable. `salt` gives a chain that begins its salt.
///
/// # Errors
/// [`RecoverError`]
pub fn recover(
    disk: &dyn Disk,
    name: &Path,
    salt: impl FnOnce() -> Salt,
    load: impl FnOnce(&Arc<dyn DiskRead>, &mut MakeDurable) -> Result<Recovery, ReplayError>,
) -> Result<Recovered, RecoverError> {
    let file = match disk.open(name, true) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return begin(disk, name, None, None, salt()),
        Err(error) => return Err(RecoverError::Io { doing: "cannot open the log", error }),
    };
    let mut make_durable = MakeDurable::new(Arc::clone(&file)).map_err(failed("cannot read the log"))?;
    let found = load(&(Arc::clone(&file) as Arc<dyn DiskRead>), &mut make_durable)?;
    match found.verdict {
        // Nothing is touched: an unfinished rewrite may be the better copy.
        Verdict::Damaged { .. } => return Err(RecoverError::Damaged(found)),
        Verdict::New => return begin(disk, name, Some(&*file), Some(found), salt()),
        Verdict::Clean | Verdict::Torn(_) => {}
    }
    // Beside a log that has begun, even without a command, it is no only copy: a power cut has ended a rewrite.
    let leftover_removed = remove_unfinished(disk, name)?;
    let mut cut = None;
    if matches!(found.verdict, Verdict::Torn(_)) {
        cut = Some(cut_tail(disk, name, &*file, found.end).map_err(failed(
            "its torn tail cannot be cut off, since what is cut cannot be kept; nothing was changed",
        ))?);
    } else if found.file_len > found.end.0 {
        file.set_len(found.end.0).map_err(failed("cannot cut off reserved space"))?;
    }
    // What a client will read has to be durable, even if a sync had failed before the last stop; and so has the log's
    // name, if the last run had renamed it and was killed before the directory's sync.
    disk.sync_dir().map_err(failed("cannot make the log's name durable"))?;
    let from = found.durable.min(found.end);
    make_durable.finish(from, found.end).map_err(failed("cannot make the log durable"))?;
    let aof = match found.chain {
        Some(chain) => {
            Aof::continue_chain(file, chain, found.end).with_rewrites(found.rewrites).with_no_sync(found.no_sync)
        }
        None => Aof::begin_chain(file, found.end, salt()).map_err(failed("cannot append to the log"))?,
    };
    Ok(Recovered { aof, found: Some(found), cut, leftover_removed })
}

/// Begins a new log, in the place of `old` if there is such a file: one without a log in it, as `found` tells.
fn begin(
    disk: &dyn Disk,
    name: &Path,
    old: Option<&dyn DiskFile>,
    found: Option<Recovery>,
    salt: Salt,
) -> Result<Recovered, RecoverError> {
    refuse_leftover(disk, name)?;
    let leftover_removed = remove_unfinished(disk, name)?;
    let aof = Aof::create(disk, name, old, salt).map_err(failed("cannot make a new log"))?;
    Ok(Recovered { aof, found, cut: None, leftover_removed })
}

fn remove_unfinished(disk: &dyn Disk, log: &Path) -> Result<bool, RecoverError> {
    remove_leftover(disk, &temporary_name(log)).map_err(failed("cannot remove an unfinished rewrite"))
}

fn refuse_leftover(disk: &dyn Disk, log: &Path) -> Result<(), RecoverError> {
    let only_copy = only_copy(disk, log).map_err(failed("cannot look at an unfinished rewrite"))?;
    only_copy.map_or(Ok(()), |name| Err(RecoverError::Leftover(name)))
}

/// The file of an unfinished rewrite beside a log that is missing or has no command, where it may be the only copy. It
/// is none if it has no command either: a start that makes the first log may be killed at it, and so may a rewrite of
/// nothing.
///
/// # Errors
/// It cannot be read.
pub fn only_copy(disk: &dyn Disk, log: &Path) -> io::Result<Option<PathBuf>> {
    let name = temporary_name(log);
    let file = match disk.open(&name, false) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if file.len()? <= HEADER_LINE_BYTES as u64 {
        return Ok(None);
    }
    let mut replay = Replay::new(file)?;
    let mut commands = 0;
    while commands == 0
        && let Some(batch) = replay.next()?
    {
        commands = batch.len();
    }
    let is_flawed = replay.flaw().is_some_and(|flaw| *flaw != Flaw::OnlyZeros);
    Ok((commands > 0 || is_flawed).then_some(name))
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> RecoverError {
    move |error| RecoverError::Io { doing, error }
}
