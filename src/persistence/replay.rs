//! Recovery: what a log is (sound, torn, damaged), and the repair of a torn tail.
//!
//! Let `X` be the first byte of the first batch that is incomplete or does not verify, and `D` the greatest offset
//! that any valid `#SYNCED` of the file states.
//!
//! | what is found | what it is |
//! |---|---|
//! | no `X` | a clean log |
//! | an empty file, or only zero bytes | a new log |
//! | only zero bytes from a commit on | clean: reserved space, cut off |
//! | `X < D` | damage: bytes that were durable have changed |
//! | `X >= D`, and a valid batch follows `X` in a stretch under `#NOSYNC` | damage, since hours may follow |
//! | `X >= D` otherwise | a torn tail, the trace of a crash: nothing from `X` on was promised to survive it |
//!
//! A plain Redis log states nothing: its incomplete last command is a torn tail only if no later offset parses as
//! commands to the end of the file, and anything else that is wrong is damage; but for the remains of the header with
//! which kvred had begun to go on in it. Where kvred has gone on, which it does behind whole commands only, its first
//! batch states that they were durable, as in the table; and a header with no batch yet tells the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::{memchr_iter, memmem};
use thiserror::Error;

use super::LogOffset;
use super::disk::{Disk, DiskFile, read_full_at, write_all_at};
use super::format::{
    Annotation, COMMIT_LINE_BYTES, COMMIT_NAME, Chain, HEADER_LINE_BYTES, HEADER_NAME, Salt, salt_of_header,
};
use super::reader::{Batch, Event, Flaw, LogReader};
use super::survey::commit_line;
pub use super::survey::{Survey, Survivor};
use crate::protocol::decode::{Args, array_at, bulk_at};

