//! Reads a log from end to end and gathers what there is to say about it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use super::super::distinct::Distinct;
use super::super::keys::Keys;
use super::super::readable::{Readable, Unreadable};
use super::super::reading::{self, Settle};
use super::header;
use super::resync;
use crate::command::record::check;
use crate::exit::Status;
use crate::persistence::LogOffset;
use crate::persistence::batch::{Batch, Flaw};
use crate::persistence::disk::DiskRead;
use crate::persistence::replay::{Because, Recovery, Verdict};
use crate::terminal::progress::Progress;

/// An open file.
pub(super) type File = Arc<dyn DiskRead>;

/// All there is to say about a log.
#[derive(Debug)]
pub struct Findings {
    /// What recovery makes of it.
    pub recovery: Recovery,
    /// Batches with a checksum, and their bytes; the rest is plain.
    pub checksummed_batches: u64,
    /// See above.
    pub checksummed_bytes: u64,
    /// Distinct keys that the sound part touches.
    pub keys: u64,
    /// Whether that count is exact, or an estimate.
    pub keys_exact: bool,
    /// The first and the last `#TS`.
    pub times: Option<(i64, i64)>,
    /// The first command that a server would refuse.
    pub refused: Option<Refused>,
    /// What follows a flaw.
    pub behind: Option<Behind>,
    /// Whether the flaw is a wrong bit in the header, which can be put right.
    pub header_fixable: bool,
    /// Whether other parts of a multi-part log follow, so that a torn tail is no trace of a crash.
    pub more_follows: bool,
}

/// A command that kvred does not offer, or what is too long for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it stands.
    pub at: LogOffset,
    /// Which command of the log it is, counted from 1.
    pub record: u64,
    /// Why.
    pub reason: String,
}

/// What follows the first byte of a flawed batch, that batch included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// Bytes to the end of the file.
    pub bytes: u64,
    /// Commands that can be told apart in them.
    pub records: u64,
    /// Batches that verify.
    pub sound_batches: u64,
    /// Their commands.
    pub sound_records: u64,
    /// Their bytes.
    pub sound_bytes: u64,
    /// What the disk cannot read of them all.
    pub(in crate::aof) unreadable: Option<Unreadable>,
}

impl Findings {
    /// The exit code of a check; `serve` ends with the same, but starts over a torn tail.
    pub fn status(&self) -> Status {
        self.conclusion().status()
    }

    /// Whether the disk cannot read all of what would be cut off, so that it could not be kept.
    pub(super) fn is_unreadable(&self) -> bool {
        let damaged_so = matches!(self.recovery.verdict, Verdict::Damaged { because: Because::Unreadable, .. });
        let behind = self.behind.is_some_and(|behind| behind.unreadable.is_some());
        // A header is put right where it stands.
        !self.header_fixable && (damaged_so || behind)
    }

    /// What they come to.
    pub(super) fn conclusion(&self) -> Conclusion {
        match &self.recovery.verdict {
            _ if self.refused.is_some() => Conclusion::Refused,
            Verdict::New => Conclusion::New,
            Verdict::Clean => Conclusion::Clean,
            Verdict::Torn(_) if !self.more_follows => Conclusion::Torn,
            Verdict::Damaged { flaw: Flaw::Rdb, .. } => Conclusion::Snapshot,
            Verdict::Torn(_) | Verdict::Damaged { .. } => Conclusion::Damaged,
        }
    }
}

/// What a check comes to. Of several parts the greatest counts: an empty one beside a clean one makes no new log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conclusion {
    New,
    Clean,
    Torn,
    Unreadable,
    Refused,
    Snapshot,
    Damaged,
}

impl Conclusion {
    /// The exit code.
    pub(super) fn status(self) -> Status {
        match self {
            Self::New | Self::Clean => Status::Fine,
            Self::Torn => Status::Negative,
            Self::Refused | Self::Snapshot | Self::Damaged => Status::Damaged,
            Self::Unreadable => Status::Unavailable,
        }
    }

    /// What JSON calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Clean => "clean",
            Self::Torn => "torn",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Unreadable | Self::Snapshot => "unreadable",
        }
    }

    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::New => "empty, a new log",
            Self::Clean => "clean",
            Self::Torn => "its tail is torn, the trace of a crash; `kvred serve` cuts it off and starts",
            Self::Refused => "has a command that kvred does not take; `kvred serve` refuses it",
            Self::Damaged => "DAMAGED; `kvred serve` refuses it",
            Self::Unreadable | Self::Snapshot => "cannot be read",
        }
    }
}

