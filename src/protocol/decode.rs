//! Requests: bytes -> the arguments of commands, in place and without allocating for each command.
//!
//! The decoder is given the bytes again from the start of the command under way until that is complete; what it has
//! found of it so far it keeps, so a command of a million arguments or of 512 MiB is looked at once, however many
//! reads bring it. It never recurses: a request is one array of bulk strings, or one inline line.

mod args;
mod probe;
mod usual;

use std::ops::Range;

use memchr::{memchr, memchr2};
use thiserror::Error;

pub use self::args::{Args, Span};
pub use self::probe::{array_at, bulk_at, bulk_header_at};
pub use self::usual::{OPENING_BYTES, Opening};
use self::usual::{usual_arguments, usual_command};
use super::limits::{MAX_ARRAY_LEN, MAX_LINE_BYTES, RequestLimits};
use super::number::parse_i64;
use super::quote::escaped;
use super::words::split_words;

/// Input that is not RESP; it displays as the reply's text, which is Redis's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// A line that ought to hold an array's length does not end.
    #[error("ERR Protocol error: too big mbulk count string")]
    ArrayLineTooLong,
    /// Not a number, or more than [`RequestLimits::array_len`].
    #[error("ERR Protocol error: invalid multibulk length")]
    ArrayLen,
    /// More arguments than are taken before authentication.
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    UnauthenticatedArrayLen,
    /// A line that ought to hold a bulk string's length does not end.
    #[error("ERR Protocol error: too big bulk count string")]
    BulkLineTooLong,
    /// An element of the array that is not a bulk string.
    #[error("ERR Protocol error: expected '$', got '{}'", char::from(*.0))]
    NotABulk(u8),
    /// Not a number, negative, or more than [`RequestLimits::bulk_bytes`].
    #[error("ERR Protocol error: invalid bulk length")]
    BulkLen,
    /// A longer argument than is taken before authentication.
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLen,
    /// What follows a bulk string's bytes, or a header's number, is not CRLF: a length is wrong. Redis skips the two
    /// bytes unseen; here they are looked at, since the same code reads the log.
    #[error("ERR Protocol error: expected CRLF")]
    MissingCrlf,
    /// An inline command that does not end.
    #[error("ERR Protocol error: too big inline request")]
    InlineTooLong,
    /// A NUL byte in an inline command. No client means that, but every TLS handshake has one in its first bytes, and
    /// commands may be hidden in the lines behind. Redis waits for a line without one.
    #[error("ERR Protocol error: NUL byte in inline request")]
    InlineNul,
    /// An inline command with an open quote, or with something directly behind a closing one.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// An inline command where only arrays are taken (in a log).
    #[error("expected '*', got '{}'", char::from(*.0))]
    NotAnArray(u8),
}

impl ProtocolError {
    /// The reply's text; a byte that it repeats is in it as it came.
    pub fn text(self) -> Vec<u8> {
        // Displayed is the character of the byte's number.
        self.to_string().chars().map(|c| c as u8).collect()
    }

    /// What is wrong, for who is no client and wants no reply; a byte that it repeats is shown as in quotes, so that no
    /// terminal heeds it.
    pub fn reason(self) -> String {
        let mut shown = Vec::new();
        self.text().into_iter().for_each(|byte| escaped(&mut shown, byte));
        String::from_utf8_lossy(&shown).trim_start_matches("ERR Protocol error: ").to_owned()
    }
}

/// The state of decoding one connection's requests, or one log's records.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    inline: bool,
    /// Complete arguments of the command under way, relative to its start. Empty between commands.
    partial: Vec<Span>,
    /// Arguments that the command under way still lacks; 0 between commands.
    missing: usize,
    /// Where to go on, relative to the start of the command under way.
    resume_at: usize,
    /// The length of the bulk string at `resume_at`, if its header has been read.
    bulk_len: Option<usize>,
    /// Lines that were unquoted in place, as they were before, with their positions.
    unquoted: Vec<(usize, Vec<u8>)>,
}

