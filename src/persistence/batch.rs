//! A batch of a log as [`reader`](super::reader) hands it out; and why one is not handed out.

use thiserror::Error;

use super::LogOffset;
use super::format::{Annotation, COMMIT_LINE_BYTES, MAX_ANNOTATIONS};
use crate::protocol::decode::{Args, ProtocolError, Span};

/// A command in a batch: which of the batch's arguments are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where the command begins, relative to the batch's buffer.
    pub(super) start: u32,
    pub(super) first_arg: u32,
    pub(super) end_arg: u32,
}

/// Commands that stand or fall together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Where the batch begins in the file.
    pub start: LogOffset,
    /// Where it ends, its commit line included.
    pub end: LogOffset,
    /// The annotations in it that are known, in order, without the commit line. Of a plain log there are none: nothing
    /// vouches for what they say.
    pub annotations: &'a [Annotation],
    /// Its `#TS` lines: unix seconds, and where each stands relative to the batch's buffer.
    pub(super) times: &'a [(u32, i64)],
    /// Whether a commit line vouches for it; `false` in a plain Redis log.
    pub checksummed: bool,
    pub(super) buffer: &'a [u8],
    /// Where the buffer's first byte lies in the file.
    pub(super) base: LogOffset,
    pub(super) args: &'a [Span],
    pub(super) records: &'a [Record],
}

impl<'a> Batch<'a> {
    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The commands in order, each with its offset in the file, and its arguments.
    pub fn records(&self) -> impl Iterator<Item = (LogOffset, Args<'a>)> + use<'a> {
        let (buffer, args, base) = (self.buffer, self.args, self.base);
        self.records.iter().map(move |r| {
            let spans = &args[r.first_arg as usize..r.end_arg as usize];
            (base + u64::from(r.start), Args::new(buffer, spans))
        })
    }

    /// This batch with its first `n` commands only.
    #[must_use]
    pub fn first(self, n: usize) -> Self {
        Self { records: &self.records[..n], ..self }
    }

    /// The `#TS` lines in order: where each stands, and its unix seconds. In a batch with a checksum such a line tells
    /// of the whole batch; in a plain log, of what follows it.
    pub fn times(&self) -> impl Iterator<Item = (LogOffset, i64)> + use<'a> {
        let base = self.base;
        self.times.iter().map(move |&(at, seconds)| (base + u64::from(at), seconds))
    }

    /// The batch's bytes as they stand in the file, without the commit line.
    pub fn bytes(&self) -> &'a [u8] {
        let from = (self.start - self.base) as usize;
        let commit = if self.checksummed { COMMIT_LINE_BYTES } else { 0 };
        &self.buffer[from..(self.end - self.base) as usize - commit]
    }
}

/// Why a batch cannot be vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The file ends within it.
    #[error("the file ends in the middle of it")]
    Incomplete,
    /// Its checksum is another one.
    #[error("its checksum does not match")]
    Checksum,
    /// The disk fails at some of its bytes.
    #[error("the disk cannot read all of it")]
    Unreadable,
    /// The commit line speaks of another length.
    #[error("its commit line states another length")]
    Length,
    /// Commands of a plain log that stand together, more than a batch may hold.
    #[error(
        "it is a command or a transaction of more than 1 GiB, and kvred reads none so long; with `aof-use-rdb-preamble \
         no`, BGREWRITEAOF, in the server that wrote the log, leaves none in it"
    )]
    TooLong,
    /// Not RESP.
    #[error("it is not RESP: {}", .0.reason())]
    NotResp(ProtocolError),
    /// An annotation line that does not end, or has zeros in it.
    #[error("an annotation line in it does not end, or has zeros in it")]
    Line,
    /// A commit line in a log without a header.
    #[error("it has a commit line, but no valid header stands before it")]
    NoHeader,
    /// A line that begins as a header does, or looks much like one.
    #[error("its header line is damaged, or of another version of kvred")]
    Header,
    /// A file of nothing else: what it held is lost, or it never held anything.
    #[error("it is nothing but zero bytes")]
    OnlyZeros,
    /// A snapshot, or a log that begins with one.
    #[error(
        "it is an RDB snapshot, or begins with one, which kvred cannot read; with `aof-use-rdb-preamble no`, BGREWRITEAOF \
         writes a base that it can"
    )]
    Rdb,
    /// More annotation lines than any batch has.
    #[error("it has more than {MAX_ANNOTATIONS} annotation lines")]
    Annotations,
    /// A `#SYNCED` that speaks of bytes that were not there when it was written.
    #[error("its #SYNCED line states an offset beyond its own start")]
    SyncedBeyond,
}
