//! What a log grows by is on its way to the disk soon, and out of the page cache once it is there.
//!
//! Left to itself, Linux holds back what is written for up to 30 seconds and keeps it in memory for as long as there is
//! any. So a sync finds much to write at once; and what comes next is written to memory that was last used for
//! something else, or, in a virtual machine, that the host has yet to give, which takes several times as long. With the
//! log's last few pieces alone in memory, the same memory serves for all of it. Nobody reads the rest: it is for the
//! next start.
//!
//! Only speed depends on it, but for one thing: a failure to begin is a failed sync, and told of nowhere else. What
//! fails later, the next sync tells of.

use std::io;
use std::ops::Range;

use super::LogOffset;
use super::disk::{DiskFile, PIECE_BYTES};

/// So much is begun at a time: what the kernel does at once, no other thread of the same core interrupts. And no less,
/// so that none is written while it is still growing, nor forgotten with something of it unwritten.
const STEP_BYTES: u64 = PIECE_BYTES;

/// So much is given time to reach the disk before it is to be forgotten: what has not, stays.
const BEHIND_BYTES: u64 = 32 << 20;

/// How far a growing log was begun to be written back, and forgotten.
#[derive(Debug, Clone, Copy)]
pub struct WriteBack {
    begun: u64,
    forgotten: u64,
}

impl WriteBack {
    /// For a log that ends at `end`, of which nothing is to be done about what lies before.
    pub fn new(end: LogOffset) -> Self {
        let from = whole_steps(end);
        Self { begun: from, forgotten: from }
    }

    /// Whether a log that ends at `end` has grown enough for something to be done.
    pub fn is_due(&self, end: LogOffset) -> bool {
        whole_steps(end) > self.begun
    }

    /// What is due for a log that ends at `end`. It is said once.
    pub fn take_due(&mut self, end: LogOffset) -> Due {
        let begin = advance(&mut self.begun, whole_steps(end));
        let forget = advance(&mut self.forgotten, self.begun.saturating_sub(BEHIND_BYTES));
        Due { begin, forget }
    }
}

/// What is to be done for a log's file now.
#[derive(Debug)]
#[must_use]
pub struct Due {
    begin: Range<u64>,
    forget: Range<u64>,
}

impl Due {
    /// Has the system begin to write what the log has grown by. It may wait for the disk, if that has much to do.
    ///
    /// And once more what is to be forgotten, all but certainly for nothing: to forget it would begin it, too, and hide
    /// how that ends.
    ///
    /// # Errors
    /// Those of [`DiskFile::begin_write`].
    pub fn begin_write(&self, file: &dyn DiskFile) -> io::Result<()> {
        file.begin_write(self.begin.clone())?;
        file.begin_write(self.forget.clone())
    }

    /// Lets the system forget what should be on the disk by now.
    pub fn forget(&self, file: &dyn DiskFile) {
        file.forget_cached(self.forget.clone());
    }
}

/// Lets the system forget what a sync has covered, and more of it than was on the disk before.
pub fn forget_synced(file: &dyn DiskFile, synced: Range<LogOffset>) {
    file.forget_cached(whole_steps(synced.start)..whole_steps(synced.end));
}

fn whole_steps(end: LogOffset) -> u64 {
    end.0 - end.0 % STEP_BYTES
}

/// Moves `mark` forward to `to`; what it has passed.
fn advance(mark: &mut u64, to: u64) -> Range<u64> {
    let from = *mark;
    *mark = to.max(from);
    from..*mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_begun_once_and_forgotten_once_behind_the_end() {
        const START: u64 = 5 * STEP_BYTES;
        let mut write_back = WriteBack::new(LogOffset(START + 7));
        let (mut begun, mut forgotten) = (START, START);
        for end in (START..START + 3 * BEHIND_BYTES).step_by(STEP_BYTES as usize / 3) {
            let due = write_back.is_due(LogOffset(end));
            let Due { begin, forget } = write_back.take_due(LogOffset(end));
            assert_eq!(due, !begin.is_empty(), "at {end}");
            assert!(!write_back.is_due(LogOffset(end)), "done at {end}");
            assert_eq!((begin.start, forget.start), (begun, forgotten), "no gap at {end}");
            (begun, forgotten) = (begin.end, forget.end);
            assert!(begun <= end && end - begun < STEP_BYTES, "begun to {begun} of {end}");
            assert_eq!(forgotten, begun.saturating_sub(BEHIND_BYTES).max(START), "forgotten at {end}");
        }
        assert!(forgotten > START, "far enough to forget something");
    }
}