/// Examines a log that nobody writes to.
///
/// # Errors
/// The file cannot be read.
pub fn examine(file: &Arc<dyn DiskRead>) -> io::Result<Findings> {
    examine_with(file, &Progress::hidden(), Settle::AtOnce, false)
}

pub(super) fn examine_with(
    file: &File,
    progress: &Progress,
    settle: Settle,
    more_follows: bool,
) -> io::Result<Findings> {
    let mut tally = Tally::default();
    let Ok(recovery) = reading::read(file, progress, settle, |batch| {
        tally.count(batch);
        Ok::<_, Infallible>(())
    })?;
    let recovery = recovery.as_part(more_follows);
    let too_long = match &recovery.verdict {
        Verdict::Damaged { flaw: flaw @ Flaw::TooLong, .. } => {
            Some(Refused { at: recovery.end, record: recovery.records + 1, reason: flaw.to_string() })
        }
        _ => None,
    };
    let flawed = too_long.is_none() && matches!(recovery.verdict, Verdict::Torn(_) | Verdict::Damaged { .. });
    let readable = Arc::new(Readable::new(Arc::clone(file)));
    let behind = if flawed { Some(look_behind(&readable, &recovery)?) } else { None };
    let damaged = matches!(recovery.verdict, Verdict::Damaged { .. });
    let header_fixable = damaged && recovery.chain.is_none() && header::mended(&*readable, recovery.end)?.is_some();
    let (keys, keys_exact) = tally.keys.count();
    Ok(Findings {
        recovery,
        checksummed_batches: tally.checksummed_batches,
        checksummed_bytes: tally.checksummed_bytes,
        keys,
        keys_exact,
        times: tally.times,
        refused: tally.refused.or(too_long),
        behind,
        header_fixable,
        more_follows,
    })
}

#[derive(Default)]
struct Tally {
    records: u64,
    checksummed_batches: u64,
    checksummed_bytes: u64,
    keys: Distinct,
    times: Option<(i64, i64)>,
    refused: Option<Refused>,
}

impl Tally {
    fn count(&mut self, batch: &Batch<'_>) {
        if batch.checksummed {
            self.checksummed_batches += 1;
            self.checksummed_bytes += batch.end - batch.start;
        }
        for (_, time) in batch.times() {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        for (at, args) in batch.records() {
            self.records += 1;
            if self.refused.is_none()
                && let Err(reason) = check(args)
            {
                self.refused = Some(Refused { at, record: self.records, reason });
            }
            for key in Keys::of(args).values(args) {
                self.keys.add(key);
            }
        }
    }
}

fn look_behind(file: &Arc<Readable>, recovery: &Recovery) -> io::Result<Behind> {
    let from = recovery.end;
    let mut behind = Behind {
        bytes: recovery.file_len.saturating_sub(from.0),
        records: resync::count_commands(&**file, from, recovery.file_len)?,
        ..Behind::default()
    };
    let (mut survey, _) = header::survey(&(Arc::clone(file) as File), recovery)?;
    while let Some(survivor) = survey.next(|_| {})? {
        behind.sound_batches += 1;
        behind.sound_records += survivor.records;
        behind.sound_bytes += survivor.end - survivor.start;
    }
    behind.unreadable = file.unreadable(from, LogOffset(recovery.file_len));
    Ok(behind)
}

#[cfg(test)]
mod tests {
    use super::super::super::image::tests::log_of_values;
    use super::*;
    use crate::persistence::disk::tests::Failing;

    #[test]
    fn a_wrong_bit_of_the_header_can_be_put_right_whatever_cannot_be_read_behind_it() {
        let mut bytes = log_of_values(10, 300_000);
        bytes[12] ^= 1;
        let failing: File = Arc::new(Failing { bytes, at: 2_000_000..2_000_001 });
        let found = examine(&failing).unwrap();
        assert!(found.behind.is_some_and(|behind| behind.unreadable.is_some()));
        assert!(found.header_fixable && !found.is_unreadable());
    }
}
