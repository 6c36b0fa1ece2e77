//! Reads a log batch by batch: every record is decoded and every checksum verified before a batch is handed out.
//!
//! The file is read in blocks; what is kept is one batch (of a plain Redis log, which has none: what one block holds),
//! so memory does not grow with the log. The reader never writes, and it stops at the first byte that it cannot
//! vouch for; what that byte means is for [`replay`](super::replay) to say.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::LogOffset;
use super::batch::{Batch, Flaw, Record};
use super::disk::{BLOCK_BYTES, DiskRead, is_unreadable, read_readable_at};
use super::format::{
    Annotation, Chain, HEADER_NAME, MAX_ANNOTATION_BYTES, MAX_ANNOTATIONS, MAX_BATCH_BYTES, MAX_COMMENT_BYTES,
    resembles_header,
};
use super::repair::len_without_trailing_zeros;
use crate::protocol::decode::{ProtocolError, RequestDecoder, Span};

/// As many bytes as tell a snapshot.
pub const SNAPSHOT_MAGIC_BYTES: usize = 6;

/// Whether a file that begins so is a snapshot of Redis's, or of Valkey's, which has a magic of its own from 9.0 on.
pub fn is_snapshot(beginning: &[u8]) -> bool {
    beginning.starts_with(b"REDIS") || beginning.starts_with(b"VALKEY")
}

/// What the reader found next.
#[derive(Debug)]
pub enum Event<'a> {
    /// Commands that can be believed.
    Batch(Batch<'a>),
    /// The file ends where a batch ends.
    End,
    /// From here on, where a batch has ended, there are only zero bytes: space that was reserved and not used.
    Zeros(LogOffset),
    /// The batch that begins here cannot be vouched for.
    Flawed {
        /// The batch's first byte.
        at: LogOffset,
        /// The byte at which the flaw showed.
        seen_at: LogOffset,
        /// What is wrong.
        flaw: Flaw,
    },
}

/// What kind of log the bytes at hand belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing was read yet.
    Unknown,
    /// Commands without checksums, as Redis writes them.
    Plain,
    /// Batches, each closed by a commit line.
    Chained(Chain),
}

/// The state of reading one log from its beginning.
pub struct LogReader {
    file: Arc<dyn DiskRead>,
    /// The bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: LogOffset,
    at_end: bool,
    /// Whether the file does not end there, but cannot be read.
    unreadable: bool,
    /// Nothing from here on is read: it may still be in the making.
    limit: LogOffset,
    kind: Kind,
    decoder: RequestDecoder,
    /// Where the batch under way begins in `buffer`, and where its next item does.
    batch_start: usize,
    next: usize,
    args: Vec<Span>,
    records: Vec<Record>,
    annotations: Vec<Annotation>,
    times: Vec<(u32, i64)>,
    /// The records and arguments before an open `MULTI`, and where that stands; plain logs only.
    multi: Option<Multi>,
}

#[derive(Debug, Clone, Copy)]
struct Multi {
    start: usize,
    records: usize,
    args: usize,
}

/// What came of an item, a command or an annotation line.
enum Step {
    Continue,
    Batch { end: usize, checksummed: bool },
    Incomplete,
    Flawed(Flaw),
}

