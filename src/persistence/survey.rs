//! The search for batches that verify behind a flaw.
//!
//! Commit lines are searched for byte by byte. A batch behind the flaw verifies if its crc fits the one that the
//! commit line before it states, or the one computed over the bytes between the last known boundary and that line.
//!
//! A value may hold a million lines that look like commit lines, each with another length. So that none of them costs
//! more than a look, checksums of arbitrary ranges are derived from checksums of prefixes: crc(a..c) and crc(a..b)
//! give crc(b..c). Time grows with the file and the number of such lines; memory takes a thousandth of what lies behind
//! the last known boundary.
//!
//! Inserted or removed bytes, which no crash leaves, put every later batch out of its place, which its checksum covers:
//!
//! 1. The batch that was written at the last known boundary still verifies for that place.
//! 2. For any other, the checksum computed backwards names a few possible places.
//! 3. One is believed if the batch before fits at the same distance, or if a `#SYNCED` in the batch states it, as in
//!    the first and the last batch of a run.
//! 4. Places before the boundary do not count: they mean a copy. So do places behind a batch that follows and is no
//!    further out of its own than those before: the disk has written a block to where another one belongs.
//! 5. Exception: a chain without batches may have been moved as a whole from the beginning of a file, where another
//!    file was put before it.
//!
//! Behind a flaw of a plain log, the chain with which kvred went on there is not known yet: it is the one whose header
//! stands directly before a batch that verifies in it. A copy of another log in a value does not: it is out of its
//! place, and was hardly written behind the flaw.
//!
//! Where the header of a log is lost, any batch behind a commit line tells of which chain it would be, and the batch
//! before confirms that. They elect the chain, by their bytes: a copy of another log in a value is no longer than the
//! batch that holds it. What batches tell that are out of their places is wrong, and depends only on the bits in which
//! the place is another: many may agree, so this is for a log in its place.

mod prefixes;

use std::io;
use std::sync::Arc;

use memchr::memmem;

use self::prefixes::{CHECKPOINT_BYTES, Prefixes, Window};
use super::LogOffset;
use super::disk::DiskRead;
use super::format::{
    Annotation, COMMIT_LINE_BYTES, COMMIT_NAME, Chain, HEADER_LINE_BYTES, MAX_ANNOTATIONS, MAX_BATCH_BYTES,
    salt_of_header,
};
use crate::protocol::decode::RequestDecoder;

/// How far out of its place a batch is looked for.
const MAX_SHIFT: u64 = 16 << 20;

/// How many batches are asked for their places. A value may hold a million lines that look like theirs, and to ask
/// takes a fraction of a millisecond.
const MAX_ASKED: u32 = 1000;

/// How many bytes may be parsed for nothing, of ranges whose checksum fits and which are no batch all the same. By
/// chance there are hardly any; who knows the salt, as in a plain log whose value holds a header, can make a million,
/// all from that header on. Past this, ranges that start where the last failure did are skipped; ranges that start
/// elsewhere may use as much again, then the search gives up.
const MAX_IN_VAIN_BYTES: u64 = MAX_BATCH_BYTES as u64;

/// How much is searched in all for batches that follow those that were asked for their places. Bytes that were taken
/// out are searched once, and so is a block up to the batch behind it; who knows the salt can have each batch ask as
/// far as [`MAX_SHIFT`]. Past this, the search gives up.
const MAX_AHEAD_BYTES: u64 = 4 * MAX_SHIFT;

/// A batch behind a flaw that verifies all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its first byte.
    pub start: LogOffset,
    /// One past its commit line, and past the header of another log that stands behind that.
    pub end: LogOffset,
    /// The offset at which it was written minus `start`: positive where bytes were removed before it, negative where
    /// bytes were inserted, and either where the disk has written a block to another one's place.
    pub shift: i64,
    /// Its annotations that are known, in order.
    pub annotations: Vec<Annotation>,
    /// How many commands it has.
    pub records: u64,
    /// Its bytes, without the commit line. To read them again might give others, of a disk that is failing.
    pub bytes: Vec<u8>,
}

