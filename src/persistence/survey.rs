//! The search for batches that verify behind a flaw.
//!
//! Commit lines are searched for byte by byte. A batch behind the flaw verifies if its crc fits the one that the
//! commit line before it states, or the one computed over the bytes between the last known boundary and that line.
//!
//! A value may hold a million lines that look like commit lines, each with another length. So that none of them costs
//! more than a look, checksums of arbitrary ranges are derived from checksums of prefixes: crc(a..c) and crc(a..b)
//! give crc(b..c). Time grows with the file and the number of such lines, memory with neither.
//!
//! Behind a flaw of a plain log, the chain with which kvred went on there is not known yet: it is the one whose header
//! stands directly before a batch that verifies in it. A copy of another log in a value does not, as it is not in its place.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::LogOffset;
use super::disk::{DiskFile, read_full_at};
use super::format::{
    Annotation, COMMIT_LINE_BYTES, COMMIT_NAME, Chain, HEADER_LINE_BYTES, MAX_ANNOTATIONS, MAX_BATCH_BYTES,
    salt_of_header,
};
use crate::protocol::decode::RequestDecoder;

/// How much is searched at once.
const BLOCK_BYTES: usize = 1 << 20;

/// At every so many bytes the checksum of the prefix is kept.
const CHECKPOINT_BYTES: u64 = 64 << 10;

/// A batch behind a flaw that verifies all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its first byte.
    pub start: LogOffset,
    /// One past its commit line.
    pub end: LogOffset,
    /// Its annotations that are known, in order.
    pub annotations: Vec<Annotation>,
    /// How many commands it has.
    pub records: u64,
}

/// The search. See the file's header.
pub struct Survey {
    file: Arc<dyn DiskFile>,
    /// `None`: a chain may yet begin.
    chain: Option<Chain>,
    /// The end of the last batch that verified; the flaw at first.
    known: LogOffset,
    /// Where the search goes on.
    at: LogOffset,
    file_len: u64,
    /// The bytes of the file from `block_start` on that are searched.
    block: Vec<u8>,
    block_start: LogOffset,
    prefixes: Prefixes,
}

impl Survey {
    /// A search from the flawed batch at `flaw` on; `chain` is as it was before that batch, `None` in a plain log.
    pub fn new(file: Arc<dyn DiskFile>, chain: Option<Chain>, flaw: LogOffset, file_len: u64) -> Self {
        let prefixes = Prefixes::new(flaw);
        Self { file, chain, known: flaw, at: flaw, file_len, block: Vec::new(), block_start: flaw, prefixes }
    }

    /// The next batch that verifies.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Survivor>> {
        while let Some((line, len, crc)) = self.next_commit_line()? {
            let Some(start) = line.0.checked_sub(u64::from(len)).map(LogOffset) else { continue };
            if start < self.known || len as usize > MAX_BATCH_BYTES {
                continue;
            }
            let Some(chain) = self.chain_of(start, line, crc)? else { continue };
            if let Some(survivor) = self.parse(start, line)? {
                self.known = survivor.end;
                self.chain = Some(chain.after(crc));
                return Ok(Some(survivor));
            }
        }
        Ok(None)
    }

    /// Finds the next line that has the form of a commit line: its position, and what it states.
    fn next_commit_line(&mut self) -> io::Result<Option<(LogOffset, u32, u32)>> {
        loop {
            let from = (self.at - self.block_start) as usize;
            for found in memmem::find_iter(&self.block[from.min(self.block.len())..], COMMIT_NAME) {
                let position = from + found;
                // A line that goes on behind the block is found again in the next one.
                let Some(line) = self.block.get(position..position + COMMIT_LINE_BYTES) else { break };
                if let Some((len, crc)) = commit_line(line) {
                    let line = self.block_start + position as u64;
                    self.at = line + 1;
                    return Ok(Some((line, len, crc)));
                }
            }
            let block_end = self.block_start + self.block.len() as u64;
            self.at = self.at.max(LogOffset(block_end.0.saturating_sub(COMMIT_LINE_BYTES as u64 - 1)));
            if self.at.0 + COMMIT_LINE_BYTES as u64 > self.file_len {
                return Ok(None);
            }
            let len = (self.file_len - self.at.0).min(BLOCK_BYTES as u64) as usize;
            self.block.resize(len, 0);
            let read = read_full_at(&*self.file, &mut self.block, self.at.0)?;
            self.block.truncate(read);
            self.block_start = self.at;
            if read < COMMIT_LINE_BYTES {
                return Ok(None);
            }
        }
    }

    /// The chain in which the bytes `start..line` have the checksum `crc`.
    fn chain_of(&mut self, start: LogOffset, line: LogOffset, crc: u32) -> io::Result<Option<Chain>> {
        let (chain, fits) = if let Some(chain) = self.chain {
            (chain, self.fits(chain, start, line, crc)?)
        } else {
            let Some(chain) = self.begun_at(start)? else { return Ok(None) };
            (chain, self.crc_after(chain, start, line)? == crc)
        };
        Ok(fits.then_some(chain))
    }

    /// The chain whose header ends at `start`.
    fn begun_at(&self, start: LogOffset) -> io::Result<Option<Chain>> {
        let header = start.0.checked_sub(HEADER_LINE_BYTES as u64).filter(|at| *at >= self.known.0);
        let Some(header) = header else { return Ok(None) };
        let mut line = [0; HEADER_LINE_BYTES];
        read_full_at(&*self.file, &mut line, header)?;
        Ok(salt_of_header(&line).map(Chain::new))
    }

    /// Whether the bytes `start..line` have the checksum `crc`, after one of the batches that may stand before them.
    fn fits(&mut self, chain: Chain, start: LogOffset, line: LogOffset, crc: u32) -> io::Result<bool> {
        if start == self.known && self.crc_after(chain, start, line)? == crc {
            return Ok(true);
        }
        let before = start.0.checked_sub(COMMIT_LINE_BYTES as u64).map(LogOffset).filter(|b| *b >= self.known);
        let Some(before) = before else { return Ok(false) };
        let mut stated = [0; COMMIT_LINE_BYTES];
        read_full_at(&*self.file, &mut stated, before.0)?;
        if let Some((_, stated)) = commit_line(&stated)
            && self.crc_after(chain.after(stated), start, line)? == crc
        {
            return Ok(true);
        }
        let computed = self.crc_after(chain, self.known, before)?;
        Ok(self.crc_after(chain.after(computed), start, line)? == crc)
    }

    /// The checksum that a batch `start..line` would have in `chain`.
    fn crc_after(&mut self, chain: Chain, start: LogOffset, line: LogOffset) -> io::Result<u32> {
        if let Some(bytes) = self.at_hand(start, line) {
            return Ok(chain.crc_of(start, [bytes]));
        }
        let bytes_crc = self.prefixes.range(&*self.file, start, line)?;
        Ok(chain.crc_of_summed(start, bytes_crc, line - start))
    }

    /// The bytes `from..to`, if they are few and in the block, as they mostly are.
    fn at_hand(&self, from: LogOffset, to: LogOffset) -> Option<&[u8]> {
        let start = usize::try_from(from.0.checked_sub(self.block_start.0)?).ok()?;
        let len = usize::try_from(to - from).ok().filter(|len| *len as u64 <= CHECKPOINT_BYTES)?;
        self.block.get(start..start + len)
    }

    /// The annotations and the number of commands of a batch whose checksum fits; `None` if it is not RESP all the same.
    fn parse(&self, start: LogOffset, line: LogOffset) -> io::Result<Option<Survivor>> {
        let mut bytes = vec![0; (line - start) as usize];
        let read = read_full_at(&*self.file, &mut bytes, start.0)?;
        bytes.truncate(read);
        let end = line + COMMIT_LINE_BYTES as u64;
        let survivor = Survivor { start, end, annotations: Vec::new(), records: 0 };
        Ok(parse_batch(&mut bytes, survivor))
    }
}

