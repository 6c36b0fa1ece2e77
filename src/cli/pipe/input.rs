//! The input of `--pipe`: bytes -> chunks of RESP and the places of their commands.
//!
//! RESP goes out in the very buffer that it was read into; lines are encoded into another one. Buffers come back when
//! they have been sent, so none is made, or cleared, for each chunk.

use std::io::{self, Read};
use std::sync::mpsc::Receiver;

use memchr::memchr;
use thiserror::Error;
use tokio::sync::mpsc::Sender;

use super::places::{Place, Places};
use crate::cli::words::{LineError, is_comment, split_in_place};
use crate::protocol::decode::{ProtocolError, RequestDecoder, Span};
use crate::protocol::encode;
use crate::protocol::limits::RequestLimits;

/// How much is read, and sent, at a time.
const READ_BYTES: usize = 256 * 1024;

/// A buffer that grew longer than this, for a long value, is not kept.
const KEPT_BYTES: usize = 8 * READ_BYTES;

/// Encoded commands.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Begins with what goes to the server.
    pub(crate) buffer: Vec<u8>,
    /// How much of it does.
    pub(crate) len: usize,
    /// Where each command stood.
    pub(crate) places: Places,
    /// How much of the input it stands for.
    pub(crate) input_bytes: u64,
}

/// Why the input ended before its end.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("cannot read the standard input: {0}")]
    Read(io::Error),
    #[error("{place}: {error}; what stood before it was sent")]
    Line { place: Place, error: LineError },
    #[error("{place}, at byte {at} of the input: {error}; what stood before it was sent")]
    Malformed { place: Place, at: u64, error: MalformedError },
    #[error("{place}, at byte {at} of the input: the input ends in the middle of it; what stood before it was sent")]
    Truncated { place: Place, at: u64 },
}

/// What is wrong with RESP.
#[derive(Debug, Error)]
pub(crate) enum MalformedError {
    #[error(transparent)]
    Protocol(ProtocolError),
    /// If it were a line, a value of RESP whose lengths are wrong would be run as commands.
    #[error("a command begins with '$'; behind RESP that is an argument too many")]
    StrayArgument,
}

/// Reads the input to its end, and sends it on in chunks; stops early when nobody takes them any more. What comes back
/// from `spent` is used again.
///
/// # Errors
/// [`InputError`]; the commands before it have been sent on.
pub(crate) fn read(mut input: impl Read, chunks: &Sender<Chunk>, spent: Receiver<Vec<u8>>) -> Result<(), InputError> {
    let mut reader = Reader::new(spent);
    let mut at_end = false;
    while !at_end {
        let got = reader.fill(&mut input).map_err(InputError::Read)?;
        at_end = got == 0;
        let result = reader.decode(at_end);
        if chunks.blocking_send(reader.chunk(got as u64)).is_err() {
            return Ok(());
        }
        result?;
    }
    Ok(())
}

struct Reader {
    spent: Receiver<Vec<u8>>,
    decoder: RequestDecoder,
    /// What was read: its first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    /// The start of the command under way.
    start: usize,
    /// How far the line under way has been searched for its end.
    searched: usize,
    /// Where the RESP begins that stands before `start` and is not in `encoded`.
    verbatim: usize,
    /// Commands in order, once there is a line among them.
    encoded: Vec<u8>,
    places: Places,
    spans: Vec<Span>,
    words: Vec<(usize, usize)>,
    /// Lines so far, as long as all the input was lines; then commands.
    count: u64,
    only_lines: bool,
    /// How much of the input stood before the buffer.
    passed: u64,
}

impl Reader {
    fn new(spent: Receiver<Vec<u8>>) -> Self {
        Self {
            spent,
            decoder: RequestDecoder::new(RequestLimits::HIGHEST),
            buffer: Vec::new(),
            filled: 0,
            start: 0,
            searched: 0,
            verbatim: 0,
            encoded: Vec::new(),
            places: Places::default(),
            spans: Vec::new(),
            words: Vec::new(),
            count: 0,
            only_lines: true,
            passed: 0,
        }
    }

