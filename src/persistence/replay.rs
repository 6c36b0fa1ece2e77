//! Recovery: whether a log is sound, torn or damaged.
//!
//! Let `X` be the first byte of the first batch that is incomplete or does not verify, and `D` the greatest offset
//! that any valid `#SYNCED` of the file states.
//!
//! | what is found | what it is |
//! |---|---|
//! | no `X` | a clean log |
//! | an empty file | a new log |
//! | a file of only zero bytes | damage: a header is synced before its file has the log's name |
//! | only zero bytes from a commit on | clean: reserved space, cut off |
//! | `X < D` | damage: bytes that were durable have changed |
//! | `X >= D`, and a valid batch follows `X` in a stretch under `#NOSYNC` | damage, since hours may follow |
//! | `X >= D`, and at `X`, or behind whole commands there, another server's begin | damage: nobody may cut them off unasked |
//! | at `X`, behind a chain, the header of another one stands | damage: no crash puts two logs together |
//! | a batch follows `X` that is valid in another place than its own | damage: no crash shifts bytes |
//! | more follows `X` that looks like batches than can be looked into | damage: what was durable may be among it |
//! | `X`, or something behind it, cannot be read | damage: it may have been durable |
//! | `X` is in a plain log, and a valid batch follows it | damage: kvred goes on behind whole commands only |
//! | `X >= D` otherwise | a torn tail, the trace of a crash: nothing from `X` on was promised to survive it |
//!
//! A plain Redis log states nothing; what its end tells is for `plain` to say.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::batch::{Batch, Flaw};
use super::disk::{DiskRead, is_unreadable};
use super::format::{Annotation, Chain};
use super::reader::{Event, LogReader};
use super::survey::Survey;
use super::{LogOffset, plain};
use crate::protocol::decode::ProtocolError;
use crate::protocol::number::counted;

/// What a log was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Empty.
    New,
    /// Every byte is accounted for, but for reserved space behind the end.
    Clean,
    /// The tail from [`Recovery::end`] on was not promised to survive, and did not.
    Torn(Flaw),
    /// Bytes that ought to be there have changed.
    Damaged {
        /// What is wrong with the batch at [`Recovery::end`].
        flaw: Flaw,
        /// Where it showed.
        seen_at: LogOffset,
        /// Why it is not taken for the trace of a crash.
        because: Because,
    },
}

/// Why a flaw is damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Because {
    /// `X < D`.
    #[error("a later batch states that these bytes were durable")]
    WasDurable,
    /// A valid batch follows under `#NOSYNC`.
    #[error("sound batches follow it in a stretch that was written without syncs")]
    SoundBatchesFollow,
    /// Another server has appended to a log of kvred's.
    #[error("plain commands follow the last batch, as another server appends them")]
    PlainCommandsFollow,
    /// A chain's header follows the last batch of another chain.
    #[error("another log of kvred's follows the last batch")]
    AnotherLogFollows,
    /// A batch follows that is valid so many bytes out of its place ([`Survivor::shift`](super::survey::Survivor)).
    #[error("later batches verify, but out of their places: {}", out_of_place(*.0))]
    OutOfPlace(i64),
    /// So much looks like batches that it was not all looked into ([`Survey::gave_up`]).
    #[error("more of what follows looks like batches than can be looked into")]
    TooMuchFollows,
    /// The disk fails at it, or behind it.
    #[error("what the disk cannot read may have been durable")]
    Unreadable,
    /// A plain log whose end parses from a later offset on.
    #[error("whole commands follow it")]
    CommandsFollow,
    /// A plain log in which a chain's header follows, with sound batches or at the end.
    #[error("the header follows with which kvred goes on behind whole commands only")]
    HeaderFollows,
    /// A plain log that is not RESP at some place.
    #[error("a crash does not leave this")]
    NotATrace,
}

fn out_of_place(shift: i64) -> String {
    let side = if shift > 0 { "before" } else { "behind" };
    format!("{} {side} where they were written", counted(shift.unsigned_abs(), "byte"))
}

/// What reading a log to its end has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What the log is.
    pub verdict: Verdict,
    /// Where its sound part ends (`X`, or the end of the last batch).
    pub end: LogOffset,
    /// The file's length.
    pub file_len: u64,
    /// The greatest offset known to have been durable (`D`), at most `end` unless the log is damaged.
    pub durable: LogOffset,
    /// What the next batch's checksum is computed from; `None` for a plain log.
    pub chain: Option<Chain>,
    /// Commands up to `end`.
    pub records: u64,
    /// Batches up to `end`.
    pub batches: u64,
    /// The number of the last rewrite, 0 if there was none.
    pub rewrites: u64,
    /// Whether the stretch before `end` was written under `#NOSYNC`.
    pub no_sync: bool,
}