impl RequestDecoder {
    /// A decoder of what clients send: arrays and inline commands.
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            inline: true,
            partial: Vec::new(),
            missing: 0,
            resume_at: 0,
            bulk_len: None,
            unquoted: Vec::new(),
        }
    }

    /// A decoder of a log's records: arrays only.
    pub fn for_log() -> Self {
        Self { inline: false, ..Self::new(RequestLimits::HIGHEST) }
    }

    /// Sets other limits, for instance after authentication; they hold from the next header on.
    pub fn set_limits(&mut self, limits: RequestLimits) {
        self.limits = limits;
    }

    /// Forgets what was found of the command under way: the caller goes back to an earlier one.
    pub fn restart(&mut self) {
        self.partial = Vec::new();
        self.missing = 0;
        self.resume_at = 0;
        self.bulk_len = None;
    }

    /// Forgets how inline commands looked before they were unquoted: they will not be decoded again.
    pub fn settle(&mut self) {
        self.unquoted.clear();
    }

    /// Gives the inline commands from `buffer[from]` on, decoded since [`settle`](Self::settle), their quotes back:
    /// the caller will decode them again.
    pub fn restore(&mut self, buffer: &mut [u8], from: usize) {
        // Those before it may yet have to be decoded again, too.
        let first = self.unquoted.partition_point(|(start, _)| *start < from);
        for (start, line) in self.unquoted.drain(first..) {
            buffer[start..start + line.len()].copy_from_slice(&line);
        }
    }

    /// A copy of a part of `buffer` that begins and ends between commands, which were decoded since
    /// [`settle`](Self::settle): it can be decoded again.
    pub fn copy(&self, buffer: &[u8], part: Range<usize>) -> Vec<u8> {
        let mut copy = buffer[part.clone()].to_vec();
        for (start, line) in self.unquoted.iter().filter(|(start, _)| part.contains(start)) {
            copy[start - part.start..][..line.len()].copy_from_slice(line);
        }
        copy
    }

    /// How many bytes, from the start of the command under way, are needed at least before decoding can go on; 0
    /// where that is not known. A reader makes room for that much at once.
    pub fn bytes_wanted(&self) -> usize {
        self.bulk_len.map_or(0, |len| self.resume_at + len + CRLF.len())
    }

    /// Decodes the command that starts at `buffer[start]`.
    ///
    /// Returns the position behind it, its arguments appended to `args` (as positions in `buffer`); there are none
    /// for an empty line or an empty array, which clients may send. Returns `None`, with `args` as it was, while the
    /// command is incomplete: the caller then comes again with more, from the same command on.
    ///
    /// An inline command is unquoted in place, so its bytes in `buffer` change; see [`restore`](Self::restore).
    ///
    /// # Errors
    /// [`ProtocolError`]; the stream cannot be decoded any further. `buffer` is then as it was.
    #[inline(always)]
    pub fn decode(
        &mut self,
        buffer: &mut [u8],
        start: usize,
        args: &mut Vec<Span>,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.missing == 0 {
            if start >= buffer.len() {
                return Ok(None);
            }
            if let Some(end) = usual_command(buffer, start, self.limits, args) {
                return Ok(Some(end));
            }
        }
        self.decode_with_care(buffer, start, args)
    }

    /// Decodes, on the fast path, a command whose opening was met before. `None`: it is incomplete or not of the usual
    /// form; use [`decode`](Self::decode).
    #[inline(always)]
    pub fn decode_known(&self, buffer: &[u8], start: usize, opening: &Opening, args: &mut Vec<Span>) -> Option<usize> {
        if self.missing != 0 {
            return None;
        }
        let name = start + size_of_val(&opening.first);
        let name = Span::new(name, name + usize::from(opening.name_len));
        usual_arguments(buffer, name, name.end as usize + CRLF.len(), opening.count(), self.limits, args)
    }

    /// Decodes any command of which something is there, be it incomplete, long, inline or wrong.
    #[inline(never)]
    fn decode_with_care(
        &mut self,
        buffer: &mut [u8],
        start: usize,
        args: &mut Vec<Span>,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.missing == 0 {
            let first = buffer[start];
            if first != b'*' {
                if !self.inline {
                    return Err(ProtocolError::NotAnArray(first));
                }
                return self.decode_inline(buffer, start, args);
            }
            let Some((len, at)) = header(buffer, start, Kind::Array)? else {
                return Ok(None);
            };
            if len > self.limits.array_len {
                let too_early = self.limits.bulk_bytes_later.is_some() && len <= MAX_ARRAY_LEN;
                return Err(if too_early { ProtocolError::UnauthenticatedArrayLen } else { ProtocolError::ArrayLen });
            }
            if len <= 0 {
                return Ok(Some(at));
            }
            let before = args.len();
            let (missing, at) = self.bulks(buffer, len as usize, at, args)?;
            if missing == 0 {
                return Ok(Some(at));
            }
            self.missing = missing;
            self.resume_at = at - start;
            let shift = start as u32;
            self.partial.extend(args.drain(before..).map(|span| span.back(shift)));
            return Ok(None);
        }

        let mut partial = std::mem::take(&mut self.partial);
        let found = partial.len();
        let (missing, at) = self.bulks(buffer, self.missing, start + self.resume_at, &mut partial)?;
        let shift = start as u32;
        self.missing = missing;
        if missing == 0 {
            // The first `found` are relative to the command, the others absolute.
            args.extend(partial[..found].iter().map(|span| span.forward(shift)));
            args.extend_from_slice(&partial[found..]);
            self.resume_at = 0;
            return Ok(Some(at));
        }
        for span in &mut partial[found..] {
            *span = span.back(shift);
        }
        self.partial = partial;
        self.resume_at = at - start;
        Ok(None)
    }

    /// Decodes one inline command: words between white space, quoted as for `redis-cli`.
    fn decode_inline(
        &mut self,
        buffer: &mut [u8],
        start: usize,
        args: &mut Vec<Span>,
    ) -> Result<Option<usize>, ProtocolError> {
        let rest = &buffer[start..];
        let Some(len) = memchr2(b'\n', 0, &rest[..rest.len().min(MAX_LINE_BYTES + 1)]) else {
            return if rest.len() > MAX_LINE_BYTES { Err(ProtocolError::InlineTooLong) } else { Ok(None) };
        };
        if rest[len] == 0 {
            return Err(ProtocolError::InlineNul);
        }
        let line_end = if rest[..len].ends_with(b"\r") { len - 1 } else { len };
        let line = &mut buffer[start..start + line_end];
        let before = memchr2(b'"', b'\'', line).map(|_| line.to_vec());
        let words = split_words(line, |from, to| args.push(Span::new(start + from, start + to)));
        if let Some(before) = before {
            match words {
                Ok(()) => self.unquoted.push((start, before)),
                Err(_) => line.copy_from_slice(&before),
            }
        }
        words.map(|()| Some(start + len + 1))
    }

    /// Decodes up to `count` bulk strings from `at` on: how many are missing, and where it stopped.
    fn bulks(
        &mut self,
        buffer: &[u8],
        mut count: usize,
        mut at: usize,
        args: &mut Vec<Span>,
    ) -> Result<(usize, usize), ProtocolError> {
        while count > 0 {
            let len = match self.bulk_len {
                Some(len) => len,
                None => {
                    let Some((len, behind)) = self.bulk_header(buffer, at)? else {
                        break;
                    };
                    at = behind;
                    len
                }
            };
            let end = at + len;
            if buffer.len() < end + CRLF.len() {
                self.bulk_len = Some(len);
                break;
            }
            if buffer[end..end + CRLF.len()] != CRLF {
                return Err(ProtocolError::MissingCrlf);
            }
            self.bulk_len = None;
            args.push(Span::new(at, end));
            at = end + CRLF.len();
            count -= 1;
        }
        Ok((count, at))
    }

    #[inline]
    fn bulk_header(&self, buffer: &[u8], at: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some((len, behind)) = header(buffer, at, Kind::Bulk)? else {
            return Ok(None);
        };
        let len = usize::try_from(len).map_err(|_| ProtocolError::BulkLen)?;
        if len > self.limits.bulk_bytes {
            let too_early = self.limits.bulk_bytes_later.is_some_and(|most| len <= most);
            return Err(if too_early { ProtocolError::UnauthenticatedBulkLen } else { ProtocolError::BulkLen });
        }
        Ok(Some((len, behind)))
    }
}