/// Checksums of prefixes, counted from where the search began.
struct Prefixes {
    origin: LogOffset,
    /// The checksum of the first `n * CHECKPOINT_BYTES` bytes, for each n.
    checkpoints: Vec<u32>,
    /// The last answer, since the next question is mostly about bytes just behind it.
    last: (LogOffset, u32),
    block: Vec<u8>,
}

impl Prefixes {
    fn new(origin: LogOffset) -> Self {
        Self { origin, checkpoints: vec![0], last: (origin, 0), block: Vec::new() }
    }

    /// The checksum of the bytes `from..to`.
    fn range(&mut self, file: &dyn DiskFile, from: LogOffset, to: LogOffset) -> io::Result<u32> {
        let (before, whole) = (self.up_to(file, from)?, self.up_to(file, to)?);
        // crc(a ++ b) = shifted(crc(a), len of b) ^ crc(b), and shifted(c, n) is what combining c with 0 gives.
        Ok(whole ^ crc32c::crc32c_combine(before, 0, (to - from) as usize))
    }

    /// The checksum of the bytes from the origin to `to`.
    fn up_to(&mut self, file: &dyn DiskFile, to: LogOffset) -> io::Result<u32> {
        let wanted = ((to - self.origin) / CHECKPOINT_BYTES) as usize;
        while self.checkpoints.len() <= wanted {
            let n = self.checkpoints.len() as u64;
            let (from, crc) = (self.origin + (n - 1) * CHECKPOINT_BYTES, self.checkpoints[n as usize - 1]);
            let crc = self.extend(file, from, self.origin + n * CHECKPOINT_BYTES, crc)?;
            self.checkpoints.push(crc);
        }
        let checkpoint = self.origin + wanted as u64 * CHECKPOINT_BYTES;
        let (from, crc) = match self.last {
            (at, crc) if (checkpoint..=to).contains(&at) => (at, crc),
            _ => (checkpoint, self.checkpoints[wanted]),
        };
        let crc = self.extend(file, from, to, crc)?;
        self.last = (to, crc);
        Ok(crc)
    }

    fn extend(&mut self, file: &dyn DiskFile, from: LogOffset, to: LogOffset, crc: u32) -> io::Result<u32> {
        self.block.resize((to - from) as usize, 0);
        let read = read_full_at(file, &mut self.block, from.0)?;
        Ok(crc32c::crc32c_append(crc, &self.block[..read]))
    }
}

/// Reads a commit line, CRLF included.
pub(super) fn commit_line(line: &[u8]) -> Option<(u32, u32)> {
    match Annotation::parse(line.strip_suffix(b"\r\n")?) {
        Annotation::Commit { len, crc } => Some((len, crc)),
        _ => None,
    }
}

fn parse_batch(bytes: &mut [u8], mut survivor: Survivor) -> Option<Survivor> {
    let (mut at, mut args, mut decoder) = (0, Vec::new(), RequestDecoder::for_log());
    while at < bytes.len() {
        if bytes[at] == b'#' {
            let len = memmem::find(&bytes[at..], b"\r\n")?;
            let annotation = Annotation::parse(&bytes[at..at + len]);
            if annotation != Annotation::Unknown {
                if survivor.annotations.len() == MAX_ANNOTATIONS {
                    return None;
                }
                survivor.annotations.push(annotation);
            }
            at += len + 2;
        } else {
            args.clear();
            at = decoder.decode(bytes, at, &mut args).ok()??;
            survivor.records += 1;
        }
    }
    Some(survivor)
}