/// Why a log could not be replayed to the end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A command that the caller refuses, or that is too long to be read.
    #[error("record {number} at byte {at}: {reason}")]
    Refused {
        /// Where the command stands.
        at: LogOffset,
        /// Which command of the log it is, counted from 1.
        number: u64,
        /// Why.
        reason: String,
    },
}

/// A command that cannot be replayed: its index in the batch, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Which record of the batch.
    pub index: usize,
    /// Why, as a clause.
    pub reason: String,
}

/// Reads a log from its beginning, hands every sound batch to `apply` in order, and says what the log is.
/// `progress` is told now and then how far it has come, in bytes.
///
/// # Errors
/// The file cannot be read, `apply` refuses a record, or what stands together is too long.
pub fn replay(
    file: &Arc<dyn DiskRead>,
    mut progress: impl FnMut(LogOffset),
    mut apply: impl FnMut(&Batch<'_>) -> Result<(), RefusedRecord>,
) -> Result<Recovery, ReplayError> {
    let mut replay = Replay::new(Arc::clone(file))?;
    loop {
        let records = replay.found.records;
        let Some(batch) = replay.next()? else { break };
        apply(&batch).map_err(|refused| ReplayError::Refused {
            at: batch.records().nth(refused.index).map_or(batch.start, |(at, _)| at),
            number: records + refused.index as u64 + 1,
            reason: refused.reason,
        })?;
        progress(batch.end);
    }
    if let Some((flaw @ Flaw::TooLong, _)) = &replay.flaw {
        let Recovery { end: at, records, .. } = replay.found;
        return Err(ReplayError::Refused { at, number: records + 1, reason: flaw.to_string() });
    }
    Ok(replay.finish(progress)?)
}

/// A replay step by step, for who does not want all of it; [`replay`] is made of it.
pub struct Replay {
    file: Arc<dyn DiskRead>,
    reader: LogReader,
    found: Recovery,
    flaw: Option<(Flaw, LogOffset)>,
}

impl Replay {
    /// At the beginning of `file`.
    ///
    /// # Errors
    /// The file's length cannot be told.
    pub fn new(file: Arc<dyn DiskRead>) -> io::Result<Self> {
        let found = Recovery {
            verdict: Verdict::Clean,
            end: LogOffset(0),
            file_len: file.len()?,
            durable: LogOffset(0),
            chain: None,
            records: 0,
            batches: 0,
            rewrites: 0,
            no_sync: false,
        };
        Ok(Self { reader: LogReader::new(Arc::clone(&file)), file, found, flaw: None })
    }

    /// The next sound batch; `None` at the end of the sound part, after which it is called no more unless
    /// [`Replay::retry`] was called before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Batch<'_>>> {
        let found = &mut self.found;
        match self.reader.next()? {
            Event::Batch(batch) => {
                found.records += batch.len() as u64;
                found.batches += 1;
                found.note(batch.annotations);
                found.end = batch.end;
                return Ok(Some(batch));
            }
            Event::Zeros(at) => found.end = at,
            Event::Flawed { at, seen_at, flaw } => {
                found.end = at;
                self.flaw = Some((flaw, seen_at));
                return Ok(None);
            }
            Event::End => {}
        }
        Ok(None)
    }

    /// What was found so far; its verdict is [`Verdict::Clean`] until [`Replay::finish`] gives one.
    pub fn found(&self) -> &Recovery {
        &self.found
    }

    /// The flaw at which the sound part ended, if it was one.
    pub fn flaw(&self) -> Option<&Flaw> {
        self.flaw.as_ref().map(|(flaw, _)| flaw)
    }

    /// Makes ready to look again at what ended the sound part: the log may have grown, or been repaired.
    pub fn retry(&mut self) {
        self.flaw = None;
        self.reader.rewind();
    }

    /// Says what the log is, once [`Replay::next`] has returned `None`. What lies behind a flaw is searched for that;
    /// `progress` is told now and then how far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn finish(self, mut progress: impl FnMut(LogOffset)) -> io::Result<Recovery> {
        let mut found = self.found;
        // Who has looked again has seen more of it than there was at first.
        found.file_len = self.file.len()?;
        found.chain = self.reader.chain();
        if let Some((flaw, seen_at)) = self.flaw {
            found.verdict = match found.judge(&self.file, &flaw, seen_at, &mut progress) {
                Ok(Some(because)) => Verdict::Damaged { flaw, seen_at, because },
                Ok(None) => Verdict::Torn(flaw),
                Err(e) if is_unreadable(&e) => Verdict::Damaged { flaw, seen_at, because: Because::Unreadable },
                Err(e) => return Err(e),
            };
        } else {
            // Behind the last batch there may be a header without a batch.
            found.end = found.end.max(self.reader.position());
            if found.end == LogOffset(0) {
                found.verdict = Verdict::New;
            }
        }
        Ok(found)
    }
}

