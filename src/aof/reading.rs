//! One pass over a log as it was when the pass began.
//!
//! A server may be writing to the log meanwhile. The pass reads up to the length that the file had at first, so it
//! ends; a batch that was half written at that moment is looked at again a little later, and is not taken for torn.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::view::View;
use crate::persistence::disk::DiskFile;
use crate::persistence::reader::Batch;
use crate::persistence::replay::{Recovery, Replay};
use crate::terminal::progress::Progress;

/// How long a batch that does not verify is given to change before it is taken for what it is.
const SETTLES_WITHIN: Duration = Duration::from_millis(30);

/// Whether somebody may be writing to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settle {
    /// Perhaps: a batch that does not verify is looked at again.
    Wait,
    /// Nobody is: what is read is final.
    AtOnce,
}

/// Reads the sound part of a log, batch by batch, and says what the log is; or why `each` wanted no more of it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read<E>(
    file: &Arc<dyn DiskFile>,
    progress: &Progress,
    settle: Settle,
    mut each: impl FnMut(&Batch<'_>) -> Result<(), E>,
) -> io::Result<Result<Recovery, E>> {
    let snapshot = Arc::new(View::snapshot(Arc::clone(file))?);
    let mut replay = Replay::new(Arc::clone(&snapshot) as Arc<dyn DiskFile>)?;
    while let Some(batch) = replay.next()? {
        progress.at(batch.end.0);
        if let Err(why) = each(&batch) {
            return Ok(Err(why));
        }
    }
    while replay.flaw().is_some() && settle == Settle::Wait {
        let (flaw, len) = (replay.flaw().cloned(), file.len()?);
        std::thread::sleep(SETTLES_WITHIN);
        let len_now = snapshot.catch_up()?;
        replay.retry();
        if let Some(batch) = replay.next()? {
            // It was being written. What comes behind it is of later than this pass.
            if let Err(why) = each(&batch) {
                return Ok(Err(why));
            }
        } else if replay.flaw() == flaw.as_ref() && len_now == len {
            break;
        }
    }
    replay.finish().map(Ok)
}