/// The search. See the file's header.
#[derive(Clone)]
pub struct Survey {
    window: Window,
    /// `None`: a chain may yet begin.
    chain: Option<Chain>,
    /// The end of the last batch that verified; the flaw at first.
    known: LogOffset,
    /// Where that was written.
    known_place: LogOffset,
    /// Where else it may have been written, and so all behind it: if it is a chain's header, at the beginning of a
    /// file.
    other_place: Option<LogOffset>,
    /// How far out of their places batches are taken to be.
    shift: i64,
    asked: u32,
    /// How much was parsed for nothing, and from where last.
    in_vain_bytes: u64,
    in_vain_from: Option<LogOffset>,
    gave_up: bool,
    /// How far out of its place the batch is that was passed over last, and the batch that follows it: where that
    /// stands, and where it was written.
    passed_over: Option<(i64, (LogOffset, LogOffset))>,
    /// How much was searched for such.
    ahead_bytes: u64,
    /// Where the search goes on.
    at: LogOffset,
    /// Where it goes on behind the next line.
    then_at: Option<LogOffset>,
    file_len: u64,
    /// Counted from `known`.
    prefixes: Prefixes,
}

impl Survey {
    /// A search from the flawed batch at `flaw` on; `chain` is as it was before that batch, `None` in a plain log.
    pub fn new(file: Arc<dyn DiskRead>, chain: Option<Chain>, flaw: LogOffset, file_len: u64) -> Self {
        Self {
            window: Window::new(file, flaw),
            chain,
            known: flaw,
            known_place: flaw,
            other_place: chain.filter(|chain| chain.is_new()).map(|_| LogOffset(HEADER_LINE_BYTES as u64)),
            shift: 0,
            asked: 0,
            in_vain_bytes: 0,
            in_vain_from: None,
            gave_up: false,
            passed_over: None,
            ahead_bytes: 0,
            at: flaw,
            then_at: None,
            file_len,
            prefixes: Prefixes::new(flaw),
        }
    }