impl Recovery {
    /// The same of a part, and whether other parts of its log follow it. Zeros at the end of a plain one are no
    /// reserved space then: what stood there is lost, and what follows would be taken for all that was written since.
    #[must_use]
    pub fn as_part(mut self, more_follows: bool) -> Self {
        if more_follows && self.verdict == Verdict::Clean && self.chain.is_none() && self.end.0 < self.file_len {
            self.verdict = Verdict::Torn(Flaw::NotResp(ProtocolError::NotAnArray(0)));
        }
        self
    }

    fn note(&mut self, annotations: &[Annotation]) {
        for annotation in annotations {
            match *annotation {
                Annotation::Synced(at) => {
                    self.durable = self.durable.max(at);
                    self.no_sync = false;
                }
                Annotation::NoSync => self.no_sync = true,
                Annotation::Rewritten(n) => self.rewrites = n,
                Annotation::Timestamp(_) | Annotation::Header(_) | Annotation::Commit { .. } | Annotation::Unknown => {}
            }
        }
    }

    /// Why a flaw at `self.end` is damage; `None`: it is a tear.
    fn judge(
        &mut self,
        file: &Arc<dyn DiskRead>,
        flaw: &Flaw,
        seen_at: LogOffset,
        progress: &mut impl FnMut(LogOffset),
    ) -> io::Result<Option<Because>> {
        Ok(match self.chain {
            _ if *flaw == Flaw::Unreadable => Some(Because::Unreadable),
            None if *flaw == Flaw::OnlyZeros => Some(Because::NotATrace),
            Some(_) if plain::salt_at(&**file, self.end)?.is_some() => Some(Because::AnotherLogFollows),
            Some(_) => match self.judge_by_survivors(file, progress)? {
                None if plain::another_server_follows(&**file, self.end)? => Some(Because::PlainCommandsFollow),
                because => because,
            },
            None if plain::header_remains(&**file, self.end, self.file_len)? => None,
            None if plain::has_bare_newline(&**file, self.end)? => Some(Because::NotATrace),
            None if *flaw == Flaw::Incomplete => match self.judge_by_survivors(file, progress)? {
                None => plain::judge_by_text(&**file, self.end, seen_at, self.file_len)?,
                because => because,
            },
            None => Some(Because::NotATrace),
        })
    }

    /// By what the batches state that verify behind the flaw.
    fn judge_by_survivors(
        &mut self,
        file: &Arc<dyn DiskRead>,
        progress: &mut impl FnMut(LogOffset),
    ) -> io::Result<Option<Because>> {
        let (mut behind, mut sound_under_no_sync, mut any_sound) = (self.clone(), false, false);
        let mut survey = Survey::new(Arc::clone(file), self.chain, self.end, self.file_len);
        while let Some(survivor) = survey.next(&mut *progress)? {
            if survivor.shift != 0 {
                return Ok(Some(Because::OutOfPlace(survivor.shift)));
            }
            behind.note(&survivor.annotations);
            self.durable = behind.durable;
            sound_under_no_sync |= behind.no_sync;
            any_sound = true;
        }
        Ok(if self.end < self.durable {
            Some(Because::WasDurable)
        } else if sound_under_no_sync {
            Some(Because::SoundBatchesFollow)
        } else if let Some(shift) = survey.passed_over() {
            Some(Because::OutOfPlace(shift))
        } else if survey.gave_up() {
            Some(Because::TooMuchFollows)
        } else if any_sound && self.chain.is_none() {
            // One that states nothing may stand in a value; but what is in its place by chance is hardly there, and
            // another chain behind it was then not looked for.
            Some(Because::HeaderFollows)
        } else {
            None
        })
    }
}