const CRLF: [u8; 2] = *b"\r\n";

/// What a header announces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Bulk,
}

impl Kind {
    fn too_long(self) -> ProtocolError {
        match self {
            Self::Array => ProtocolError::ArrayLineTooLong,
            Self::Bulk => ProtocolError::BulkLineTooLong,
        }
    }

    fn not_a_number(self) -> ProtocolError {
        match self {
            Self::Array => ProtocolError::ArrayLen,
            Self::Bulk => ProtocolError::BulkLen,
        }
    }
}

/// Reads the header at `at`, `*<number>\r\n` or `$<number>\r\n`: the number, and the position behind the line. `None`:
/// incomplete. That an array begins with `*` the caller has seen.
#[inline]
fn header(buffer: &[u8], at: usize, kind: Kind) -> Result<Option<(i64, usize)>, ProtocolError> {
    if buffer.len() <= at {
        return Ok(None);
    }
    let line = &buffer[at..];
    // Even the kind may be the line's end.
    let Some(len) = memchr(b'\r', &line[..line.len().min(MAX_LINE_BYTES + 1)]) else {
        return if line.len() > MAX_LINE_BYTES { Err(kind.too_long()) } else { Ok(None) };
    };
    let Some(&behind) = line.get(len + 1) else { return Ok(None) };
    // Redis looks at the kind before anything else: "expected '$'" wins over "invalid bulk length".
    if kind == Kind::Bulk && line[0] != b'$' {
        return Err(ProtocolError::NotABulk(line[0]));
    }
    if behind != b'\n' {
        return Err(ProtocolError::MissingCrlf);
    }
    let number = parse_i64(&line[1..len]).ok_or_else(|| kind.not_a_number())?;
    Ok(Some((number, at + len + CRLF.len())))
}

/// The position behind a line's end, if there is one at `at`.
#[inline(always)]
fn behind_crlf(buffer: &[u8], at: usize) -> Option<usize> {
    (*buffer.get(at..)?.first_chunk()? == CRLF).then_some(at + CRLF.len())
}

#[cfg(test)]
mod tests;