    /// A search from `flaw` on in a log whose header is lost.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn without_header(file: Arc<dyn DiskRead>, flaw: LogOffset, file_len: u64) -> io::Result<Self> {
        let chain = Self::new(Arc::clone(&file), None, flaw, file_len).elect_chain()?;
        Ok(Self::new(file, chain, flaw, file_len))
    }

    /// The next batch that verifies. `progress` is told now and then how far the search has come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&mut self, mut progress: impl FnMut(LogOffset)) -> io::Result<Option<Survivor>> {
        while let Some((line, len, crc)) = self.next_commit_line(&mut progress)? {
            let Some(start) = self.start_of(line, len) else { continue };
            let Some(chain) = self.chain_at(start)? else { continue };
            let claim = self.claim(start, line, crc)?;
            let Some(shift) = self.fits(chain, claim)? else {
                self.ask_for_place(chain, claim)?;
                continue;
            };
            if let Some(mut survivor) = self.parse(claim, shift)? {
                self.shift = shift;
                self.known = survivor.end;
                self.known_place = LogOffset(survivor.end.0.wrapping_add_signed(shift));
                self.other_place = None;
                self.chain = Some(chain.after(crc));
                self.begin_another_log()?;
                self.prefixes.restart(self.known);
                survivor.end = self.known;
                return Ok(Some(survivor));
            }
        }
        Ok(None)
    }

    /// Begins another chain where its header stands at the last known boundary.
    fn begin_another_log(&mut self) -> io::Result<()> {
        let behind = self.known + HEADER_LINE_BYTES as u64;
        if let Some(chain) = self.begun_at(behind)? {
            (self.chain, self.known, self.known_place) = (Some(chain), behind, behind);
            (self.other_place, self.shift) = (Some(LogOffset(HEADER_LINE_BYTES as u64)), 0);
        }
        Ok(())
    }

    /// Whether something was passed over that may have been a batch: there was too much of that kind.
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// How far out of their places batches are that were passed over, if any were.
    pub fn passed_over(&self) -> Option<i64> {
        self.passed_over.map(|(shift, _)| shift)
    }

    /// The chain of those that the batches tell for which most bytes speak (by Boyer and Moore's vote).
    fn elect_chain(mut self) -> io::Result<Option<Chain>> {
        let (mut elected, mut lead) = (None, 0);
        while let Some((line, len, crc)) = self.next_commit_line(&mut |_| {})? {
            let Some(start) = self.start_of(line, len) else { continue };
            let Some(told) = self.chain_told_by(start, line, crc)? else { continue };
            let bytes = u64::from(len) + COMMIT_LINE_BYTES as u64;
            if elected == Some(told) {
                lead += bytes;
            } else if bytes <= lead {
                lead -= bytes;
            } else {
                (elected, lead) = (Some(told), bytes - lead);
            }
        }
        Ok(elected)
    }

    /// The chain, as it begins, that the batch `start..line` and the one directly before it are both of.
    fn chain_told_by(&mut self, start: LogOffset, line: LogOffset, crc: u32) -> io::Result<Option<Chain>> {
        let Some((before, len, stated)) = self.commit_line_before(start)? else { return Ok(None) };
        let Some(start_before) = self.start_of(before, len) else { return Ok(None) };
        let told = Chain::told_by(start, self.crc_of(start, line)?, line - start, crc, stated);
        let chain = self.commit_line_before(start_before)?.map_or(told, |(_, _, stated)| told.after(stated));
        let confirmed = self.claim(start_before, before, stated)?.fits(chain, start_before);
        Ok(confirmed.then_some(told))
    }

    /// Where the batch begins that the commit line at `line` closes, if that is behind what is known.
    fn start_of(&self, line: LogOffset, len: u32) -> Option<LogOffset> {
        let start = line.0.checked_sub(u64::from(len)).map(LogOffset);
        start.filter(|start| *start >= self.known && len as usize <= MAX_BATCH_BYTES)
    }

    /// Finds the next line that has the form of a commit line: its position, and what it states.
    fn next_commit_line(&mut self, progress: &mut impl FnMut(LogOffset)) -> io::Result<Option<(LogOffset, u32, u32)>> {
        loop {
            let from = (self.at - self.window.start) as usize;
            let bytes = &self.window.bytes;
            for found in memmem::find_iter(&bytes[from.min(bytes.len())..], COMMIT_NAME) {
                let position = from + found;
                // A line that goes on behind the window is found again in the next one.
                let Some(line) = bytes.get(position..position + COMMIT_LINE_BYTES) else { break };
                if let Some((len, crc)) = commit_line(line) {
                    let line = self.window.start + position as u64;
                    self.at = self.then_at.take().unwrap_or(line + 1);
                    return Ok(Some((line, len, crc)));
                }
            }
            let searched = self.window.start.0 + bytes.len() as u64;
            self.at = self.at.max(LogOffset(searched.saturating_sub(COMMIT_LINE_BYTES as u64 - 1)));
            progress(self.at);
            if self.at.0 + COMMIT_LINE_BYTES as u64 > self.file_len {
                return Ok(None);
            }
            self.window.move_to(self.at, self.file_len)?;
            if self.window.bytes.len() < COMMIT_LINE_BYTES {
                return Ok(None);
            }
        }
    }

    /// The chain that a batch at `start` can be of.
    fn chain_at(&self, start: LogOffset) -> io::Result<Option<Chain>> {
        self.chain.map_or_else(|| self.begun_at(start), |chain| Ok(Some(chain)))
    }

    /// Where the byte at `at` was written if it is `shift` bytes out of its place; `None`: not behind what is known.
    fn place(&self, at: LogOffset, shift: i64) -> Option<LogOffset> {
        at.0.checked_add_signed(shift).map(LogOffset).filter(|place| *place >= self.nearest_place())
    }

    /// Where a batch behind what is known may have been written at the nearest.
    fn nearest_place(&self) -> LogOffset {
        self.other_place.unwrap_or(self.known_place)
    }

    /// Looks for the place in which the batch of a claim was written. If that is told, the search goes back to the
    /// first batch that then fits, and from that one on to the claim: what is between them is inside of it, and may be
    /// full of lines that look like commit lines.
    fn ask_for_place(&mut self, chain: Chain, claim: Claim) -> io::Result<()> {
        let Claim { start, line, bytes_crc, crc } = claim;
        if self.asked == MAX_ASKED {
            return Ok(());
        }
        let (before, chain) = if self.chain.is_none() {
            (None, chain)
        } else {
            let Some((before, _, stated)) = self.commit_line_before(start)? else { return Ok(()) };
            (Some(before), chain.after(stated))
        };
        self.asked += 1;
        let nearest = LogOffset(start.0.saturating_sub(MAX_SHIFT)).max(self.nearest_place());
        for place in chain.offsets_of(crc, bytes_crc, line - start, (nearest, start + MAX_SHIFT)) {
            let shift = place.0 as i64 - start.0 as i64;
            let fits_with_the_one_before = match before {
                Some(before) => self.fits_shifted(before, shift)?,
                None => false,
            };
            if (fits_with_the_one_before || self.states(claim, place)?) && !self.is_passed_over(claim, place)? {
                self.shift = shift;
                self.go_back(before.unwrap_or(line));
                self.then_at = before.map(|_| line);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the batch with the commit line at `line` fits so far out of its place, after the one that stands before
    /// it.
    fn fits_shifted(&mut self, line: LogOffset, shift: i64) -> io::Result<bool> {
        let (Some(chain), Some((len, crc))) = (self.chain, self.commit_line_at(line)?) else { return Ok(false) };
        let Some(start) = line.0.checked_sub(u64::from(len)).map(LogOffset) else { return Ok(false) };
        let Some(place) = self.place(start, shift) else { return Ok(false) };
        let Some((_, _, stated)) = self.commit_line_before(start)? else { return Ok(false) };
        Ok(self.claim(start, line, crc)?.fits(chain.after(stated), place))
    }

    /// Whether the batch of a claim states that all before `place` was durable: there it was written, then.
    fn states(&mut self, claim: Claim, place: LogOffset) -> io::Result<bool> {
        let Some(batch) = self.parse(claim, 0)? else { return Ok(false) };
        let states = batch.annotations.contains(&Annotation::Synced(place));
        if !states {
            self.in_vain(claim);
        }
        Ok(states)
    }

    /// Whether a batch follows that is as far out of its place as the last one, and was written no later than that of
    /// the claim if this was at `place`. One that was found before answers for all before it, whatever their distances.
    fn is_passed_over(&mut self, claim: Claim, place: LogOffset) -> io::Result<bool> {
        let start = LogOffset(place.0.wrapping_add_signed(-self.shift));
        if start <= claim.start {
            return Ok(false);
        }
        let follows = self.passed_over.map(|(_, follows)| follows);
        let mut follows = follows.filter(|(at, was_at)| claim.start < *at && *was_at <= place);
        if follows.is_none() {
            if self.ahead_bytes > MAX_AHEAD_BYTES {
                self.gave_up = true;
                return Ok(true);
            }
            let end = start + (claim.line - claim.start) + COMMIT_LINE_BYTES as u64;
            follows = self.next_before(end)?.filter(|(_, was_at)| *was_at <= place);
        }
        let Some(follows) = follows else { return Ok(false) };
        self.passed_over = Some((place.0 as i64 - claim.start.0 as i64, follows));
        Ok(true)
    }

    /// The next batch that verifies without a question and ends by `end`: where it stands, and where it was written.
    fn next_before(&mut self, end: LogOffset) -> io::Result<Option<(LogOffset, LogOffset)>> {
        let mut ahead = Self { asked: MAX_ASKED, file_len: self.file_len.min(end.0), ..self.clone() };
        let next = ahead.next(|_| {})?;
        self.ahead_bytes += ahead.at - self.at;
        (self.in_vain_bytes, self.in_vain_from) = (ahead.in_vain_bytes, ahead.in_vain_from);
        self.gave_up |= ahead.gave_up;
        Ok(next.map(|next| (next.start, LogOffset(next.start.0.wrapping_add_signed(next.shift)))))
    }

    /// Searches again from `at` on.
    fn go_back(&mut self, at: LogOffset) {
        self.at = at;
        self.window.bytes.clear();
        self.window.start = at;
    }

    /// Where a commit line would begin that ends at `start`, if that is behind what is known.
    fn line_before(&self, start: LogOffset) -> Option<LogOffset> {
        start.0.checked_sub(COMMIT_LINE_BYTES as u64).map(LogOffset).filter(|line| *line >= self.known)
    }

    /// The commit line that ends at `start`, and what it states.
    fn commit_line_before(&self, start: LogOffset) -> io::Result<Option<(LogOffset, u32, u32)>> {
        let Some(at) = self.line_before(start) else { return Ok(None) };
        Ok(self.commit_line_at(at)?.map(|(len, crc)| (at, len, crc)))
    }

    fn commit_line_at(&self, at: LogOffset) -> io::Result<Option<(u32, u32)>> {
        let mut line = [0; COMMIT_LINE_BYTES];
        self.window.read(&mut line, at)?;
        Ok(commit_line(&line))
    }

    /// The chain whose header ends at `start`.
    fn begun_at(&self, start: LogOffset) -> io::Result<Option<Chain>> {
        let header = start.0.checked_sub(HEADER_LINE_BYTES as u64).map(LogOffset).filter(|at| *at >= self.known);
        let Some(header) = header else { return Ok(None) };
        let mut line = [0; HEADER_LINE_BYTES];
        self.window.read(&mut line, header)?;
        Ok(salt_of_header(&line).map(Chain::new))
    }

    /// Whether a claim is right after one of the batches that may stand before it, or after none; and how far out of
    /// its place.
    fn fits(&mut self, chain: Chain, claim: Claim) -> io::Result<Option<i64>> {
        let start = claim.start;
        if self.chain.is_none() {
            let place = self.place(start, self.shift);
            return Ok(place.filter(|place| claim.fits(chain, *place)).map(|_| self.shift));
        }
        // A lost header may have stood anywhere.
        let own_place = if chain.is_new() { self.place(start, self.shift) } else { None };
        for place in [Some(self.known_place), self.other_place, own_place].into_iter().flatten() {
            if claim.fits(chain, place) {
                return Ok(Some(place.0 as i64 - start.0 as i64));
            }
        }
        let (Some(before), Some(place)) = (self.line_before(start), self.place(start, self.shift)) else {
            return Ok(None);
        };
        if self.commit_line_at(before)?.is_some_and(|(_, stated)| claim.fits(chain.after(stated), place)) {
            return Ok(Some(self.shift));
        }
        let before_crc = self.prefixes.up_to(&self.window, before)?;
        let computed = chain.crc_of_summed(self.known_place, before_crc, before - self.known);
        Ok(claim.fits(chain.after(computed), place).then_some(self.shift))
    }

    fn claim(&mut self, start: LogOffset, line: LogOffset, crc: u32) -> io::Result<Claim> {
        Ok(Claim { start, line, bytes_crc: self.crc_of(start, line)?, crc })
    }

    /// The checksum of the bytes `from..to` by themselves.
    fn crc_of(&mut self, from: LogOffset, to: LogOffset) -> io::Result<u32> {
        match self.window.slice(from, to) {
            // As mostly.
            Some(few) if few.len() as u64 <= CHECKPOINT_BYTES => Ok(crc32c::crc32c(few)),
            _ => self.prefixes.range(&self.window, from, to),
        }
    }

    /// What there is to know of a batch whose checksum fits; `None` if it is not RESP all the same, or cannot be read
    /// as it was when it fitted.
    fn parse(&mut self, claim: Claim, shift: i64) -> io::Result<Option<Survivor>> {
        let Claim { start, line, bytes_crc, .. } = claim;
        let from_there_again = self.in_vain_from == Some(start);
        let most = if from_there_again { MAX_IN_VAIN_BYTES } else { 2 * MAX_IN_VAIN_BYTES };
        if self.in_vain_bytes > most {
            self.gave_up |= !from_there_again;
            return Ok(None);
        }
        let mut bytes = vec![0; (line - start) as usize];
        let read = self.window.read(&mut bytes, start)?;
        bytes.truncate(read);
        let end = line + COMMIT_LINE_BYTES as u64;
        let parsed = if crc32c::crc32c(&bytes) == bytes_crc {
            parse_batch(Survivor { start, end, shift, annotations: Vec::new(), records: 0, bytes })
        } else {
            None
        };
        if parsed.is_none() {
            self.in_vain(claim);
        }
        Ok(parsed)
    }

    fn in_vain(&mut self, claim: Claim) {
        self.in_vain_bytes += claim.line - claim.start;
        self.in_vain_from = Some(claim.start);
    }
}

/// What looks like a batch: the bytes `start..line`, and what the commit line behind them states.
#[derive(Clone, Copy)]
struct Claim {
    start: LogOffset,
    line: LogOffset,
    /// The checksum of these bytes by themselves.
    bytes_crc: u32,
    /// The one that the line states.
    crc: u32,
}

impl Claim {
    /// Whether that is their checksum in this chain, written at `place`.
    fn fits(&self, chain: Chain, place: LogOffset) -> bool {
        chain.crc_of_summed(place, self.bytes_crc, self.line - self.start) == self.crc
    }
}

/// Reads a commit line, CRLF included.
pub(super) fn commit_line(line: &[u8]) -> Option<(u32, u32)> {
    match Annotation::of_line(line) {
        Annotation::Commit { len, crc } => Some((len, crc)),
        _ => None,
    }
}

fn parse_batch(mut survivor: Survivor) -> Option<Survivor> {
    let bytes = &mut survivor.bytes[..];
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