impl LogReader {
    /// A reader at the beginning of `file`.
    pub fn new(file: Arc<dyn DiskRead>) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            base: LogOffset(0),
            at_end: false,
            unreadable: false,
            limit: LogOffset(u64::MAX),
            kind: Kind::Unknown,
            decoder: RequestDecoder::for_log(),
            batch_start: 0,
            next: 0,
            args: Vec::new(),
            records: Vec::new(),
            annotations: Vec::new(),
            times: Vec::new(),
            multi: None,
        }
    }

    /// A reader that goes on at `at`, where a batch of a log of kvred's ended and `chain` was what it is; nothing from
    /// `limit` on is read.
    pub fn resume(file: Arc<dyn DiskRead>, chain: Chain, at: LogOffset, limit: LogOffset) -> Self {
        Self { base: at, limit, kind: Kind::Chained(chain), ..Self::new(file) }
    }

    /// Reads on, up to a later limit, after the end was reached.
    pub fn extend(&mut self, limit: LogOffset) {
        self.limit = limit;
        self.at_end = false;
    }

    /// Goes back to the beginning of the batch under way and forgets what was read of it: after anything but a batch,
    /// the next call then looks again. For one who reads a log that grows meanwhile.
    pub fn rewind(&mut self) {
        self.base = self.offset(self.batch_start);
        self.buffer.clear();
        (self.batch_start, self.next, self.at_end, self.multi) = (0, 0, false, None);
        self.decoder.restart();
    }

    /// The chain as of the last batch handed out; `None` in a plain log.
    pub fn chain(&self) -> Option<Chain> {
        match self.kind {
            Kind::Chained(chain) => Some(chain),
            Kind::Unknown | Kind::Plain => None,
        }
    }

    /// Up to where the log has been read.
    pub fn position(&self) -> LogOffset {
        self.offset(self.next)
    }

    fn offset(&self, at: usize) -> LogOffset {
        self.base + at as u64
    }

    /// The next batch, or what stands in its place. After anything but a batch, it is called no more, unless
    /// [`LogReader::rewind`] was called before.
    ///
    /// # Errors
    /// The file could not be read.
    pub fn next(&mut self) -> io::Result<Event<'_>> {
        self.args.clear();
        self.records.clear();
        self.annotations.clear();
        self.times.clear();
        self.batch_start = self.next;
        loop {
            let Some(&first) = self.buffer.get(self.next) else {
                if self.at_end {
                    return Ok(self.ended());
                }
                if let Some(plain) = self.plain_batch() {
                    return Ok(self.batch(plain, false));
                }
                if let Some(flaw) = self.too_long()? {
                    return Ok(self.flawed(flaw));
                }
                self.fill()?;
                continue;
            };
            let step = match first {
                b'#' => self.annotation(),
                0 if self.next == self.batch_start && self.multi.is_none() => {
                    let at = self.offset(self.next);
                    match len_without_trailing_zeros(&*self.file, at, self.file.len()?) {
                        Ok(end) if end == at && at == LogOffset(0) => Step::Flawed(Flaw::OnlyZeros),
                        Ok(end) if end == at => return Ok(Event::Zeros(at)),
                        Ok(_) => Step::Flawed(Flaw::NotResp(ProtocolError::NotAnArray(0))),
                        Err(e) if is_unreadable(&e) => Step::Flawed(Flaw::Unreadable),
                        Err(e) => return Err(e),
                    }
                }
                _ => self.record(),
            };
            match step {
                Step::Continue => {}
                Step::Batch { end, checksummed } => return Ok(self.batch(end, checksummed)),
                Step::Flawed(flaw) => return Ok(self.stop(flaw)),
                Step::Incomplete if self.at_end => return Ok(self.stop(self.end_flaw())),
                Step::Incomplete => {
                    if let Some(end) = self.plain_batch() {
                        return Ok(self.batch(end, false));
                    }
                    if let Some(flaw) = self.too_long()? {
                        return Ok(self.flawed(flaw));
                    }
                    self.fill()?;
                }
            }
        }
    }

    fn ended(&mut self) -> Event<'_> {
        if self.next == self.batch_start && self.multi.is_none() && !self.unreadable {
            return Event::End;
        }
        self.stop(self.end_flaw())
    }

    /// What is wrong with a batch that goes on behind what can be had.
    fn end_flaw(&self) -> Flaw {
        if self.unreadable { Flaw::Unreadable } else { Flaw::Incomplete }
    }

    /// Stops at a flaw; but of a plain log, what stands before it is whole.
    fn stop(&mut self, flaw: Flaw) -> Event<'_> {
        match self.plain_batch() {
            Some(end) => self.batch(end, false),
            None => self.flawed(flaw),
        }
    }

    /// In a plain log, where the whole commands read so far end, if there are any.
    fn plain_batch(&self) -> Option<usize> {
        if matches!(self.kind, Kind::Chained(_)) {
            return None;
        }
        let end = self.multi.map_or(self.next, |m| m.start);
        (end > self.batch_start).then_some(end)
    }

    /// Hands out the batch that ends at `end`.
    fn batch(&mut self, end: usize, checksummed: bool) -> Event<'_> {
        let start = self.batch_start;
        let (mut records, mut args) = (self.records.len(), self.args.len());
        if let Some(multi) = self.multi.take() {
            // Read again from MULTI on, as the next batch.
            (records, args) = (multi.records, multi.args);
            self.decoder = RequestDecoder::for_log();
        }
        self.next = end;
        Event::Batch(Batch {
            start: self.offset(start),
            end: self.offset(end),
            annotations: &self.annotations,
            times: &self.times,
            checksummed,
            buffer: &self.buffer,
            base: self.base,
            args: &self.args[..args],
            records: &self.records[..records],
        })
    }

    /// What is wrong, before more is read of the batch under way, if that is longer than any batch may be.
    fn too_long(&self) -> io::Result<Option<Flaw>> {
        let read = self.buffer.len() - self.batch_start;
        if matches!(self.kind, Kind::Chained(_)) {
            return Ok((read > MAX_BATCH_BYTES + BLOCK_BYTES).then_some(Flaw::Length));
        }
        let wanted = read.max(self.next + self.decoder.bytes_wanted() - self.batch_start);
        // What the file does not have yet, or does not have because a length is wrong, is incomplete.
        let is_too_long = wanted > MAX_BATCH_BYTES
            && self.offset(self.batch_start + wanted) <= LogOffset(self.file.len()?).min(self.limit);
        Ok(is_too_long.then_some(Flaw::TooLong))
    }

    fn flawed(&self, flaw: Flaw) -> Event<'static> {
        let seen_at = if self.unreadable { self.buffer.len() } else { self.next };
        Event::Flawed { at: self.offset(self.batch_start), seen_at: self.offset(seen_at), flaw }
    }

    /// Reads the command at `next`.
    fn record(&mut self) -> Step {
        let first_arg = self.args.len();
        match self.decoder.decode(&mut self.buffer, self.next, &mut self.args) {
            Ok(Some(end)) => {
                if first_arg == self.args.len() {
                    return Step::Flawed(Flaw::NotResp(ProtocolError::ArrayLen));
                }
                let start = self.next;
                let together = end - self.multi.map_or(start, |multi| multi.start);
                if together > MAX_BATCH_BYTES && !matches!(self.kind, Kind::Chained(_)) {
                    return Step::Flawed(Flaw::TooLong);
                }
                self.next = end;
                if self.kind == Kind::Unknown {
                    self.kind = Kind::Plain;
                }
                let record =
                    Record { start: start as u32, first_arg: first_arg as u32, end_arg: self.args.len() as u32 };
                if self.kind == Kind::Plain {
                    self.transaction(record);
                } else {
                    self.records.push(record);
                }
                Step::Continue
            }
            Ok(None) => Step::Incomplete,
            Err(_) if self.offset(self.next) == LogOffset(0) && is_snapshot(&self.buffer) => Step::Flawed(Flaw::Rdb),
            Err(e) => Step::Flawed(Flaw::NotResp(e)),
        }
    }

    /// Notes a record of a plain log; `MULTI` and `EXEC` frame records that stand or fall together.
    fn transaction(&mut self, record: Record) {
        let name = self.args[record.first_arg as usize].of(&self.buffer);
        let alone = record.end_arg - record.first_arg == 1;
        if alone && self.multi.is_none() && name.eq_ignore_ascii_case(b"MULTI") {
            self.multi = Some(Multi {
                start: record.start as usize,
                records: self.records.len(),
                args: record.first_arg as usize,
            });
        } else if alone && self.multi.is_some() && name.eq_ignore_ascii_case(b"EXEC") {
            self.multi = None;
        } else {
            self.records.push(record);
        }
    }

    /// Reads the annotation line at `next`.
    fn annotation(&mut self) -> Step {
        let (annotation, end) = match self.line() {
            Ok(line) => line,
            Err(step) => return step,
        };
        match (annotation, self.kind) {
            (Annotation::Header(salt), Kind::Unknown | Kind::Plain) if self.multi.is_none() => {
                if let Some(end) = self.plain_batch() {
                    return Step::Batch { end, checksummed: false };
                }
                self.next = end;
                self.batch_start = end;
                self.kind = Kind::Chained(Chain::new(salt));
                Step::Continue
            }
            (Annotation::Commit { len, crc }, Kind::Chained(chain)) => {
                let (start, line_start) = (self.batch_start, self.next);
                if line_start - start != len as usize {
                    return Step::Flawed(Flaw::Length);
                }
                let computed = chain.crc_of(self.offset(start), [&self.buffer[start..line_start]]);
                if computed != crc {
                    return Step::Flawed(Flaw::Checksum);
                }
                let batch_start = self.offset(start);
                if self.annotations.iter().any(|a| matches!(a, Annotation::Synced(at) if *at > batch_start)) {
                    return Step::Flawed(Flaw::SyncedBeyond);
                }
                self.kind = Kind::Chained(chain.after(crc));
                Step::Batch { end, checksummed: true }
            }
            (Annotation::Commit { .. }, Kind::Unknown | Kind::Plain) => Step::Flawed(Flaw::NoHeader),
            (Annotation::Unknown, Kind::Unknown | Kind::Plain)
                if self.buffer[self.next..end].starts_with(HEADER_NAME)
                    || resembles_header(&self.buffer[self.next..end]) =>
            {
                Step::Flawed(Flaw::Header)
            }
            (other, _) => {
                if self.kind == Kind::Unknown {
                    self.kind = Kind::Plain;
                }
                if self.annotations.len().max(self.times.len()) == MAX_ANNOTATIONS {
                    return Step::Flawed(Flaw::Annotations);
                }
                if let Annotation::Timestamp(seconds) = other {
                    self.times.push((self.next as u32, seconds));
                }
                if matches!(self.kind, Kind::Chained(_)) && other != Annotation::Unknown {
                    self.annotations.push(other);
                }
                self.next = end;
                Step::Continue
            }
        }
    }

    /// The annotation line at `next`, and the position behind it; or what comes of it if there is none.
    fn line(&self) -> Result<(Annotation, usize), Step> {
        let (most, newline) = match self.kind {
            Kind::Chained(_) => (MAX_ANNOTATION_BYTES, &b"\r\n"[..]),
            Kind::Unknown | Kind::Plain => (MAX_COMMENT_BYTES, &b"\n"[..]),
        };
        let rest = &self.buffer[self.next..];
        let rest = &rest[..rest.len().min(most)];
        match memmem::find(rest, newline) {
            Some(at) => {
                let line = &rest[..at + newline.len()];
                // A hole that a crash or a disk left is no comment, with all that it has taken.
                if line.contains(&0) {
                    return Err(Step::Flawed(Flaw::Line));
                }
                Ok((Annotation::of_line(line), self.next + line.len()))
            }
            None if rest.len() == most => Err(Step::Flawed(Flaw::Line)),
            None => Err(Step::Incomplete),
        }
    }

    /// Reads the next block, dropping what lies before the batch under way.
    fn fill(&mut self) -> io::Result<()> {
        let dropped = self.batch_start;
        if dropped > 0 {
            self.buffer.drain(..dropped);
            self.base = self.base + dropped as u64;
            self.next -= dropped;
            self.batch_start = 0;
            let shift = dropped as u32;
            for span in &mut self.args {
                *span = span.back(shift);
            }
            for record in &mut self.records {
                record.start -= shift;
            }
            for (at, _) in &mut self.times {
                *at -= shift;
            }
            if let Some(multi) = &mut self.multi {
                multi.start -= dropped;
            }
        }
        let filled = self.buffer.len();
        // A large value is read in one go, but never is more asked for than the file can have.
        let wanted = (self.next + self.decoder.bytes_wanted()).saturating_sub(filled);
        let end = self.file.len()?.min(self.limit.0);
        let there = end.saturating_sub((self.base + filled as u64).0);
        let block = wanted.max(BLOCK_BYTES).min(usize::try_from(there).unwrap_or(usize::MAX));
        self.buffer.resize(filled + block, 0);
        let from = self.base + filled as u64;
        let (read, unreadable) = read_readable_at(&*self.file, &mut self.buffer[filled..], from.0)?;
        self.buffer.truncate(filled + read);
        self.at_end = read == 0;
        self.unreadable = self.at_end && unreadable;
        Ok(())
    }
}