/// How much is copied, compared or searched at once.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// What a log was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Empty, or only zero bytes.
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
    /// A plain log whose end parses from a later offset on.
    #[error("whole commands follow it")]
    CommandsFollow,
    /// A plain log that ends with a chain's header.
    #[error("the header follows with which kvred goes on behind whole commands only")]
    HeaderFollows,
    /// A plain log that is not RESP at some place.
    #[error("a crash does not leave this")]
    NotATrace,
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
    /// A command that the caller refuses.
    #[error("record {number} at byte {at}: {reason}")]
    Refused {
        /// Where the command stands.
        at: LogOffset,
        /// Which command of the log it is, counted from 1.
        number: u64,
        /// The caller's reason.
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
/// The file cannot be read, or `apply` refuses a record.
pub fn replay(
    file: &Arc<dyn DiskFile>,
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
    Ok(replay.finish()?)
}

/// A replay step by step, for who does not want all of it; [`replay`] is made of it.
pub struct Replay {
    file: Arc<dyn DiskFile>,
    reader: LogReader,
    found: Recovery,
    flaw: Option<(Flaw, LogOffset)>,
}

impl Replay {
    /// At the beginning of `file`.
    ///
    /// # Errors
    /// The file's length cannot be told.
    pub fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
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

    /// Says what the log is, once [`Replay::next`] has returned `None`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn finish(self) -> io::Result<Recovery> {
        let mut found = self.found;
        found.chain = self.reader.chain();
        if let Some((flaw, seen_at)) = self.flaw {
            found.verdict = found.judge(&self.file, flaw, seen_at)?;
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

    /// Decides what a flaw at `self.end` is.
    fn judge(&mut self, file: &Arc<dyn DiskFile>, flaw: Flaw, seen_at: LogOffset) -> io::Result<Verdict> {
        let because = match self.chain {
            Some(_) => self.judge_by_survivors(file)?,
            None if header_remains(&**file, self.end, self.file_len)? => None,
            None if has_bare_newline(&**file, self.end)? => Some(Because::NotATrace),
            None if flaw == Flaw::Incomplete => match self.judge_by_survivors(file)? {
                None => judge_by_text(&**file, self.end, seen_at, self.file_len)?,
                because => because,
            },
            None => Some(Because::NotATrace),
        };
        Ok(match because {
            Some(because) => Verdict::Damaged { flaw, seen_at, because },
            None => Verdict::Torn(flaw),
        })
    }

    /// By what the batches state that verify behind the flaw.
    fn judge_by_survivors(&mut self, file: &Arc<dyn DiskFile>) -> io::Result<Option<Because>> {
        let (mut no_sync, mut sound_under_no_sync) = (self.no_sync, false);
        let mut survey = Survey::new(Arc::clone(file), self.chain, self.end, self.file_len);
        while let Some(survivor) = survey.next()? {
            for annotation in &survivor.annotations {
                match *annotation {
                    Annotation::Synced(at) => {
                        self.durable = self.durable.max(at);
                        no_sync = false;
                    }
                    Annotation::NoSync => no_sync = true,
                    _ => {}
                }
            }
            sound_under_no_sync |= no_sync;
        }
        Ok(if self.end < self.durable {
            Some(Because::WasDurable)
        } else if sound_under_no_sync {
            Some(Because::SoundBatchesFollow)
        } else {
            None
        })
    }
}

/// Whether all that follows `from` is what a power cut left of a chain's header, which kvred writes behind a plain log:
/// some of its bytes, the others zeros.
fn header_remains(file: &dyn DiskFile, from: LogOffset, file_len: u64) -> io::Result<bool> {
    if file_len - from.0 > HEADER_LINE_BYTES as u64 {
        return Ok(false);
    }
    let mut tail = [0; HEADER_LINE_BYTES];
    let read = read_full_at(file, &mut tail, from.0)?;
    if read == HEADER_LINE_BYTES && !tail.contains(&0) {
        // All of it is there: what is wrong with it has changed since.
        return Ok(false);
    }
    let mut any_header = Vec::with_capacity(HEADER_LINE_BYTES);
    Annotation::Header(Salt(0)).write(&mut any_header);
    let fits = |(&byte, &form): (&u8, &u8)| match form {
        _ if byte == 0 => true,
        b'0'..=b'9' | b'a'..=b'f' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        _ => byte == form,
    };
    Ok(tail[..read].iter().zip(&any_header).all(fits))
}

/// Whether the line at `from` ends without a CR, as in a file that an editor has converted: the decoder waits for one,
/// and so takes all that follows for an incomplete command.
fn has_bare_newline(file: &dyn DiskFile, from: LogOffset) -> io::Result<bool> {
    // Enough for any number.
    let mut line = [0; 64];
    let read = read_full_at(file, &mut line, from.0)?;
    Ok(memchr::memchr2(b'\r', b'\n', &line[..read]).is_some_and(|at| line[at] == b'\n'))
}

/// Whether what looks like an incomplete end of a plain log is a wrong length that swallowed the rest: some offset behind
/// `seen_at` parses as whole commands to the end of the file, or kvred had begun to go on there.
fn judge_by_text(
    file: &dyn DiskFile,
    end: LogOffset,
    seen_at: LogOffset,
    file_len: u64,
) -> io::Result<Option<Because>> {
    let mut tail = vec![0; (file_len - end.0) as usize];
    let read = read_full_at(file, &mut tail, end.0)?;
    tail.truncate(read);
    // Behind an open MULTI there are whole commands; only what follows an incomplete one tells.
    let behind = tail.get((seen_at - end) as usize..).unwrap_or_default();
    Ok(if ends_with_command(behind) {
        Some(Because::CommandsFollow)
    } else if ends_with_header(&tail) {
        Some(Because::HeaderFollows)
    } else {
        None
    })
}

/// Whether a text ends with a chain's header, or with that and a beginning of the chain's first batch. A header with
/// whole batches that do not verify is none: it stands in a value.
fn ends_with_header(text: &[u8]) -> bool {
    let Some(at) = memmem::rfind(text, HEADER_NAME) else { return false };
    let (before, header) = text.split_at(at);
    let is_whole = |at: usize| header.get(at..at + COMMIT_LINE_BYTES).and_then(commit_line).is_some();
    before.ends_with(b"\n")
        && header.get(..HEADER_LINE_BYTES).and_then(salt_of_header).is_some()
        && !memmem::find_iter(header, COMMIT_NAME).any(is_whole)
}

/// Whether a command that begins with a line, but not the first, ends where the text does. If whole commands lead to
/// the end from anywhere, the last of them does so by itself.
///
/// A value may hold a million lines that look like commands, each of all the strings behind it. So that none of them
/// costs more than a look, strings are followed from the end backwards, each once, and for each it is noted how many
/// lead from it to the end: time grows as n log n, memory with the number of such strings.
pub(super) fn ends_with_command(text: &[u8]) -> bool {
    // Where each begins, the last one first, and how many there are from it on.
    let mut strings: Vec<(u32, u32)> = Vec::new();
    for at in memchr_iter(b'\n', text).rev().map(|newline| newline + 1) {
        if let Some((_, behind)) = bulk_at(text, at) {
            if let Some(more) = strings_from(&strings, behind, text.len()) {
                strings.push((at as u32, more + 1));
            }
        } else if let Some((len, first)) = array_at(text, at)
            && strings_from(&strings, first, text.len()).is_some_and(|strings| strings as usize == len)
            && bulk_at(text, first).is_some_and(|(name, _)| is_command(Args::new(text, &[name])))
        {
            return true;
        }
    }
    false
}

/// How many strings lead from `at` to the end, if they do.
fn strings_from(strings: &[(u32, u32)], at: usize, end: usize) -> Option<u32> {
    if at == end {
        return Some(0);
    }
    let found = strings.binary_search_by(|(start, _)| at.cmp(&(*start as usize))).ok()?;
    Some(strings[found].1)
}

/// Whether arguments begin with something like a command's name: a value that holds RESP by chance seldom does.
pub(super) fn is_command(args: Args<'_>) -> bool {
    !args.is_empty() && !args.at(0).is_empty() && args.at(0).iter().all(u8::is_ascii_graphic)
}

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
pub fn len_without_trailing_zeros(file: &dyn DiskFile, from: LogOffset, file_len: u64) -> io::Result<LogOffset> {
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
    file: &dyn DiskFile,
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

fn copy_range(file: &dyn DiskFile, from: LogOffset, to: LogOffset, copy: &dyn DiskFile) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    for (at, len) in blocks(from, to) {
        let read = read_full_at(file, &mut block[..len], at)?;
        write_all_at(copy, &block[..read], at - from.0)?;
    }
    Ok(())
}

/// Whether `copy` holds nothing but a beginning of the bytes `from..to`.
fn is_prefix(copy: &dyn DiskFile, file: &dyn DiskFile, from: LogOffset, to: LogOffset) -> io::Result<bool> {
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