    fn fill(&mut self, input: &mut impl Read) -> io::Result<usize> {
        // Grows with what has arrived: a length that the input only claims takes no memory.
        if self.filled == self.buffer.len() || self.buffer.len() < READ_BYTES {
            self.buffer.resize((2 * self.filled).max(READ_BYTES), 0);
        }
        loop {
            match input.read(&mut self.buffer[self.filled..]) {
                Ok(got) => {
                    self.filled += got;
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Finds the complete commands of the buffer.
    fn decode(&mut self, at_end: bool) -> Result<(), InputError> {
        while self.start < self.filled {
            let complete = match self.buffer[self.start] {
                b'*' => self.array(at_end)?,
                b'$' if !self.only_lines => {
                    return Err(self.malformed(MalformedError::StrayArgument));
                }
                _ => self.line(at_end)?,
            };
            if !complete {
                break;
            }
        }
        Ok(())
    }

    /// Steps over a command of RESP, if all of it is there.
    fn array(&mut self, at_end: bool) -> Result<bool, InputError> {
        self.only_lines = false;
        self.spans.clear();
        match self.decoder.decode(&mut self.buffer[..self.filled], self.start, &mut self.spans) {
            Ok(Some(next)) => {
                if !self.spans.is_empty() {
                    self.count += 1;
                    self.places.push(Place::Command(self.count));
                }
                self.start = next;
                Ok(true)
            }
            Ok(None) if at_end => Err(InputError::Truncated { place: self.place(self.count + 1), at: self.at() }),
            Ok(None) => Ok(false),
            Err(error) => Err(self.malformed(MalformedError::Protocol(error))),
        }
    }

    /// Encodes the command of a line, if all of it is there; the last one may lack its newline.
    fn line(&mut self, at_end: bool) -> Result<bool, InputError> {
        let from = self.searched.max(self.start);
        let (end, next) = match memchr(b'\n', &self.buffer[from..self.filled]) {
            Some(len) => (from + len, from + len + 1),
            None if at_end => (self.filled, self.filled),
            None => {
                self.searched = self.filled;
                return Ok(false);
            }
        };
        let line = &mut self.buffer[self.start..end];
        self.words.clear();
        let result = if is_comment(line) { Ok(()) } else { split_in_place(line, &mut self.words) };
        if let Err(error) = result {
            return Err(InputError::Line { place: self.place(self.count + 1), error });
        }
        let is_command = !self.words.is_empty();
        // Lines count even when they are empty; commands do not.
        self.count += u64::from(is_command || self.only_lines);
        self.encoded.extend_from_slice(&self.buffer[self.verbatim..self.start]);
        if is_command {
            self.places.push(self.place(self.count));
            encode::array(&mut self.encoded, self.words.len());
            for &(from, to) in &self.words {
                encode::bulk(&mut self.encoded, &self.buffer[self.start + from..self.start + to]);
            }
        }
        self.start = next;
        self.verbatim = next;
        Ok(true)
    }

    /// What has been found since the last time; what is incomplete stays.
    fn chunk(&mut self, input_bytes: u64) -> Chunk {
        let places = std::mem::take(&mut self.places);
        if self.start == 0 {
            // A long command is still arriving: it stays where it is.
            return Chunk { buffer: Vec::new(), len: 0, places, input_bytes };
        }
        self.passed += self.start as u64;
        let (buffer, len) = if self.verbatim == 0 && self.encoded.is_empty() {
            let len = self.start;
            let mut next = self.another_buffer();
            let rest = &self.buffer[len..self.filled];
            if next.len() < rest.len() {
                next.resize(rest.len(), 0);
            }
            next[..rest.len()].copy_from_slice(rest);
            (std::mem::replace(&mut self.buffer, next), len)
        } else {
            self.encoded.extend_from_slice(&self.buffer[self.verbatim..self.start]);
            self.buffer.copy_within(self.start..self.filled, 0);
            let mut next = self.another_buffer();
            next.clear();
            let encoded = std::mem::replace(&mut self.encoded, next);
            let len = encoded.len();
            (encoded, len)
        };
        self.filled -= self.start;
        self.searched = self.searched.saturating_sub(self.start);
        (self.start, self.verbatim) = (0, 0);
        Chunk { buffer, len, places, input_bytes }
    }

    /// One that has been sent, if there is one.
    fn another_buffer(&self) -> Vec<u8> {
        self.spent.try_iter().find(|buffer| buffer.capacity() <= KEPT_BYTES).unwrap_or_default()
    }

    fn place(&self, count: u64) -> Place {
        if self.only_lines { Place::Line(count) } else { Place::Command(count) }
    }

    /// Where the command under way begins in the input.
    fn at(&self) -> u64 {
        self.passed + self.start as u64
    }

    fn malformed(&self, error: MalformedError) -> InputError {
        InputError::Malformed { place: self.place(self.count + 1), at: self.at(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(out.len());
            out[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn all(input: &[u8], at_a_time: usize) -> (Vec<u8>, Vec<Place>, Result<(), String>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100_000);
        let (_spent, buffers) = std::sync::mpsc::channel();
        let result = read(Dripping(input, at_a_time), &sender, buffers).map_err(|e| e.to_string());
        drop(sender);
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        while let Some(mut chunk) = receiver.blocking_recv() {
            bytes.extend_from_slice(&chunk.buffer[..chunk.len]);
            places.extend(std::iter::from_fn(|| chunk.places.pop()));
        }
        (bytes, places, result)
    }

    fn text(input: &[u8]) -> (String, Vec<Place>, Result<(), String>) {
        let (bytes, places, result) = all(input, usize::MAX);
        (String::from_utf8(bytes).unwrap(), places, result)
    }

    #[test]
    fn lines_and_resp_become_requests_with_places() {
        use Place::{Command, Line};
        let (bytes, places, result) = text(b"# don't\n\nGET 'a b'\r\nGET a\0b\nPING");
        let get = |key| format!("*2\r\n$3\r\nGET\r\n$3\r\n{key}\r\n");
        assert_eq!(bytes, get("a b") + &get("a\0b") + "*1\r\n$4\r\nPING\r\n");
        assert_eq!((places, result), (vec![Line(3), Line(4), Line(5)], Ok(())));

        let resp = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let (bytes, places, result) = text(resp.as_bytes());
        assert_eq!(bytes, resp);
        assert_eq!((places, result), (vec![Command(1), Command(2)], Ok(())));

        let (bytes, places, result) = text(b"PING\n*1\r\n$4\r\nPING\r\nPING\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(bytes, "*1\r\n$4\r\nPING\r\n".repeat(4));
        assert_eq!((places, result), (vec![Line(1), Command(2), Command(3), Command(4)], Ok(())));
    }

    #[test]
    fn an_input_that_breaks_off_is_named_and_what_came_before_is_sent() {
        for (input, sent, error) in [
            ("*1\r\n$4\r\nPI", 0, "command 1, at byte 0 of the input: the input ends in the middle of it"),
            ("PING\n*2\r\n$3\r\nGET\r\n$1", 1, "command 2, at byte 5 of the input: the input ends"),
            ("PING\nGET \"open\n", 1, "line 2: unbalanced quotes"),
            ("*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n", 1, "command 2, at byte 14 of the input: ERR Protocol error: invalid"),
            ("*1\r\n$4\r\nPING\r\n$8\r\nFLUSHALL\r\n", 1, "command 2, at byte 14 of the input: a command begins"),
        ] {
            let (bytes, _, result) = text(input.as_bytes());
            assert_eq!(bytes, "*1\r\n$4\r\nPING\r\n".repeat(sent), "{input:?}");
            assert!(result.as_ref().unwrap_err().starts_with(error), "{input:?}: {result:?}");
        }
    }

    #[test]
    fn long_lines_and_values_cross_many_reads() {
        let value = vec![b'v'; 3 * KEPT_BYTES + 1];
        let mut request = Vec::new();
        encode::request(&mut request, &[&b"SET"[..], b"k", &value]);
        let line = [b"SET k ", &value[..], b"\nPING\n"].concat();
        let ping = b"*1\r\n$4\r\nPING\r\n";
        for input in [line, [&request[..], ping].concat()] {
            let (bytes, places, result) = all(&input, READ_BYTES / 3);
            assert!(bytes == [&request[..], ping].concat(), "{} bytes", bytes.len());
            assert_eq!((places.len(), result), (2, Ok(())));
        }
    }

    proptest! {
        #[test]
        fn where_a_read_ends_does_not_matter(
            parts in prop::collection::vec(prop_oneof![
                Just("*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n"), Just("get 'a b'\n"), Just("# it's\n"), Just("\n"),
                Just("*0\r\n"), Just("set k \"\\x00\"\r\n"), Just("get \"\n"), Just("*1\r\n$x\r\n"),
            ], 0..8),
            at_a_time in 1_usize..20,
        ) {
            let input = parts.concat();
            prop_assert_eq!(all(input.as_bytes(), at_a_time), all(input.as_bytes(), usize::MAX));
        }
    }
}
